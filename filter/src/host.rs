//! The only file that calls the proxy on traffic paths.
//!
//! The SDK's wrappers panic on any status that they do not expect, and some of them on bytes that are not UTF-8; a
//! panic kills the VM and every stream on its worker. So the calls that traffic can reach are declared here again,
//! with bytes in and typed results out, and never panic: a failed call is an [`Error`] for the caller to fail
//! closed on. The host owns nothing after a call; buffers that it hands out were allocated by the SDK's
//! `proxy_on_memory_allocate` as `Vec<u8>` with capacity = length.

use partywall_core::verdict::OwnCall;
use proxy_wasm::hostcalls::dispatch_http_call;
use proxy_wasm::types::{BufferType, LogLevel, MapType};
use std::ptr::{null, null_mut};
use std::time::Duration;

/// The host refused a call; the number is its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error(pub u32);

/// Headers as bytes: name and value, in order, repeated as often as they came.
pub type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

const OK: u32 = 0;
const NOT_FOUND: u32 = 1;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_log(level: LogLevel, data: *const u8, size: usize) -> u32;
    fn proxy_get_current_time_nanoseconds(time: *mut u64) -> u32;
    fn proxy_get_buffer_bytes(kind: BufferType, start: usize, max: usize, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_set_buffer_bytes(kind: BufferType, start: usize, size: usize, data: *const u8, len: usize) -> u32;
    fn proxy_get_header_map_pairs(kind: MapType, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_replace_header_map_value(kind: MapType, key: *const u8, klen: usize, value: *const u8, vlen: usize)
    -> u32;
    fn proxy_remove_header_map_value(kind: MapType, key: *const u8, klen: usize) -> u32;
    fn proxy_close_stream(kind: u32) -> u32;
    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_len: usize,
        body: *const u8,
        body_len: usize,
        headers: *const u8,
        headers_len: usize,
        grpc_status: i32,
    ) -> u32;
    fn proxy_call_foreign_function(
        name: *const u8,
        name_len: usize,
        arguments: *const u8,
        arguments_len: usize,
        results: *mut *mut u8,
        results_len: *mut usize,
    ) -> u32;
    fn proxy_get_property(path: *const u8, path_len: usize, value: *mut *mut u8, value_len: *mut usize) -> u32;
    fn proxy_increment_metric(id: u32, offset: i64) -> u32;
    fn proxy_record_metric(id: u32, value: u64) -> u32;
}

fn check(status: u32) -> Result<(), Error> {
    if status == OK { Ok(()) } else { Err(Error(status)) }
}

/// Takes over a buffer that the host filled.
fn adopt(data: *mut u8, size: usize) -> Vec<u8> {
    if data.is_null() || size == 0 {
        return Vec::new();
    }
    // SAFETY: the host got this memory from `proxy_on_memory_allocate(size)`, which leaks a Vec<u8> of that capacity.
    unsafe { Vec::from_raw_parts(data, size, size) }
}

/// Writes a line into Envoy's log. Control characters are escaped, so that no byte from outside forges a line.
pub fn log(level: LogLevel, message: &str) {
    let line: String =
        message.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect();
    // SAFETY: pointer and length describe `line`, which outlives the call.
    let _ = unsafe { proxy_log(level, line.as_ptr(), line.len()) };
}

/// Unix time in milliseconds; 0 when the host has no clock.
pub fn now_ms() -> u64 {
    let mut time = 0u64;
    // SAFETY: `time` outlives the call.
    match unsafe { proxy_get_current_time_nanoseconds(&mut time) } {
        OK => time / 1_000_000,
        _ => 0,
    }
}

/// What the proxy knows of the stream; `path` has its parts separated by NUL.
pub fn property(path: &str) -> Option<Vec<u8>> {
    let (mut data, mut size) = (null_mut(), 0usize);
    // SAFETY: pointer and length describe `path`; the out-pointers outlive the call.
    check(unsafe { proxy_get_property(path.as_ptr(), path.len(), &mut data, &mut size) }).ok()?;
    Some(adopt(data, size))
}

/// Reads `len` bytes of a buffer from `start`.
pub fn body(kind: BufferType, start: usize, len: usize) -> Result<Vec<u8>, Error> {
    if len == 0 {
        return Ok(Vec::new());
    }
    let (mut data, mut size) = (null_mut(), 0usize);
    // SAFETY: the out-pointers outlive the call.
    check(unsafe { proxy_get_buffer_bytes(kind, start, len, &mut data, &mut size) })?;
    Ok(adopt(data, size))
}

/// Replaces everything that a buffer holds now (`size` bytes). Only replacing from 0 is reliable on Envoy.
pub fn set_body(kind: BufferType, size: usize, value: &[u8]) -> Result<(), Error> {
    // SAFETY: pointer and length describe `value`.
    check(unsafe { proxy_set_buffer_bytes(kind, 0, size, value.as_ptr(), value.len()) })
}

/// All headers of a map, as bytes.
pub fn headers(kind: MapType) -> Result<Pairs, Error> {
    let (mut data, mut size) = (null_mut(), 0usize);
    // SAFETY: the out-pointers outlive the call.
    check(unsafe { proxy_get_header_map_pairs(kind, &mut data, &mut size) })?;
    decode_pairs(&adopt(data, size)).ok_or(Error(u32::MAX))
}

/// The host's encoding of a map: count, then (key length, value length) each, then key NUL value NUL each.
fn decode_pairs(bytes: &[u8]) -> Option<Pairs> {
    if bytes.is_empty() {
        return Some(Vec::new());
    }
    let number = |at: usize| -> Option<usize> {
        let four: [u8; 4] = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(four)).ok()
    };
    let count = number(0)?;
    let mut at = count.checked_mul(8)?.checked_add(4)?;
    let mut take = |len: usize| -> Option<Vec<u8>> {
        let end = at.checked_add(len)?;
        let part = bytes.get(at..end)?.to_vec();
        at = end.checked_add(1)?;
        Some(part)
    };
    let mut pairs = Vec::with_capacity(count.min(1024));
    for index in 0..count {
        let lengths = index.checked_mul(8)?.checked_add(4)?;
        let key = take(number(lengths)?)?;
        let value = take(number(lengths.checked_add(4)?)?)?;
        pairs.push((key, value));
    }
    Some(pairs)
}

fn encode_pairs(pairs: &[(&str, &[u8])]) -> Vec<u8> {
    let size = |len: usize| u32::try_from(len).unwrap_or(0).to_le_bytes();
    let mut out = Vec::new();
    out.extend_from_slice(&size(pairs.len()));
    for (key, value) in pairs {
        out.extend_from_slice(&size(key.len()));
        out.extend_from_slice(&size(value.len()));
    }
    for (key, value) in pairs {
        out.extend_from_slice(key.as_bytes());
        out.push(0);
        out.extend_from_slice(value);
        out.push(0);
    }
    out
}

/// Sets one header, replacing every value that it had.
pub fn set_header(kind: MapType, name: &str, value: &[u8]) -> Result<(), Error> {
    // SAFETY: pointers and lengths describe `name` and `value`.
    check(unsafe { proxy_replace_header_map_value(kind, name.as_ptr(), name.len(), value.as_ptr(), value.len()) })
}

/// Removes a header, however often it is there.
pub fn remove_header(kind: MapType, name: &str) -> Result<(), Error> {
    // SAFETY: pointer and length describe `name`.
    match unsafe { proxy_remove_header_map_value(kind, name.as_ptr(), name.len()) } {
        OK | NOT_FOUND => Ok(()),
        status => Err(Error(status)),
    }
}

/// Sends a request of our own; `None` when it could not even leave. The SDK's wrapper is used because only it makes the
/// answer find its context; it panics on no status that Envoy gives for a call.
pub fn call(call: &OwnCall, timeout: Duration) -> Option<u32> {
    let mut headers =
        vec![(":method", call.method), (":path", call.path.as_str()), (":authority", call.authority.as_str())];
    for (name, value) in &call.headers {
        headers.push((name.as_str(), std::str::from_utf8(value).ok()?));
    }
    let body = Some(call.body.as_slice()).filter(|body| !body.is_empty());
    dispatch_http_call(&call.cluster, headers, body, vec![], timeout).ok()
}

/// The head and body of the answer to a request of our own.
pub fn call_answer(size: usize) -> Result<(Pairs, Vec<u8>), Error> {
    Ok((headers(MapType::HttpCallResponseHeaders)?, body(BufferType::HttpCallResponseBody, 0, size)?))
}

/// Answers the client in the upstream's stead.
pub fn reply(status: u16, headers: &[(&str, &[u8])], body: &[u8]) -> Result<(), Error> {
    let map = encode_pairs(headers);
    // SAFETY: pointers and lengths describe `map` and `body`; the details are empty; -1 is "no gRPC status".
    check(unsafe {
        proxy_send_local_response(u32::from(status), null(), 0, body.as_ptr(), body.len(), map.as_ptr(), map.len(), -1)
    })
}

/// Cuts the stream.
pub fn reset() {
    // SAFETY: no pointers. 1 is the response's side; Envoy resets the whole stream.
    let _ = unsafe { proxy_close_stream(1) };
}

/// Calls a function that Envoy offers beyond the ABI. `None` when it does not exist or refuses its arguments.
pub fn foreign(name: &str, arguments: &[u8]) -> Option<Vec<u8>> {
    let (mut data, mut size) = (null_mut(), 0usize);
    // SAFETY: pointers and lengths describe live slices; the out-pointers outlive the call.
    let status = unsafe {
        proxy_call_foreign_function(
            name.as_ptr(),
            name.len(),
            arguments.as_ptr(),
            arguments.len(),
            &mut data,
            &mut size,
        )
    };
    (status == OK).then(|| adopt(data, size))
}

/// Adds to a counter; a zero is not worth a call.
pub fn count(metric: u32, by: u64) {
    if let Some(by) = i64::try_from(by).ok().filter(|by| *by > 0) {
        // SAFETY: no pointers.
        let _ = unsafe { proxy_increment_metric(metric, by) };
    }
}

/// Sets a gauge.
pub fn gauge(metric: u32, value: u64) {
    // SAFETY: no pointers.
    let _ = unsafe { proxy_record_metric(metric, value) };
}
