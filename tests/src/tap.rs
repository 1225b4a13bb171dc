//! A tap between Envoy and an upstream: passes everything on and remembers what the upstream got.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// The tap.
#[derive(Clone)]
pub struct Tap {
    seen: Arc<Mutex<Vec<u8>>>,
    /// Where it listens.
    pub port: u16,
}

impl Tap {
    /// Passes a free port on to `upstream`.
    pub fn start(upstream: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("no free port");
        let port = listener.local_addr().map(|address| address.port()).expect("an address");
        let tap = Self { seen: Arc::default(), port };
        let server = tap.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(there) = TcpStream::connect(("127.0.0.1", upstream)) else { continue };
                let (Ok(client2), Ok(there2)) = (client.try_clone(), there.try_clone()) else { continue };
                let seen = server.seen.clone();
                std::thread::spawn(move || pipe(client, there, Some(&seen)));
                std::thread::spawn(move || pipe(there2, client2, None));
            }
        });
        tap
    }

    /// What the upstream got since the last call.
    pub fn take(&self) -> String {
        let bytes = std::mem::take(&mut *self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The body of the last request that the upstream got since the last call.
    pub fn take_body(&self) -> String {
        self.take().rsplit_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
    }
}

fn pipe(mut from: TcpStream, mut to: TcpStream, seen: Option<&Mutex<Vec<u8>>>) {
    let mut buffer = [0; 65536];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if let Some(seen) = seen {
            seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner).extend_from_slice(&buffer[..count]);
        }
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
