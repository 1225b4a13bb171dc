//! HTTP/1.1 by hand: what is sent is exactly what a test says, and chunks are seen as they come.

use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// A response.
#[derive(Debug, Default)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, decoded.
    pub body: Vec<u8>,
    /// When each part of the body came, since the request was sent, and its bytes.
    pub parts: Vec<(Duration, Vec<u8>)>,
    /// The body did not end as it should have.
    pub cut: bool,
}

impl Response {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; null when it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Our refusal's code.
    pub fn code(&self) -> Option<&str> {
        self.header("x-partywall-code")
    }
}

/// Sends raw bytes and reads one response.
///
/// # Errors
/// When there is no connection or no response head.
pub fn raw(port: u16, request: &[u8]) -> Result<Response> {
    exchange(port, |stream| stream.write_all(request))
}

/// Sends by a function and reads one response.
///
/// # Errors
/// When there is no connection or no response head.
pub fn exchange(port: u16, send: impl FnOnce(&mut TcpStream) -> std::io::Result<()>) -> Result<Response> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).with_context(|| format!("nothing listens on {port}"))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let start = Instant::now();
    // A server may answer and close before it has read everything.
    let _ = send(&mut stream);
    read(&mut BufReader::new(stream), start)
}

fn read(reader: &mut impl BufRead, start: Instant) -> Result<Response> {
    let mut response = Response::default();
    let mut line = String::new();
    reader.read_line(&mut line)?;
    response.status = line
        .split(' ')
        .nth(1)
        .and_then(|s| s.trim().parse().ok())
        .with_context(|| format!("no response head but {line:?}"))?;
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => response.headers.push((name.to_lowercase(), value.trim().to_owned())),
            None => break,
        }
    }
    if response.status == 100 {
        return read(reader, start);
    }
    if matches!(response.status, 204 | 304) {
        return Ok(response);
    }
    let chunked = response.header("transfer-encoding").is_some_and(|coding| coding.contains("chunked"));
    let length: Option<usize> = response.header("content-length").and_then(|length| length.parse().ok());
    let done = if chunked { chunks(reader, start, &mut response) } else { plain(reader, start, length, &mut response) };
    response.cut = done.is_err();
    Ok(response)
}

fn chunks(reader: &mut impl BufRead, start: Instant, response: &mut Response) -> Result<()> {
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            bail!("cut");
        }
        let size = usize::from_str_radix(line.trim().split(';').next().unwrap_or(""), 16)?;
        let mut chunk = vec![0; size + 2];
        reader.read_exact(&mut chunk)?;
        chunk.truncate(size);
        if size == 0 {
            return Ok(());
        }
        response.body.extend_from_slice(&chunk);
        response.parts.push((start.elapsed(), chunk));
    }
}

fn plain(reader: &mut impl Read, start: Instant, length: Option<usize>, response: &mut Response) -> Result<()> {
    let mut buffer = [0; 65536];
    while length.is_none_or(|length| response.body.len() < length) {
        let count = reader.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        response.body.extend_from_slice(&buffer[..count]);
        response.parts.push((start.elapsed(), buffer[..count].to_vec()));
    }
    if length.is_some_and(|length| response.body.len() != length) {
        bail!("cut");
    }
    Ok(())
}

/// A request to put together.
#[derive(Clone)]
pub struct Request {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
}

impl Request {
    /// A request to a host.
    pub fn new(method: &str, host: &str, path: &str) -> Self {
        let headers = vec![("host".to_owned(), host.to_owned()), ("connection".to_owned(), "close".to_owned())];
        Self { method: method.to_owned(), path: path.to_owned(), headers, body: None }
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds a bearer token.
    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// Sets a JSON body.
    pub fn json(self, body: &serde_json::Value) -> Self {
        self.body("application/json", body.to_string().into_bytes())
    }

    /// Sets a body.
    pub fn body(mut self, media: &str, body: Vec<u8>) -> Self {
        self = self.header("content-type", media).header("content-length", &body.len().to_string());
        self.body = Some(body);
        self
    }

    /// Sets a body whose media type is among the headers.
    pub fn raw_body(mut self, body: Vec<u8>) -> Self {
        self = self.header("content-length", &body.len().to_string());
        self.body = Some(body);
        self
    }

    /// The request's bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = format!("{} {} HTTP/1.1\r\n", self.method, self.path).into_bytes();
        for (name, value) in &self.headers {
            out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(self.body.as_deref().unwrap_or_default());
        out
    }

    /// Sends it.
    ///
    /// # Errors
    /// As [`raw`].
    pub fn send(&self, port: u16) -> Result<Response> {
        raw(port, &self.bytes())
    }
}
