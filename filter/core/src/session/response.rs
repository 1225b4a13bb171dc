//! The response's side: head → what can be read → verified → scanned → delivered.
//!
//! While nothing was let go yet, head and body stay with the host, so a match becomes a clean refusal. From the first
//! released byte on, every chunk is replaced by what is safe of it; a match then ends the stream with the dialect's
//! own error event. The two phases never mix: once a chunk was let go, none is held at the host again.

use super::request::text;
use super::{Headers, ReadBody, Session, Standing};
use crate::error::Code;
use crate::rag::{self, Verified};
use crate::record::Hit;
use crate::scan::{Media, ScanConfig, Scanner};
use crate::snapshot::wire::OnDetect;
use crate::verdict::{Edits, Reply, Step};
use std::rc::Rc;

/// Where the response stands.
pub(super) enum State {
    /// Its head has not come.
    Head,
    /// It is held whole: a database's answer of this status to be verified, or a JSON document to be scanned.
    Whole { verify: Option<u16>, limit: u64 },
    /// It is scanned as it comes. `seen` bytes of what the host still holds were scanned; `started` once any left.
    Stream { scanner: Box<Scanner>, seen: usize, ready: Vec<u8>, started: bool },
    /// It passes as it is: nothing is scanned by policy, or it has no body.
    Pass,
    /// A match ended it; what still comes is swallowed.
    Closed,
    /// It is over, or it is our own reply.
    Done,
}

pub(super) fn head(s: &mut Session, headers: &Headers, end: bool) -> Step {
    if s.refused.is_some() || s.route().is_none() {
        // Our own reply, or Envoy's before the upstream saw anything.
        s.response = State::Done;
        return Step::Forward(Edits::none());
    }
    match judge_head(s, headers, end) {
        Ok(step) => step,
        Err(code) => s.refuse(code),
    }
}

fn judge_head(s: &mut Session, headers: &Headers, end: bool) -> Result<Step, Code> {
    let malformed = |_| Code::UpstreamMalformed;
    let status: u16 =
        text(headers, ":status").map_err(malformed)?.and_then(|v| v.parse().ok()).ok_or(Code::UpstreamMalformed)?;
    s.written.taken = (200..300).contains(&status);
    let (Standing::Ready(snapshot), Some(route)) = (s.standing.clone(), s.route()) else { return Err(Code::Internal) };
    if status == 101 {
        return Err(Code::UpgradeForbidden);
    }
    if text(headers, "content-encoding").map_err(malformed)?.is_some_and(|c| !c.eq_ignore_ascii_case("identity")) {
        return Err(Code::UpstreamEncodingUnsupported);
    }
    let limits = route.surface.limits;
    let verify = rag::verifies(route, status);
    // They say where a record now is, and what was asked, by the database's own names.
    let there = |name: &&str| headers.iter().any(|(known, _)| known == name.as_bytes());
    let named: Vec<&str> = ["location", "content-location"].into_iter().filter(there).collect();
    let database = route.surface.rag.is_some();
    let edits = || {
        let mut edits = Edits::none();
        if database {
            named.iter().for_each(|name| edits.remove(*name));
        }
        edits
    };
    let scan = snapshot.leakage.fingerprint_check;
    let media = match text(headers, "content-type").map_err(malformed)? {
        Some(media) => Media::from_content_type(media.as_bytes()),
        // What must be verified is read as what it must be; PostgREST gives an empty body no type.
        None => Some(if verify { Media::Json } else { Media::Text }),
    };
    if scan {
        scan_head(s, headers)?;
    }
    if end || status == 204 || status == 304 {
        s.response = State::Pass;
        s.complete = end;
        return Ok(Step::Forward(edits()));
    }
    if text(headers, "trailer").map_err(malformed)?.is_some() {
        return Err(Code::UpstreamTrailers);
    }
    let media = media.filter(|media| !verify || *media == Media::Json);
    let Some(media) = media else { return Err(Code::UpstreamMediaTypeUnsupported) };
    if !scan && !verify {
        s.response = State::Pass;
        return Ok(Step::Forward(edits()));
    }
    if verify || media == Media::Json {
        let length = text(headers, "content-length").map_err(malformed)?.and_then(|v| v.parse::<u64>().ok());
        if length.is_some_and(|length| length > limits.response_bytes) {
            return Err(Code::UpstreamTooLarge);
        }
        s.response = State::Whole { verify: verify.then_some(status), limit: limits.response_bytes };
        return Ok(Step::Hold(edits()));
    }
    let scanner = Box::new(scanner(s, media)?);
    s.response = State::Stream { scanner, seen: 0, ready: Vec::new(), started: false };
    let mut edits = edits();
    // The length may change, and a wrong one truncates (HTTP/1.1) or breaks (HTTP/2) the answer.
    edits.remove("content-length");
    Ok(Step::Hold(edits))
}

/// Header values are text that the upstream chose: they pass the automaton too.
fn scan_head(s: &mut Session, headers: &Headers) -> Result<(), Code> {
    let mut scanner = scanner(s, Media::Text)?;
    let mut values = Vec::new();
    for (_, value) in headers {
        values.extend_from_slice(value);
        values.push(b'\n');
    }
    let output = scanner.push(&values, true);
    // A header cannot be redacted in part, so everything but "alert only" blocks.
    let stops = !scanner.hits().is_empty() && (output.blocked.is_some() || scanner.redacted());
    let redacted = |hit: &Hit| hit.action == Some(OnDetect::Redact);
    let done = |hit: &Hit| if redacted(hit) { Some(OnDetect::Block) } else { hit.action };
    s.hits.extend(scanner.hits().iter().map(|hit| Hit { action: done(hit), ..hit.clone() }));
    if stops { Err(Code::FingerprintMatch) } else { Ok(()) }
}

fn scanner(s: &Session, media: Media) -> Result<Scanner, Code> {
    let (Standing::Ready(snapshot), super::request::State::Forwarded(forwarded), Some(bound)) =
        (&s.standing, &s.request, &s.bound)
    else {
        return Err(Code::Internal);
    };
    Ok(Scanner::new(ScanConfig {
        set: Rc::clone(&snapshot.fingerprints),
        tenant: bound.tenant.clone(),
        media,
        shape: s.shape,
        on_detect: snapshot.leakage.action_on_detect,
        hold_back: snapshot.leakage.hold_back,
        limits: forwarded.route.surface.limits,
        request_id: s.request_id.clone(),
    })
    .evasion(snapshot.leakage.evasion)
    .actions(forwarded.actions)
    .echoes(forwarded.echoes.clone()))
}

pub(super) fn body(s: &mut Session, size: usize, end: bool, read: ReadBody<'_>) -> Step {
    match std::mem::replace(&mut s.response, State::Closed) {
        State::Pass => {
            s.response = State::Pass;
            s.complete |= end;
            Step::Forward(Edits::none())
        }
        State::Done => {
            s.response = State::Done;
            Step::Forward(Edits::none())
        }
        State::Closed => {
            s.bytes.scanned = s.bytes.scanned.saturating_add(len64(size));
            s.bytes.withheld = s.bytes.withheld.saturating_add(len64(size));
            Step::Replace(Edits::none(), Vec::new())
        }
        State::Whole { verify, limit } => {
            s.response = State::Whole { verify, limit };
            whole(s, verify, limit, size, end, read).unwrap_or_else(|code| {
                s.bytes.scanned = len64(size);
                s.bytes.withheld = len64(size);
                s.refuse(code)
            })
        }
        State::Stream { scanner, seen, ready, started } => stream(s, scanner, seen, ready, started, size, end, read),
        // A body without a judged head: nothing is known about it.
        State::Head => s.refuse(Code::Internal),
    }
}

fn whole(
    s: &mut Session,
    verify: Option<u16>,
    limit: u64,
    size: usize,
    end: bool,
    read: ReadBody<'_>,
) -> Result<Step, Code> {
    if len64(size) > limit {
        return Err(Code::UpstreamTooLarge);
    }
    if !end {
        return Ok(Step::Hold(Edits::none()));
    }
    let original = read(0, size).filter(|bytes| bytes.len() == size).ok_or(Code::Internal)?;
    let (changed, status) = judge_whole(s, verify, &original)?;
    s.response = State::Done;
    let mut edits = Edits::none();
    if let Some(status) = status {
        edits.set(":status", status.to_string());
    }
    Ok(match changed {
        None => Step::Forward(edits),
        Some(body) => {
            edits.set("content-length", body.len().to_string());
            Step::Replace(edits, body)
        }
    })
}

/// Verifies and scans an answer that is there whole: its new body, where it changes, and its new status.
fn judge_whole(s: &mut Session, verify: Option<u16>, original: &[u8]) -> Result<(Option<Vec<u8>>, Option<u16>), Code> {
    let size = original.len();
    let (mut changed, mut new_status) = (None, None);
    if let Some(status) = verify {
        let verified = verified(s, status, original)?;
        s.tally = verified.tally;
        changed = verified.body;
        new_status = verified.status;
    }
    let scan = matches!(&s.standing, Standing::Ready(snapshot) if snapshot.leakage.fingerprint_check);
    if scan {
        let mut scanner = scanner(s, Media::Json)?;
        let output = scanner.push(changed.as_deref().unwrap_or(original), true);
        s.hits.extend_from_slice(scanner.hits());
        if let Some(code) = output.blocked {
            return Err(code);
        }
        if changed.as_deref().unwrap_or(original) != output.release.as_slice() {
            s.altered = true;
            changed = Some(output.release);
        }
    }
    s.bytes.scanned = len64(size);
    s.bytes.delivered =
        if changed.is_none() { len64(size) } else { changed.as_ref().map_or(0, |b| len64(b.len())).min(len64(size)) };
    s.bytes.withheld = s.bytes.scanned.saturating_sub(s.bytes.delivered);
    s.complete = true;
    Ok((changed, new_status))
}

fn verified(s: &Session, status: u16, body: &[u8]) -> Result<Verified, Code> {
    let (Standing::Ready(snapshot), super::request::State::Forwarded(forwarded), Some(bound)) =
        (&s.standing, &s.request, &s.bound)
    else {
        return Err(Code::Internal);
    };
    let known = |word: &str| snapshot.tenants.is_known(word);
    rag::response(&forwarded.route, &bound.tenant, &forwarded.memo, status, body, &known)
}

/// The answer to a request of the filter's own becomes the client's answer.
pub(super) fn call_answer(s: &mut Session, answer: Option<(&Headers, Vec<u8>)>) -> Result<Step, Code> {
    let (headers, body) = answer.ok_or(Code::UpstreamUnavailable)?;
    let malformed = |_| Code::UpstreamMalformed;
    let status: u16 =
        text(headers, ":status").map_err(malformed)?.and_then(|v| v.parse().ok()).ok_or(Code::UpstreamMalformed)?;
    if text(headers, "content-encoding").map_err(malformed)?.is_some_and(|c| !c.eq_ignore_ascii_case("identity")) {
        return Err(Code::UpstreamEncodingUnsupported);
    }
    let limit = s.route().map(|route| route.surface.limits.response_bytes).ok_or(Code::Internal)?;
    s.written.taken = (200..300).contains(&status);
    if len64(body.len()) > limit {
        return Err(Code::UpstreamTooLarge);
    }
    let (changed, new_status) = judge_whole(s, Some(status), &body)?;
    s.response = State::Done;
    let mut reply = Reply::json(new_status.unwrap_or(status), changed.unwrap_or(body));
    // Elasticsearch's clients believe only answers that say so.
    if matches!(text(headers, "x-elastic-product"), Ok(Some("Elasticsearch"))) {
        reply.headers.push(("x-elastic-product", "Elasticsearch".to_owned()));
    }
    Ok(Step::Reply(reply))
}

#[allow(clippy::too_many_arguments)]
fn stream(
    s: &mut Session,
    mut scanner: Box<Scanner>,
    seen: usize,
    mut ready: Vec<u8>,
    started: bool,
    size: usize,
    end: bool,
    read: ReadBody<'_>,
) -> Step {
    // Before the first release the host keeps everything and `size` grows; afterwards it counts the new chunk only.
    let fresh = size.checked_sub(seen).and_then(|len| if len == 0 { Some(Vec::new()) } else { read(seen, len) });
    let Some(fresh) = fresh.filter(|bytes| Some(bytes.len()) == size.checked_sub(seen)) else {
        settle_scanner(s, &scanner);
        return if started { Step::Reset } else { s.refuse(Code::Internal) };
    };
    let output = scanner.push(&fresh, end);
    if let Some(code) = output.blocked {
        settle_scanner(s, &scanner);
        if !started {
            s.bytes.withheld = s.bytes.scanned;
            s.bytes.delivered = 0;
            return s.refuse(code);
        }
        s.refused = Some(code);
        let mut last = output.release;
        last.extend_from_slice(&scanner.terminal(code));
        return Step::Replace(Edits::none(), last);
    }
    if end {
        settle_scanner(s, &scanner);
        s.complete = true;
        s.response = State::Done;
    }
    if started {
        let same = output.release == fresh;
        if !end {
            s.response = State::Stream { scanner, seen: 0, ready, started };
        }
        return if same { Step::Forward(Edits::none()) } else { Step::Replace(Edits::none(), output.release) };
    }
    if ready.is_empty() {
        ready = output.release;
    } else {
        ready.extend_from_slice(&output.release);
    }
    if ready.is_empty() && !end {
        s.response = State::Stream { scanner, seen: size, ready, started };
        return Step::Hold(Edits::none());
    }
    if !end {
        s.response = State::Stream { scanner, seen: 0, ready: Vec::new(), started: true };
    }
    Step::Replace(Edits::none(), ready)
}

pub(super) fn trailers(s: &mut Session) -> Step {
    match std::mem::replace(&mut s.response, State::Closed) {
        State::Whole { .. } | State::Head => s.refuse(Code::UpstreamTrailers),
        State::Stream { scanner, started: false, .. } => {
            settle_scanner(s, &scanner);
            s.refuse(Code::UpstreamTrailers)
        }
        State::Stream { mut scanner, .. } => {
            let output = scanner.push(&[], true);
            settle_scanner(s, &scanner);
            // A tail can no longer be written here: with one pending, cutting the stream is all that is left.
            if output.release.is_empty() && output.blocked.is_none() {
                s.complete = true;
                return Step::Forward(Edits::none());
            }
            s.refused = Some(output.blocked.unwrap_or(Code::UpstreamTrailers));
            let tail = len64(output.release.len()).min(s.bytes.delivered);
            s.bytes.delivered = s.bytes.delivered.saturating_sub(tail);
            s.bytes.withheld = s.bytes.withheld.saturating_add(tail);
            Step::Reset
        }
        other => {
            s.response = other;
            s.complete = s.refused.is_none();
            Step::Forward(Edits::none())
        }
    }
}

/// Takes over what a scanner that is still at work has found, when the stream ends early.
pub(super) fn settle(s: &mut Session) {
    if let State::Stream { scanner, .. } = std::mem::replace(&mut s.response, State::Done) {
        settle_scanner(s, &scanner);
    }
}

fn settle_scanner(s: &mut Session, scanner: &Scanner) {
    s.hits.extend_from_slice(scanner.hits());
    s.bytes = scanner.bytes();
    // It is over: what is still held never leaves.
    s.bytes.withheld = s.bytes.withheld.saturating_add(len64(scanner.held()));
    s.altered = scanner.redacted();
}

fn len64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
