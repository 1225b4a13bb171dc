//! Backends that stand in where no server can be had. Each implements what its API's filters mean, over records in memory.

pub mod elasticsearch;
pub mod milvus;
pub mod pinecone;
pub mod postgrest;
pub mod qdrant;
pub mod weaviate;

use crate::llm::{Received, Script, play, receive};
use std::io::BufReader;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

/// An answer of a fake: status, media type, body.
pub type Reply = (u16, &'static str, Vec<u8>);

/// A server on a free port that answers by a function and remembers what it got.
#[derive(Clone)]
pub struct Fake {
    received: Arc<Mutex<Vec<Received>>>,
    /// Where it listens.
    pub port: u16,
}

impl Fake {
    /// Starts it.
    pub fn start(answer: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_at(0, answer)
    }

    /// Starts it on a port; 0 takes a free one.
    pub fn start_at(port: u16, answer: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port is not free");
        let port = listener.local_addr().map(|address| address.port()).expect("an address");
        let fake = Self { received: Arc::default(), port };
        let (server, answer) = (fake.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (server, answer) = (server.clone(), answer.clone());
                std::thread::spawn(move || server.serve(stream, &*answer));
            }
        });
        fake
    }

    /// A fake that answers with what was last put into the cell.
    pub fn scripted() -> (Self, Arc<Mutex<Reply>>) {
        let cell = Arc::new(Mutex::new((200, "application/json", b"{}".to_vec())));
        let answers = cell.clone();
        (Self::start(move |_| answers.lock().unwrap_or_else(PoisonError::into_inner).clone()), cell)
    }

    /// What it got since the last call.
    pub fn take(&self) -> Vec<Received> {
        std::mem::take(&mut *self.received.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn serve(&self, stream: TcpStream, answer: &dyn Fn(&Received) -> Reply) {
        let _ = stream.set_nodelay(true);
        let Ok(mut out) = stream.try_clone() else { return };
        let mut reader = BufReader::new(stream);
        while let Some(request) = receive(&mut reader) {
            let head = request.line.starts_with("HEAD ");
            self.received.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
            let (status, media, body) = answer(&request);
            let mut script = Script::new(media, vec![body]);
            script.status = status;
            script.parts.iter_mut().for_each(|part| part.0 = 0);
            if head || status == 204 {
                script.raw = Some(
                    format!(
                        "HTTP/1.1 {status} Fake\r\ncontent-type: {media}\r\n{}\r\n",
                        if head && status != 204 { "content-length: 2\r\n" } else { "" }
                    )
                    .into_bytes(),
                );
            }
            // As PostgREST's: a body that is empty has no type.
            if !head && status == 201 && script.parts.iter().all(|part| part.1.is_empty()) {
                let head = format!("HTTP/1.1 {status} Fake\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n");
                script.raw = Some(head.into_bytes());
            }
            if play(&mut out, &script).is_err() {
                let _ = out.shutdown(Shutdown::Both);
                return;
            }
        }
    }
}
