//! The core in Envoy's VM, against the `aho-corasick` crate natively on the same text and literals.

use crate::corpus;
use crate::report::{Reach, Report};
use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use partywall_tests::llm::completion;
use partywall_tests::mint;
use partywall_tests::process::{Process, free_port, root};
use partywall_tests::stack::envoy;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

pub fn run(report: &mut Report) -> Result<()> {
    let text = corpus::english().repeat(8);
    let literals = corpus::literals(10_000, 1);
    let native = aho_corasick::AhoCorasick::builder().ascii_case_insensitive(true).build(&literals)?;
    let query: Vec<f32> = (0..1536u32).map(|i| (f32::from(i as u16) * 0.7).sin()).collect();
    let query = json!({"query_embeddings": [query], "n_results": 10, "include": ["documents", "distances"],
        "where": {"$and": [{"kind": {"$eq": "note"}}, {"year": {"$gte": 2020}}]}});
    let english = corpus::english().replace('\n', " ");
    let answer = String::from_utf8(completion(&english[..3900]))?;
    let limits = json!({"request_bytes": 1 << 20, "response_bytes": 1 << 20, "event_bytes": 1 << 20});
    let content = json!({
        "identity": {"header": null, "tenant_claim": "org_id", "leeway_s": 30, "issuers": [
            {"issuer": "https://idp.test", "audiences": ["partywall"],
             "keys": [{"kid": null, "alg": "HS256", "jwk": {"kty": "oct", "k": URL_SAFE_NO_PAD.encode(mint::SECRET)}}]}]},
        "tenants": [{"id": "acme", "status": "active", "tokens_not_before": 0}],
        "surfaces": [{"name": "llm", "kind": "openai", "hosts": ["llm.test"], "prefix": "/", "credential": {"mode": "strip"},
            "limits": limits, "rag": null}],
        "leakage": {"fingerprint_check": true, "action_on_detect": "block_and_alert_security", "hold_back": "exact"},
        "segments": [], "removed": [], "seal_key": STANDARD.encode([7; 32]),
    });
    let input = json!({"answer": answer, "token": mint::token("acme"), "content": content, "text": text, "literals": literals, "query": query.to_string(), "results": results()});
    let (mut ratios, mut vm_speed, mut plain_speed, mut native_speed, mut rewrites, mut stalls) =
        (vec![], vec![], vec![], vec![], vec![], vec![]);
    let steps =
        ["request_head_us", "request_body_us", "response_head_us", "response_body_us", "finish_us", "record_us"];
    let mut verifies = vec![];
    let mut steps = steps.map(|name| (name, Vec::new()));
    for _ in 0..5 {
        let mut rounds: Vec<f64> = (0..7)
            .map(|_| {
                let start = Instant::now();
                std::hint::black_box(native.find_overlapping_iter(&text).count());
                text.len() as f64 / start.elapsed().as_secs_f64() / 1e6
            })
            .collect();
        rounds.sort_by(f64::total_cmp);
        let figures = in_vm(&input)?;
        let figure = |name: &str| figures[name].as_f64().with_context(|| format!("no {name} in {figures}"));
        vm_speed.push(figure("scan_mb_s")?);
        plain_speed.push(figure("scan_plain_mb_s")?);
        native_speed.push(rounds[3]);
        ratios.push(figure("scan_mb_s")? / rounds[3]);
        for (name, values) in &mut steps {
            values.push(figure(name)?);
        }
        rewrites.push(figure("rewrite_us")?);
        verifies.push(figure("verify_us")?);
        stalls.push(figure("load_piece_ms_max")?.max(figure("load_finish_ms")?));
    }
    report.median("scan_ratio_wasm_vs_native_10k", &ratios, Reach::Least(0.7));
    report.median("scan_mb_s_vm_10k", &vm_speed, Reach::None);
    report.median("scan_mb_s_vm_10k_plain", &plain_speed, Reach::None);
    report.median("scan_mb_s_native_ac_10k", &native_speed, Reach::None);
    report.median("rewrite_us_query_1536", &rewrites, Reach::Most(40.0));
    report.median("verify_us_100_results", &verifies, Reach::Most(150.0));
    for (name, values) in &steps {
        report.median(name, values, Reach::None);
    }
    report.median("load_step_ms_max_10k", &stalls, Reach::None);
    Ok(())
}

/// Chroma's answer with a hundred results, as it stores them.
fn results() -> String {
    let each = |text: &dyn Fn(usize) -> Value| (0..100).map(text).collect::<Value>();
    json!({
        "ids": [each(&|n| json!(format!("acme:d{n}")))],
        "documents": [each(&|n| json!(format!("passage {n}: {}", "some words of the handbook ".repeat(18))))],
        "metadatas": [each(&|n| json!({"source": "handbook", "page": n, "tenant_id": "t_acme"}))],
        "distances": [each(&|n| json!(0.1 + 0.01 * n as f64))],
        "embeddings": null, "uris": null, "include": ["documents", "metadatas", "distances"],
    })
    .to_string()
}

/// Runs `partywall-vm-bench` in an Envoy of its own, which ends with it.
pub fn in_vm(input: &Value) -> Result<Value> {
    let directory = root().join("target/e2e/bench-vm");
    std::fs::create_dir_all(&directory)?;
    let wasm = root().join("target/wasm32-wasip1/wasm/partywall_vm_bench.wasm");
    let config = json!({
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": free_port()}}},
        "bootstrap_extensions": [{"name": "envoy.bootstrap.wasm", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.wasm.v3.WasmService", "singleton": true, "config": {
                "name": "bench", "root_id": "bench",
                "vm_config": {"runtime": "envoy.wasm.runtime.v8", "code": {"local": {"filename": wasm}}},
                "configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": input.to_string()}}}}],
    });
    let file = directory.join("envoy.json");
    std::fs::write(&file, config.to_string())?;
    let path = file.to_string_lossy().into_owned();
    let arguments = ["-c", &path, "--concurrency", "1", "--use-dynamic-base-id", "--log-level", "critical"];
    let mut process = Process::start("envoy", &directory, &envoy(), &arguments, &[])?;
    let mut found = None;
    process.wait_until(Duration::from_secs(240), || {
        let log = process_log(&directory);
        found = log.lines().find_map(|line| line.split_once("vm-bench:").map(|(_, figures)| figures.to_owned()));
        found.is_some()
    })?;
    let found = found.context("no figures")?;
    Ok(serde_json::Deserializer::from_str(&found).into_iter().next().context("no figures")??)
}

fn process_log(directory: &std::path::Path) -> String {
    std::fs::read_to_string(directory.join("envoy.log")).unwrap_or_default()
}
