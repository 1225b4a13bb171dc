//! The request's side: head → identity → surface → body → rewritten.

use super::{Headers, ReadBody, Session, Standing, Written};
use crate::error::{Code, Shape};
use crate::harvest::harvest;
use crate::identity::{Credentials, HostCrypto};
use crate::phrase::PhraseSet;
use crate::rag::{self, Rewritten};
use crate::scan::{Actions, Echoes};
use crate::snapshot::wire::Credential;
use crate::surface::{BodyRule, Route};
use crate::tenant::TenantId;
use crate::verdict::{Edits, OwnCall, Step};
use std::rc::Rc;

/// Where the request stands.
pub(super) enum State {
    /// Its head has not come.
    Head,
    /// Its head is judged; its body is being buffered.
    Body(Box<Pending>),
    /// It went to the upstream.
    Forwarded(Box<Forwarded>),
}

/// A request whose body has not come.
pub(super) struct Pending {
    route: Route,
    carried: Vec<(String, String)>,
}

/// What the response's side must know of a request that went out.
pub(super) struct Forwarded {
    pub(super) route: Route,
    pub(super) memo: rag::Memo,
    pub(super) actions: Actions,
    pub(super) echoes: Option<Rc<Echoes>>,
}

/// Headers by which a client could change method or path behind the proxy's back, or speak in Envoy's name.
const FORBIDDEN: &[&str] = &[
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
    // As whom a database acts, where our credential may act as others.
    "es-security-runas-user",
    "opendistro_security_impersonate_as",
];

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
    authority.clone_into(&mut s.authority);
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

    let carried = if route.surface.rag.is_some() { carry(headers)? } else { Vec::new() };
    if !end {
        check_body_head(headers, &route)?;
        if route.endpoint.body == BodyRule::JsonOrText {
            edits.set("content-type", "application/json");
        }
        s.request = State::Body(Box::new(Pending { route, carried }));
        return Ok(Step::Hold(edits));
    }
    if route.endpoint.body.needs_body() {
        return Err(Code::BodyMissing);
    }
    let rewritten = judge(s, &route, &tenant, &carried, &[])?;
    forward(s, route, rewritten, edits, None)
}

/// Runs the row's judge.
fn judge(
    s: &Session,
    route: &Route,
    tenant: &TenantId,
    carried: &[(String, String)],
    body: &[u8],
) -> Result<Rewritten, Code> {
    let mut rewritten = rag::request(route, tenant, carried, body, &s.request_id)?;
    let place = route.surface.rag.as_ref().map(|config| config.place(tenant));
    if let Some(cluster) = place.and_then(|place| place.cluster) {
        rewritten.headers.push((CLUSTER, Some(cluster)));
    }
    Ok(rewritten)
}

/// The header that names Envoy's cluster of the tenant's database: for routes with `cluster_header`.
const CLUSTER: &str = "x-partywall-cluster";

/// What was judged goes to the upstream, or is asked by ourselves.
fn forward(
    s: &mut Session,
    route: Route,
    rewritten: Rewritten,
    mut edits: Edits,
    echoes: Option<Rc<Echoes>>,
) -> Result<Step, Code> {
    let cluster = rewritten.headers.iter().find(|(name, _)| *name == CLUSTER).and_then(|(_, value)| value.clone());
    for (name, value) in rewritten.headers {
        match value {
            Some(value) => edits.set(name, value),
            None => edits.remove(name),
        }
    }
    let step = match (rewritten.call, rewritten.body) {
        (Some(call), body) => {
            let mut headers = vec![("accept-encoding".to_owned(), b"identity".to_vec())];
            if body.is_some() {
                headers.push(("content-type".to_owned(), b"application/json".to_vec()));
            }
            if let Credential::Replace { header, value } = &route.surface.credential {
                headers.push((header.clone(), value.clone().into_bytes()));
            }
            Step::Call(OwnCall {
                cluster: cluster.ok_or(Code::PlaceUnavailable)?,
                authority: s.authority.clone(),
                method: call.method,
                path: call.path,
                headers,
                body: body.unwrap_or_default(),
            })
        }
        (None, body) => {
            if let Some(path) = rewritten.path {
                edits.set(":path", path);
            }
            match body {
                Some(body) => {
                    edits.set("content-length", body.len().to_string());
                    edits.remove("transfer-encoding");
                    Step::Replace(edits, body)
                }
                None => Step::Forward(edits),
            }
        }
    };
    let (Standing::Ready(snapshot), Some(bound)) = (&s.standing, &s.bound) else { return Err(Code::Internal) };
    let actions = snapshot.actions(&route.surface.name, &bound.tenant);
    s.request = State::Forwarded(Box::new(Forwarded { route, memo: rewritten.memo, actions, echoes }));
    Ok(step)
}

/// The headers that a database's judge may need.
fn carry(headers: &Headers) -> Result<Vec<(String, String)>, Code> {
    let one = |name: &&str| match text(headers, name) {
        Ok(Some(value)) => Some(Ok(((*name).to_owned(), value.to_owned()))),
        Ok(None) => None,
        Err(code) => Some(Err(code)),
    };
    rag::CARRIED.iter().filter_map(one).collect()
}

pub(super) fn body(s: &mut Session, size: usize, end: bool, read: ReadBody<'_>) -> Result<Step, Code> {
    let State::Body(pending) = &s.request else { return Err(Code::Internal) };
    let Some(tenant) = s.bound.as_ref().map(|bound| bound.tenant.clone()) else { return Err(Code::Internal) };
    let route = &pending.route;
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
    if bytes.is_empty() && route.endpoint.body.needs_body() {
        return Err(Code::BodyMissing);
    }
    let rewritten = judge(s, route, &tenant, &pending.carried, &bytes)?;
    let echoes = echoes(s, route, &tenant, &bytes);
    let written = written(s, route, &tenant, &bytes);
    drop(bytes);
    s.written = written;
    let State::Body(pending) = std::mem::replace(&mut s.request, State::Head) else { return Err(Code::Internal) };
    forward(s, pending.route, rewritten, Edits::none(), echoes)
}

/// What of others' a request to a model holds, where the policy excuses that its response says it back.
fn echoes(s: &Session, route: &Route, tenant: &TenantId, body: &[u8]) -> Option<Rc<Echoes>> {
    let Standing::Ready(snapshot) = &s.standing else { return None };
    let leakage = &snapshot.leakage;
    // A database answers with what it holds, never with what it was asked.
    if !leakage.fingerprint_check || route.surface.rag.is_some() {
        return None;
    }
    Echoes::of(&snapshot.fingerprints, tenant, leakage.echo, body).map(Rc::new)
}

/// The documents that a request writes, as hashes: its text is not kept beyond it.
fn written(s: &Session, route: &Route, tenant: &TenantId, body: &[u8]) -> Written {
    let Standing::Ready(snapshot) = &s.standing else { return Written::default() };
    let Some(reader) = snapshot.fingerprints.phrases().and_then(PhraseSet::reader) else { return Written::default() };
    if route.surface.rag.is_none() {
        return Written::default();
    }
    let writes = rag::written::written(route, body);
    let skipped = writes.skipped;
    Written { documents: harvest(reader, tenant, writes), skipped, taken: false }
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
        Some(media) if route.endpoint.body == BodyRule::Ndjson && is_ndjson(media) => Ok(()),
        Some(media) if route.endpoint.body == BodyRule::JsonOrText && is_plain(media) => Ok(()),
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
        // By these Weaviate's modules would send what they embed, with the operator's key, to an address of the client's.
        let elsewhere = name.starts_with("x-") && name.ends_with("-baseurl");
        if ours || alias || elsewhere {
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
    (essence.eq_ignore_ascii_case("application/json") || is_vendor(essence, "+json"))
        && parts.all(|p| {
            p.is_empty()
                || p.eq_ignore_ascii_case("charset=utf-8")
                || p.eq_ignore_ascii_case("charset=\"utf-8\"")
                // Which of its versions an Elasticsearch client speaks: it does not change what JSON is.
                || p.strip_prefix("compatible-with=").is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()))
        })
}

fn is_plain(media: &str) -> bool {
    let (essence, charset) = media.split_once(';').unwrap_or((media, "charset=utf-8"));
    essence.trim().eq_ignore_ascii_case("text/plain") && charset.trim().eq_ignore_ascii_case("charset=utf-8")
}

fn is_ndjson(media: &str) -> bool {
    let essence = media.split(';').next().unwrap_or("").trim();
    essence.eq_ignore_ascii_case("application/x-ndjson") || is_vendor(essence, "+x-ndjson")
}

/// Elasticsearch's and OpenSearch's own names for JSON, as their clients send them.
fn is_vendor(essence: &str, suffix: &str) -> bool {
    let rest = essence.strip_prefix("application/vnd.").and_then(|rest| rest.strip_suffix(suffix));
    rest.is_some_and(|vendor| matches!(vendor, "elasticsearch" | "opensearch" | "pgrst.object" | "pgrst.array"))
}

fn header_safe(value: &str) -> bool {
    value.len() <= 256 && !value.is_empty() && value.bytes().all(|b| (0x21..=0x7e).contains(&b))
}
