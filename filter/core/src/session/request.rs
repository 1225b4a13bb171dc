//! The request's side: head → identity → surface → body → rewritten.

use super::{Headers, ReadBody, Session, Standing};
use crate::error::{Code, Shape};
use crate::identity::{Credentials, HostCrypto};
use crate::rewrite;
use crate::snapshot::wire::Credential;
use crate::surface::{BodyRule, Route};
use crate::verdict::{Edits, Step};

/// Where the request stands.
pub(super) enum State {
    /// Its head has not come.
    Head,
    /// Its head is judged; its body is being buffered.
    Body(Box<Route>),
    /// It went to the upstream.
    Forwarded(Box<Forwarded>),
}

/// What the response's side must know of a request that went out.
pub(super) struct Forwarded {
    pub(super) route: Route,
    pub(super) memo: rewrite::Memo,
}

/// Headers by which a client could change method or path behind the proxy's back, or speak in Envoy's name.
const FORBIDDEN: &[&str] =
    &["x-http-method-override", "x-http-method", "x-method-override", "x-original-url", "x-rewrite-url"];

pub(super) fn head(s: &mut Session, headers: &Headers, end: bool, crypto: &dyn HostCrypto) -> Result<Step, Code> {
    s.request_id = text(headers, "x-request-id").ok().flatten().unwrap_or_default().chars().take(128).collect();
    let snapshot = match &s.standing {
        Standing::Missing => return Err(Code::SnapshotMissing),
        Standing::Stale(_) => return Err(Code::SnapshotStale),
        Standing::Ready(snapshot) => snapshot.clone(),
    };
    let method = required(headers, ":method")?;
    let path = required(headers, ":path")?;
    let authority = required(headers, ":authority")?;
    if method == "CONNECT" || text(headers, "upgrade")?.is_some() || text(headers, ":protocol")?.is_some() {
        return Err(Code::UpgradeForbidden);
    }

    // The surface decides the shape of every later refusal, but what it serves is told only to a tenant.
    let routed = snapshot.surfaces.classify(authority, method, path);
    match &routed {
        Ok(route) => {
            s.shape = route.surface.shape();
            s.surface = Some(route.surface.name.clone());
        }
        Err(refusal) => {
            s.shape = refusal.shape;
            s.surface.clone_from(&refusal.surface);
            if s.shape == Shape::Problem {
                return Err(refusal.code);
            }
        }
    }
    let token = Credentials::collect(headers, snapshot.identity.header())?;
    let bound = snapshot.identity.verify(token.token(), &snapshot.tenants, s.started_ms / 1000, crypto)?;
    let mut edits = Edits::none();
    reserve(headers, &mut edits);
    edits.set("x-partywall-tenant", bound.tenant.as_str());
    if let Some(subject) = bound.subject.as_deref().filter(|subject| header_safe(subject)) {
        edits.set("x-partywall-subject", subject);
    }
    let tenant = bound.tenant.clone();
    s.bound = Some(bound);
    let route = routed.map_err(|refusal| refusal.code)?;
    s.endpoint = Some(route.endpoint.name);

    match &route.surface.credential {
        Credential::Forward => {}
        Credential::Strip => edits.remove(token.header().to_owned()),
        Credential::Replace { header, value } => {
            if token.header() != header {
                edits.remove(token.header().to_owned());
            }
            edits.set(header.clone(), value.as_str());
        }
    }
    // What cannot be read cannot be judged.
    edits.set("accept-encoding", "identity");
    if text(headers, "content-encoding")?.is_some_and(|coding| !coding.eq_ignore_ascii_case("identity")) {
        return Err(Code::EncodingUnsupported);
    }

    if !end {
        check_body_head(headers, &route)?;
        s.request = State::Body(Box::new(route));
        return Ok(Step::Hold(edits));
    }
    if route.endpoint.body != BodyRule::None {
        return Err(Code::BodyMissing);
    }
    let rewritten = rewrite::request(&route, &tenant, &[])?;
    if let Some(path) = rewritten.path {
        edits.set(":path", path);
    }
    s.request = State::Forwarded(Box::new(Forwarded { route, memo: rewritten.memo }));
    Ok(Step::Forward(edits))
}

pub(super) fn body(s: &mut Session, size: usize, end: bool, read: ReadBody<'_>) -> Result<Step, Code> {
    let State::Body(route) = &s.request else { return Err(Code::Internal) };
    let Some(tenant) = s.bound.as_ref().map(|bound| bound.tenant.clone()) else { return Err(Code::Internal) };
    if route.endpoint.body == BodyRule::None && size > 0 {
        return Err(Code::BodyForbidden);
    }
    if u64::try_from(size).unwrap_or(u64::MAX) > route.surface.limits.request_bytes {
        return Err(Code::BodyTooLarge);
    }
    if !end {
        return Ok(Step::Hold(Edits::none()));
    }
    let bytes = if size == 0 { Vec::new() } else { read(0, size).ok_or(Code::Internal)? };
    if bytes.len() != size {
        return Err(Code::Internal);
    }
    if bytes.is_empty() && route.endpoint.body != BodyRule::None {
        return Err(Code::BodyMissing);
    }
    let rewritten = rewrite::request(route, &tenant, &bytes)?;
    let mut edits = Edits::none();
    if let Some(path) = rewritten.path {
        edits.set(":path", path);
    }
    let step = match rewritten.body {
        Some(body) => {
            edits.set("content-length", body.len().to_string());
            edits.remove("transfer-encoding");
            Step::Replace(edits, body)
        }
        None => Step::Forward(edits),
    };
    let State::Body(route) = std::mem::replace(&mut s.request, State::Head) else { return Err(Code::Internal) };
    s.request = State::Forwarded(Box::new(Forwarded { route: *route, memo: rewritten.memo }));
    Ok(step)
}

/// What a head says of a body that follows.
fn check_body_head(headers: &Headers, route: &Route) -> Result<(), Code> {
    if text(headers, "trailer")?.is_some() {
        return Err(Code::TrailersForbidden);
    }
    let length = match text(headers, "content-length")? {
        None => None,
        Some(length) => Some(length.parse::<u64>().map_err(|_| Code::HeadMalformed)?),
    };
    if length.is_some_and(|length| length > route.surface.limits.request_bytes) {
        return Err(Code::BodyTooLarge);
    }
    if route.endpoint.body == BodyRule::None {
        return if length.unwrap_or(0) > 0 { Err(Code::BodyForbidden) } else { Ok(()) };
    }
    match text(headers, "content-type")? {
        Some(media) if is_json(media) => Ok(()),
        _ => Err(Code::MediaTypeUnsupported),
    }
}

/// Inbound headers that are ours or Envoy's to set.
fn reserve(headers: &Headers, edits: &mut Edits) {
    for (name, _) in headers {
        let Ok(name) = std::str::from_utf8(name) else { continue };
        let ours = name.starts_with("x-partywall-") || name.starts_with("x-envoy-") || FORBIDDEN.contains(&name);
        // With underscores a header may be read as ours by a CGI-like upstream.
        let alias = name.contains('_') && name.replace('_', "-").starts_with("x-partywall-");
        if ours || alias {
            edits.remove(name.to_owned());
        }
    }
}

/// The one value of a header, `None` when absent.
///
/// # Errors
/// [`Code::HeadMalformed`] when it is repeated or not UTF-8.
pub(super) fn text<'a>(headers: &'a Headers, name: &str) -> Result<Option<&'a str>, Code> {
    let mut values = headers.iter().filter(|(n, _)| n == name.as_bytes()).map(|(_, value)| value);
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Code::HeadMalformed);
    }
    std::str::from_utf8(value).map(Some).map_err(|_| Code::HeadMalformed)
}

fn required<'a>(headers: &'a Headers, name: &str) -> Result<&'a str, Code> {
    text(headers, name)?.ok_or(Code::HeadMalformed)
}

fn is_json(media: &str) -> bool {
    let mut parts = media.split(';').map(str::trim);
    let essence = parts.next().unwrap_or("");
    essence.eq_ignore_ascii_case("application/json")
        && parts.all(|p| {
            p.is_empty() || p.eq_ignore_ascii_case("charset=utf-8") || p.eq_ignore_ascii_case("charset=\"utf-8\"")
        })
}

fn header_safe(value: &str) -> bool {
    value.len() <= 256 && !value.is_empty() && value.bytes().all(|b| (0x21..=0x7e).contains(&b))
}
