//! Bodies that are made to cost: what a judge writes stays within a multiple of what came, and its time grows with it.

use partywall_core::error::Code;
use partywall_core::rag::Memo;
use partywall_core::snapshot::wire::{Strategy, SurfaceKind};
use partywall_tests::rag::{request, response, surfaces};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// What a body of this size may cost here, in a debug build on a busy machine. Quadratic work takes minutes.
const PATIENCE: Duration = Duration::from_secs(20);

fn judged(kind: SurfaceKind, method: &str, path: &str, body: &str) -> Result<usize, Code> {
    let host = format!("{}.test", partywall_core::surface::Kind::of(kind).name);
    let route = surfaces(kind, Strategy::Namespace).classify(&host, method, path).expect("a route");
    let begun = Instant::now();
    let judged = request(&route, &[], body.as_bytes());
    let took = begun.elapsed();
    assert!(took < PATIENCE, "{method} {path}: {took:?}");
    judged.map(|rewritten| rewritten.body.map_or(0, |body| body.len()))
}

fn list(count: usize, part: &str) -> String {
    vec![part; count].join(",")
}

#[test]
fn many_small_parts_are_refused_before_they_are_many_times_larger() {
    let many = 1 << 18;
    for (kind, path, body) in [
        (
            SurfaceKind::Qdrant,
            "/collections/docs/points/query/batch",
            format!("{{\"searches\":[{}]}}", list(many, "{}")),
        ),
        (SurfaceKind::Qdrant, "/collections/docs/points/query", format!("{{\"prefetch\":[{}]}}", list(many, "{}"))),
        (SurfaceKind::Qdrant, "/collections/docs/points", format!("{{\"ids\":[{}]}}", list(many, "1"))),
        (SurfaceKind::Elasticsearch, "/docs/_msearch", "{}\n{}\n".repeat(many)),
        (SurfaceKind::Elasticsearch, "/docs/_search", format!("{{\"knn\":[{}]}}", list(many, "{\"field\":\"v\"}"))),
    ] {
        let result = judged(kind, "POST", path, &body);
        match result {
            Ok(size) => assert!(size <= body.len() * 8 + (16 << 20), "{path}: {size} of {}", body.len()),
            Err(code) => assert_eq!(code, Code::BodyTooLarge, "{path}"),
        }
    }
}

#[test]
fn many_template_variables_of_milvus() {
    let (mut filter, mut params) = (String::from("0"), String::from("{\"a\":0"));
    for n in 0..60_000 {
        write!(filter, "+{{v{n}}}").unwrap();
        write!(params, ",\"v{n}\":1").unwrap();
    }
    let body = format!("{{\"collectionName\":\"docs\",\"filter\":\"{filter} == 1\",\"exprParams\":{params}}}}}");
    assert!(judged(SurfaceKind::Milvus, "POST", "/v2/vectordb/entities/query", &body).is_ok());
}

#[test]
fn long_names_of_elasticsearch_settings_in_each_other() {
    let depth = 40;
    let long = "k".repeat(20_000);
    let body = format!(
        "{{\"settings\":{}{{{}}}{}}}",
        format!("{{\"{long}\":").repeat(depth),
        (0..100_000).map(|n| format!("\"{n}\":{{}}")).collect::<Vec<_>>().join(","),
        "}".repeat(depth)
    );
    assert_eq!(judged(SurfaceKind::Elasticsearch, "PUT", "/docs", &body), Err(Code::FieldUnknown));
}

#[test]
fn a_long_error_of_many_words() {
    let surfaces = surfaces(SurfaceKind::Elasticsearch, Strategy::Namespace);
    let route = surfaces.classify("elasticsearch.test", "POST", "/docs/_search").expect("a route");
    let words = "a ".repeat(1 << 19);
    let body = format!(
        "{{\"error\":{{\"type\":\"parse_exception\",\"reason\":\"cannot parse [{words}]\",\"caused_by\":{{\"type\":\"x\",\"reason\":\"{words}beta\"}}}},\"status\":400}}"
    );
    let begun = Instant::now();
    let verified = response(&route, &Memo::default(), 400, body.as_bytes()).expect("an error");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    let text = String::from_utf8(verified.body.expect("a body")).expect("a text");
    assert!(text.len() < 16 << 10 && text.contains("cannot parse [a a a ") && !text.contains("beta"), "{text}");
}
