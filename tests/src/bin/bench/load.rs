//! A load that costs little: one connection, one request after the other, and an upstream that answers from a constant.

use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// Starts an upstream that answers everything with this JSON.
pub fn constant(body: &[u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("no free port");
    let port = listener.local_addr().map(|address| address.port()).expect("an address");
    let mut answer =
        format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len())
            .into_bytes();
    answer.extend_from_slice(body);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = answer.clone();
            std::thread::spawn(move || {
                let _ = stream.set_nodelay(true);
                let Ok(mut out) = stream.try_clone() else { return };
                let mut reader = BufReader::new(stream);
                while message(&mut reader).is_ok() {
                    if out.write_all(&answer).is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

/// Reads one HTTP/1.1 message with a `content-length`, or chunked; returns its first line and body.
fn message(reader: &mut impl BufRead) -> Result<(String, Vec<u8>)> {
    let mut first = String::new();
    if reader.read_line(&mut first)? == 0 {
        bail!("closed");
    }
    let (mut length, mut chunked, mut line) = (0usize, false, String::new());
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let lower = line.trim_end().to_ascii_lowercase();
        if lower.is_empty() {
            break;
        }
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().context("a content-length")?;
        }
        chunked |= lower.starts_with("transfer-encoding:");
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    while chunked {
        line.clear();
        reader.read_line(&mut line)?;
        let size = usize::from_str_radix(line.trim(), 16)?;
        let mut chunk = vec![0; size + 2];
        reader.read_exact(&mut chunk)?;
        body.extend_from_slice(&chunk[..size]);
        chunked = size > 0;
    }
    Ok((first, body))
}

/// A connection to a proxy.
pub struct Connection {
    reader: BufReader<TcpStream>,
    request: Vec<u8>,
}

impl Connection {
    /// Connects; every request will be these bytes.
    pub fn open(port: u16, request: &[u8]) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(Self { reader: BufReader::with_capacity(64 * 1024, stream), request: request.to_vec() })
    }

    /// One request; returns the time that it took, the status and the body.
    pub fn exchange(&mut self) -> Result<(Duration, u16, Vec<u8>)> {
        let start = Instant::now();
        self.reader.get_mut().write_all(&self.request)?;
        let (first, body) = message(&mut self.reader)?;
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok()).context("a status")?;
        Ok((start.elapsed(), status, body))
    }
}

/// A `POST` of JSON, as bytes.
pub fn post(host: &str, path: &str, token: &str, body: &[u8]) -> Vec<u8> {
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

/// `count` requests over each of two connections, at once. All must be 200.
pub fn load(port: u16, request: &[u8], count: usize) -> Result<()> {
    std::thread::scope(|scope| {
        let run = || -> Result<()> {
            let mut connection = Connection::open(port, request)?;
            for _ in 0..count {
                let (_, status, body) = connection.exchange()?;
                if status != 200 {
                    bail!("{status}: {}", String::from_utf8_lossy(&body));
                }
            }
            Ok(())
        };
        let threads = [scope.spawn(run), scope.spawn(run)];
        threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| bail!("a client died")))
    })
}
