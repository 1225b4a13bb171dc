//! Vector databases in tests: one surface of each kind, and cases that are data.
//!
//! `tests/data/KIND/requests.toml` says what the backend must get for what acme sends, `answers.toml` what acme must get for what
//! the backend answers. In both, `@ID@` stands for the UUID `@RAW@` sealed to acme.

use crate::fakes::Fake;
use crate::http::Request;
use crate::stack::{Stack, demo_policy, envoy_template};
use crate::{cases, mint};
use partywall_core::error::Code;
use partywall_core::rag::{self, Memo, Place, Rewritten, Verified};
use partywall_core::snapshot::wire::{Credential, Limits, Rag, Strategy, Surface, SurfaceKind};
use partywall_core::surface::{BodyRule, Kind, Route, Surfaces};
use partywall_core::tenant::TenantId;
use serde::Deserialize;
use std::collections::BTreeMap;

/// The UUID that `@RAW@` stands for.
pub const RAW: &str = "11111111-2222-3333-4444-555555555555";
/// The key that seals in tests.
pub const SEAL_KEY: [u8; 32] = [7; 32];

/// A surface of a kind, called by the kind's name, at the host `KIND.test`.
pub fn surface(kind: SurfaceKind, strategy: Strategy) -> Surface {
    use SurfaceKind as K;
    let name = Kind::of(kind).name;
    let collections: &[&str] = if kind == K::Weaviate { &["Docs", "Notes"] } else { &["docs", "notes"] };
    let after = matches!(kind, K::Weaviate | K::Milvus | K::Postgrest);
    let databases = matches!(kind, K::Chroma | K::Milvus | K::Postgrest);
    let database = match kind {
        K::Chroma => "default_database",
        K::Milvus => "default",
        K::Postgrest => "public",
        _ => "",
    };
    Surface {
        name: name.into(),
        kind,
        hosts: vec![format!("{name}.test")],
        prefix: "/".into(),
        credential: Credential::Strip,
        limits: Limits { request_bytes: 16 << 20, response_bytes: 16 << 20, event_bytes: 1 << 20 },
        rag: Some(Rag {
            strategy,
            create: true,
            collection_format: if after { "{collection}_{tenant_id}" } else { "{tenant_id}.{collection}" }.into(),
            database_format: if databases { "t_{tenant_id}" } else { "" }.into(),
            cluster: Some(name.into()),
            cluster_format: (!databases).then(|| format!("{name}-{{tenant_id}}")),
            ..Rag::shared(database, collections)
        }),
    }
}

/// A compiled surface of a kind.
pub fn surfaces(kind: SurfaceKind, strategy: Strategy) -> Surfaces {
    Surfaces::new(&[surface(kind, strategy)], SEAL_KEY).expect("a surface that compiles")
}

/// The tenant of the cases.
pub fn acme() -> TenantId {
    TenantId::parse("acme").expect("a tenant id")
}

/// Runs `f` with acme's place.
pub fn with_place<T>(route: &Route, f: impl FnOnce(&Place<'_>) -> T) -> T {
    let acme = acme();
    f(&route.surface.rag.as_ref().expect("a vector database").place(&acme))
}

/// Judges a request of acme.
///
/// # Errors
/// The code with which it is refused.
pub fn request(route: &Route, headers: &[(String, String)], body: &[u8]) -> Result<Rewritten, Code> {
    rag::request(route, &acme(), headers, body, "request-1")
}

/// Verifies an answer to acme. `acme`, `beta` and `gamma` are known tenants.
///
/// # Errors
/// The code with which it is withheld.
pub fn response(route: &Route, memo: &Memo, status: u16, body: &[u8]) -> Result<Verified, Code> {
    rag::response(route, &acme(), memo, status, body, &|word| ["acme", "beta", "gamma"].contains(&word))
}

/// A request as it comes, and what the backend must get.
#[derive(Deserialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub struct RequestCase {
    /// What it shows.
    pub name: String,
    /// `namespace` without it.
    pub strategy: Option<Strategy>,
    /// The method.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// Request headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The body; empty for none.
    #[serde(default)]
    pub body: String,
    /// The body that the backend gets; empty when it is the client's.
    #[serde(default)]
    pub sent: String,
    /// The path that the backend gets; empty when it is the client's.
    #[serde(default)]
    pub sent_path: String,
    /// Headers that the backend gets; an empty value says that the header is removed.
    #[serde(default)]
    pub sent_headers: BTreeMap<String, String>,
    /// `METHOD PATH` of the filter's own call.
    #[serde(default)]
    pub call: String,
    /// The code, where it is refused.
    pub refused: Option<String>,
}

/// An answer as it comes, and what acme must get.
#[derive(Deserialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub struct AnswerCase {
    /// What it shows.
    pub name: String,
    /// `namespace` without it.
    pub strategy: Option<Strategy>,
    /// The request's method.
    pub method: String,
    /// The request's path with its query.
    pub path: String,
    /// The request's headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The request's body.
    #[serde(default)]
    pub request: String,
    /// The backend's status; 200 without it.
    pub status: Option<u16>,
    /// The backend's body.
    pub body: String,
    /// What acme gets; empty when the answer is withheld.
    pub answer: String,
    /// The status that acme gets, where it is another.
    pub answer_status: Option<u16>,
    /// How many results were dropped.
    #[serde(default)]
    pub dropped: u64,
    /// How many results remained, where the case says.
    pub kept: Option<u64>,
}

fn fill(text: &str, route: &Route) -> String {
    if !text.contains('@') {
        return text.to_owned();
    }
    let raw: u128 = u128::from_str_radix(&RAW.replace('-', ""), 16).expect("hex");
    let sealed = hex::encode(with_place(route, |place| place.seal(raw.to_be_bytes())));
    let part = |from: usize, to: usize| sealed.get(from..to).unwrap_or_default();
    let uuid = [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-");
    text.replace("@ID@", &uuid).replace("@RAW@", RAW)
}

/// Classifies a case's request. The placeholder in its path needs a route to be filled: any of the surface's.
fn route(surfaces: &Surfaces, kind: SurfaceKind, method: &str, path: &str) -> Result<Route, Code> {
    let host = format!("{}.test", Kind::of(kind).name);
    let classify = |path: &str| surfaces.classify(&host, method, path).map_err(|refusal| refusal.code);
    if !path.contains('@') {
        return classify(path);
    }
    let draft = classify(&path.replace("@ID@", RAW).replace("@RAW@", RAW))?;
    classify(&fill(path, &draft))
}

fn list(headers: &BTreeMap<String, String>) -> Vec<(String, String)> {
    headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Runs `KIND/requests.toml`.
pub fn check_requests(kind: SurfaceKind) {
    let mut failures = Vec::new();
    for (_, case) in cases::load::<RequestCase>(&format!("{}/requests.toml", Kind::of(kind).name)) {
        let surfaces = surfaces(kind, case.strategy.unwrap_or(Strategy::Namespace));
        let routed = route(&surfaces, kind, &case.method, &case.path);
        let judged = routed
            .as_ref()
            .map_err(|code| *code)
            .and_then(|route| request(route, &list(&case.headers), fill(&case.body, route).as_bytes()));
        let problem = match (&judged, &case.refused, &routed) {
            (Err(code), Some(expected), _) if code.as_str() == expected => continue,
            (Ok(rewritten), None, Ok(route)) => {
                let body = String::from_utf8(rewritten.body.clone().unwrap_or_default()).expect("UTF-8");
                let path = rewritten.path.clone().unwrap_or_default();
                let call = rewritten.call.as_ref().map(|c| format!("{} {}", c.method, c.path)).unwrap_or_default();
                let headers: BTreeMap<String, String> = rewritten
                    .headers
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), value.clone().unwrap_or_default()))
                    .collect();
                // A path that is what the client sent need not be repeated in the case.
                let expected_path = if case.sent_path.is_empty() { &case.path } else { &case.sent_path };
                let same_path = path == fill(expected_path, route) || (path.is_empty() && case.sent_path.is_empty());
                if body == fill(&case.sent, route)
                    && (same_path || !call.is_empty())
                    && headers == case.sent_headers
                    && call == fill(&case.call, route)
                {
                    continue;
                }
                format!("body {body}\n  path {path}\n  headers {headers:?}\n  call {call}")
            }
            _ => format!("{judged:?}"),
        };
        failures.push(format!("{}:\n  {problem}\n  expected {case:?}", case.name));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Runs `KIND/answers.toml`.
pub fn check_answers(kind: SurfaceKind) {
    let mut failures = Vec::new();
    for (_, case) in cases::load::<AnswerCase>(&format!("{}/answers.toml", Kind::of(kind).name)) {
        let surfaces = surfaces(kind, case.strategy.unwrap_or(Strategy::Namespace));
        let route = route(&surfaces, kind, &case.method, &case.path)
            .unwrap_or_else(|code| panic!("{}: the request goes nowhere: {code:?}", case.name));
        let rewritten = request(&route, &list(&case.headers), fill(&case.request, &route).as_bytes())
            .unwrap_or_else(|code| panic!("{}: the request is refused: {code:?}", case.name));
        let status = case.status.unwrap_or(200);
        if !rag::verifies(&route, status) {
            failures.push(format!("{}: the answer is not verified", case.name));
            continue;
        }
        let problem = match response(&route, &rewritten.memo, status, fill(&case.body, &route).as_bytes()) {
            Err(Code::UpstreamMalformed) if case.answer.is_empty() => continue,
            Err(code) => format!("{code:?}"),
            Ok(verified) => {
                let body = match &verified.body {
                    Some(body) => String::from_utf8(body.clone()).expect("UTF-8"),
                    None => fill(&case.body, &route),
                };
                if body == fill(&case.answer, &route)
                    && verified.status == case.answer_status
                    && verified.tally.dropped == case.dropped
                    && case.kept.is_none_or(|kept| kept == verified.tally.kept)
                {
                    continue;
                }
                format!("{body}\n  status {:?}, {:?}", verified.status, verified.tally)
            }
        };
        failures.push(format!("{}:\n  {problem}\n  expected {}", case.name, fill(&case.answer, &route)));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// The demo's Envoy configuration with a route to every vector database at `KIND.test`, by the cluster that the filter names:
/// `clusters` gives each one's port.
pub fn template(clusters: &[(&str, u16)]) -> String {
    let route = "                    - name: databases\n                      domains: [\"*.test\"]\n                      routes:\n                        \
                 - match: { prefix: / }\n                          route: { cluster_header: x-partywall-cluster, timeout: 60s }\n";
    let mut template = envoy_template();
    let cut = template.find("\n  clusters:\n").map_or(0, |at| at + 1);
    template.insert_str(cut, route);
    for (name, port) in clusters {
        template += &format!(
            "    - name: {name}\n      type: STATIC\n      connect_timeout: 2s\n      per_connection_buffer_limit_bytes: 67108864\n      \
             load_assignment:\n        cluster_name: {name}\n        endpoints:\n          - lb_endpoints:\n              \
             - endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }} }}\n"
        );
    }
    template
}

/// The demo's policy with a surface of this kind instead of its own.
pub fn policy(kind: SurfaceKind, strategy: Strategy) -> String {
    let surface = surface(kind, strategy);
    let name = &surface.name;
    let rag = surface.rag.as_ref().expect("a vector database");
    let strategy = serde_json::to_value(strategy).expect("a name");
    let mut own = format!(
        "  - name: {name}\n    kind: {name}\n    hosts: [{name}.test]\n    limits: {{ request_bytes: 16MiB, response_bytes: 16MiB }}\n    rag:\n      \
         collections: [{}]\n      create: true\n      isolation_strategy: {}\n      collection_format: \"{}\"\n      cluster: {}\n",
        rag.collections.join(", "),
        strategy.as_str().unwrap_or_default(),
        rag.collection_format,
        rag.cluster.as_deref().unwrap_or_default(),
    );
    if !rag.database_format.is_empty() {
        own += &format!("      database_format: \"{}\"\n", rag.database_format);
    }
    if let Some(format) = &rag.cluster_format {
        own += &format!("      cluster_format: \"{format}\"\n");
    }
    let demo = demo_policy();
    let (before, rest) = demo.split_once("  - name: docs\n").expect("the demo's own surface");
    let after = rest.find("\ntenants:").map_or("", |at| rest.get(at..).unwrap_or_default());
    format!("{before}{own}{after}")
}

/// Runs `KIND/requests.toml` and `KIND/answers.toml` through the real Envoy, against a backend that answers what the case says.
pub fn check_through_envoy(kind: SurfaceKind) {
    let name = Kind::of(kind).name;
    let (fake, answers) = Fake::scripted();
    let own = format!("{name}-acme");
    // Chroma's cluster is there already: the stack's tap.
    let clusters: Vec<(&str, u16)> =
        [(name, fake.port), (own.as_str(), fake.port)].into_iter().filter(|(name, _)| *name != "chroma").collect();
    let stack = Stack::builder(&format!("rag-{name}"))
        .template(template(&clusters))
        .policy(&policy(kind, Strategy::Namespace))
        .chroma_at(fake.port)
        .start()
        .expect("a stack");
    let token = mint::token("acme");
    let host = format!("{name}.test");
    // The seal's key is the stack's own: cases with sealed ids are native only.
    let send = |method: &str, path: &str, headers: &BTreeMap<String, String>, body: &str| {
        let mut request = Request::new(method, &host, path).bearer(&token);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        if !body.is_empty() {
            let media = if headers.contains_key("content-type") { None } else { Some(media(kind, method, path)) };
            request = match media {
                Some(media) => request.body(media, body.as_bytes().to_vec()),
                None => request.raw_body(body.as_bytes().to_vec()),
            };
        }
        request.send(stack.edge).unwrap_or_else(|error| panic!("{method} {path}: {error}\n{}", stack.envoy_log()))
    };
    let shared = |strategy: Option<Strategy>, texts: &[&str]| {
        strategy.is_none_or(|s| s == Strategy::Namespace) && !texts.iter().any(|text| text.contains('@'))
    };
    let mut failures = Vec::new();
    for (_, case) in cases::load::<RequestCase>(&format!("{name}/requests.toml")) {
        if !shared(case.strategy, &[&case.path, &case.body, &case.sent, &case.sent_path, &case.call]) {
            continue;
        }
        fake.take();
        let response = send(&case.method, &case.path, &case.headers, &case.body);
        let got = fake.take();
        if let Some(code) = &case.refused {
            // Envoy refuses some paths by itself, before the filter.
            let refused = response.code().map_or(response.status == 400, |got| got == code);
            if !refused || !got.is_empty() {
                failures.push(format!(
                    "{}: {} {:?}, the backend got {got:?}",
                    case.name,
                    response.status,
                    response.code()
                ));
            }
            continue;
        }
        let Some(last) = got.last() else {
            failures.push(format!("{}: nothing arrived: {} {}", case.name, response.status, response.text()));
            continue;
        };
        let line = if case.call.is_empty() {
            let path = if case.sent_path.is_empty() { &case.path } else { &case.sent_path };
            format!("{} {path} HTTP/1.1", case.method)
        } else {
            format!("{} HTTP/1.1", case.call)
        };
        let body = if case.sent.is_empty() { &case.body } else { &case.sent };
        if last.line != line || String::from_utf8_lossy(&last.body) != *body {
            failures.push(format!(
                "{}: the backend got {}\n{}\n  expected {line}\n{body}",
                case.name,
                last.line,
                String::from_utf8_lossy(&last.body)
            ));
        }
    }
    for (_, case) in cases::load::<AnswerCase>(&format!("{name}/answers.toml")) {
        if !shared(case.strategy, &[&case.path, &case.request, &case.body, &case.answer]) {
            continue;
        }
        *answers.lock().expect("the cell") =
            (case.status.unwrap_or(200), "application/json", case.body.clone().into_bytes());
        let response = send(&case.method, &case.path, &case.headers, &case.request);
        let expected = case.answer_status.or(case.status).unwrap_or(200);
        let fine = if case.answer.is_empty() {
            response.code() == Some("upstream_malformed")
        } else {
            response.status == expected && response.text() == case.answer
        };
        if !fine {
            failures.push(format!(
                "{}: {} {}\n  expected {expected} {}",
                case.name,
                response.status,
                response.text(),
                case.answer
            ));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn media(kind: SurfaceKind, method: &str, path: &str) -> &'static str {
    let host = format!("{}.test", Kind::of(kind).name);
    match surfaces(kind, Strategy::Namespace).classify(&host, method, path) {
        Ok(route) if route.endpoint.body == BodyRule::Ndjson => "application/x-ndjson",
        _ => "application/json",
    }
}
