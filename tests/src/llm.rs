//! A scripted LLM upstream: speaks OpenAI's chat completions, records what it received byte for byte, and answers what it
//! was told to, chunk by chunk. The last message's content names the script; without one it echoes.

use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What to answer.
#[derive(Clone, Debug)]
pub struct Script {
    /// The status.
    pub status: u16,
    /// The headers; framing is added.
    pub headers: Vec<(String, String)>,
    /// Each part: what to wait before it in milliseconds, and its bytes.
    pub parts: Vec<(u64, Vec<u8>)>,
    /// Break the connection instead of ending the body.
    pub cut: bool,
    /// Send exactly these bytes instead of all that.
    pub raw: Option<Vec<u8>>,
}

impl Script {
    /// A body of this media type, in parts.
    pub fn new(media: &str, parts: Vec<Vec<u8>>) -> Self {
        let headers = vec![("content-type".to_owned(), media.to_owned())];
        Self { status: 200, headers, parts: parts.into_iter().map(|part| (2, part)).collect(), cut: false, raw: None }
    }

    /// An event stream of these deltas, one event a part.
    pub fn stream(deltas: &[&str]) -> Self {
        Self::new("text/event-stream", events(deltas))
    }

    /// With so many milliseconds before each part.
    pub fn paced(mut self, milliseconds: u64) -> Self {
        self.parts.iter_mut().for_each(|part| part.0 = milliseconds);
        self
    }
}

/// The events of a streamed chat completion, as OpenAI frames them.
pub fn events(deltas: &[&str]) -> Vec<Vec<u8>> {
    let chunk = |delta: Value, finish: Value| {
        let data = json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "demo",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]});
        format!("data: {data}\n\n").into_bytes()
    };
    let mut parts = vec![chunk(json!({"role": "assistant", "content": ""}), Value::Null)];
    parts.extend(deltas.iter().map(|delta| chunk(json!({"content": delta}), Value::Null)));
    parts.push(chunk(json!({}), json!("stop")));
    parts.push(b"data: [DONE]\n\n".to_vec());
    parts
}

/// A chat completion that is not streamed.
pub fn completion(content: &str) -> Vec<u8> {
    json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "demo",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}})
    .to_string()
    .into_bytes()
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Received {
    /// Method and target.
    pub line: String,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Received {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

#[derive(Default)]
struct Inner {
    scripts: HashMap<String, Script>,
    received: Vec<Received>,
}

/// The upstream.
#[derive(Clone)]
pub struct Llm {
    inner: Arc<Mutex<Inner>>,
    /// Where it listens.
    pub port: u16,
}

impl Default for Llm {
    fn default() -> Self {
        Self::start()
    }
}

impl Llm {
    /// Starts on a free port.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("no free port");
        let port = listener.local_addr().map(|address| address.port()).expect("an address");
        let llm = Self { inner: Arc::default(), port };
        let server = llm.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = server.clone();
                std::thread::spawn(move || server.serve(stream));
            }
        });
        llm
    }

    /// Answers prompts that are exactly `prompt` by this script.
    pub fn script(&self, prompt: &str, script: Script) {
        self.lock().scripts.insert(prompt.to_owned(), script);
    }

    /// The last request.
    pub fn last(&self) -> Option<Received> {
        self.lock().received.last().cloned()
    }

    /// How many requests came.
    pub fn count(&self) -> usize {
        self.lock().received.len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn serve(&self, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let Ok(mut out) = stream.try_clone() else { return };
        let mut reader = BufReader::new(stream);
        while let Some(request) = receive(&mut reader) {
            let script = self.answer(&request);
            self.lock().received.push(request);
            if play(&mut out, &script).is_err() || script.cut || script.raw.is_some() {
                let _ = out.shutdown(std::net::Shutdown::Both);
                return;
            }
        }
    }

    fn answer(&self, request: &Received) -> Script {
        if request.line.starts_with("GET /v1/models") {
            let list = json!({"object": "list", "data": [{"id": "demo", "object": "model", "created": 1, "owned_by": "demo"}]});
            return Script::new("application/json", vec![list.to_string().into_bytes()]);
        }
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let prompt = body["messages"]
            .as_array()
            .and_then(|m| m.last())
            .and_then(|m| m["content"].as_str())
            .unwrap_or("")
            .to_owned();
        if let Some(script) = self.lock().scripts.get(&prompt) {
            return script.clone();
        }
        if body["stream"] == true {
            let words: Vec<&str> = prompt.split_inclusive(' ').collect();
            Script::stream(&words)
        } else {
            Script::new("application/json", vec![completion(&prompt)])
        }
    }
}

/// A line, whatever its bytes.
fn line(reader: &mut impl BufRead) -> Option<String> {
    let mut bytes = Vec::new();
    let count = reader.read_until(b'\n', &mut bytes).ok()?;
    (count > 0).then(|| String::from_utf8_lossy(&bytes).trim_end().to_owned())
}

pub(crate) fn receive(reader: &mut impl BufRead) -> Option<Received> {
    let mut request = Received { line: line(reader)?, headers: Vec::new(), body: Vec::new() };
    while let Some((name, value)) = line(reader)?.split_once(':') {
        request.headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    if let Some(length) = request.header("content-length").and_then(|length| length.parse::<usize>().ok()) {
        request.body = vec![0; length];
        reader.read_exact(&mut request.body).ok()?;
    } else if request.header("transfer-encoding").is_some() {
        loop {
            let size = usize::from_str_radix(&line(reader)?, 16).ok()?;
            let mut chunk = vec![0; size + 2];
            reader.read_exact(&mut chunk).ok()?;
            if size == 0 {
                break;
            }
            request.body.extend_from_slice(&chunk[..size]);
        }
    }
    Some(request)
}

pub(crate) fn play(out: &mut TcpStream, script: &Script) -> std::io::Result<()> {
    if let Some(raw) = &script.raw {
        return out.write_all(raw);
    }
    let mut head = format!("HTTP/1.1 {} Scripted\r\n", script.status);
    for (name, value) in &script.headers {
        head += &format!("{name}: {value}\r\n");
    }
    let single = script.parts.len() == 1 && !script.cut;
    match (single, script.parts.first()) {
        (true, Some((_, part))) => head += &format!("content-length: {}\r\n\r\n", part.len()),
        _ => head += "transfer-encoding: chunked\r\n\r\n",
    }
    out.write_all(head.as_bytes())?;
    for (wait, part) in &script.parts {
        if *wait > 0 {
            std::thread::sleep(Duration::from_millis(*wait));
        }
        if single {
            return out.write_all(part);
        }
        let mut chunk = format!("{:x}\r\n", part.len()).into_bytes();
        chunk.extend_from_slice(part);
        chunk.extend_from_slice(b"\r\n");
        out.write_all(&chunk)?;
    }
    if script.cut { Ok(()) } else { out.write_all(b"0\r\n\r\n") }
}
