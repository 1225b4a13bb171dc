//! Retrieval: what the proxy adds to a query of the real Chroma, and what large writes cost.

use crate::load::{Connection, constant, post};
use crate::report::{Reach, Report, quantile};
use anyhow::{Context, Result, ensure};
use partywall_tests::http::Request;
use partywall_tests::mint;
use partywall_tests::random::Random;
use partywall_tests::stack::{Stack, demo_policy};
use serde_json::{Value, json};

const PATH: &str = "/api/v2/tenants/default_tenant/databases/default_database/collections";
const DIMENSIONS: usize = 1536;

pub fn run(report: &mut Report) -> Result<()> {
    queries(report)?;
    writes(report)
}

fn vector(random: &mut Random) -> Vec<f64> {
    (0..DIMENSIONS).map(|_| random.unit()).collect()
}

/// A query of 1,536 dimensions: through the proxy, and directly with the same condition, in turns.
fn queries(report: &mut Report) -> Result<()> {
    let stack = Stack::builder("bench-rag").chroma().start()?;
    let mut random = Random::new(5);
    let mut opened = String::new();
    for tenant in ["beta", "acme"] {
        let bearer = mint::token(tenant);
        let made = stack.chroma(&bearer, "POST", "/collections").json(&json!({"name": "docs", "get_or_create": true}));
        opened = made.send(stack.edge)?.json()["id"].as_str().context("no collection")?.to_owned();
        for batch in 0..10 {
            let ids: Vec<String> = (0..100).map(|n| format!("d{batch}-{n}")).collect();
            let vectors: Vec<Vec<f64>> = ids.iter().map(|_| vector(&mut random)).collect();
            let documents = vec!["a passage of the handbook, some five hundred characters long ".repeat(8); ids.len()];
            let body = json!({"ids": ids, "embeddings": vectors, "documents": documents, "metadatas": vec![json!({"n": 1}); ids.len()]});
            let added =
                stack.chroma(&bearer, "POST", &format!("/collections/{opened}/add")).json(&body).send(stack.edge)?;
            ensure!(added.status == 201, "{}", added.text());
        }
    }
    let found = Request::new("GET", "chroma", &format!("{PATH}/docs")).send(stack.chroma)?.json();
    let raw = found["id"].as_str().context("no collection")?;
    let query = |condition: Option<Value>, random: &mut Random| {
        let mut body = json!({"query_embeddings": [vector(random)], "n_results": 10, "include": ["documents", "metadatas", "distances"]});
        if let Some(condition) = condition {
            body["where"] = condition;
        }
        body.to_string()
    };
    let through = query(None, &mut random);
    let same = query(Some(json!({"tenant_id": {"$eq": "t_acme"}})), &mut random);
    let mut proxy = Connection::open(
        stack.edge,
        &post("chroma.test", &format!("{PATH}/{opened}/query"), &mint::token("acme"), through.as_bytes()),
    )?;
    let mut direct =
        Connection::open(stack.chroma, &post("chroma", &format!("{PATH}/{raw}/query"), "", same.as_bytes()))?;
    let mut free =
        Connection::open(stack.chroma, &post("chroma", &format!("{PATH}/{raw}/query"), "", through.as_bytes()))?;
    let (mut ratios, mut unfiltered, mut added) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..9 {
        let mut times = [Vec::new(), Vec::new(), Vec::new()];
        for _ in 0..120 {
            for (connection, times) in [&mut proxy, &mut direct, &mut free].into_iter().zip(&mut times) {
                let (took, status, body) = connection.exchange()?;
                ensure!(status == 200, "{status}: {}", String::from_utf8_lossy(&body));
                times.push(took.as_secs_f64() * 1e3);
            }
        }
        let [through, direct, free] = times.map(|times| quantile(&times, 0.5));
        ratios.push(through / direct);
        unfiltered.push(through / free);
        added.push(through - direct);
    }
    report.median("rag_overhead_ratio_p50", &ratios, Reach::Most(1.10));
    report.median("rag_overhead_ms_p50", &added, Reach::None);
    report.median("rag_overhead_ratio_p50_unfiltered", &unfiltered, Reach::None);
    Ok(())
}

/// Writes of 1 to 8 MB: how long they take against an upstream that answers at once, and the VM's memory afterwards. Memory of a VM
/// never shrinks, so that is its peak.
fn writes(report: &mut Report) -> Result<()> {
    let upstream = constant(b"{}");
    let id = "11111111-2222-3333-4444-555555555555";
    let mut peaks = Vec::new();
    for megabytes in [1usize, 2, 4, 8] {
        let policy = demo_policy();
        let stack = Stack::builder(&format!("bench-write-{megabytes}")).chroma_at(upstream).policy(&policy).start()?;
        let mut random = Random::new(7);
        let text = serde_json::to_string(&vector(&mut random))?;
        let count = megabytes * (1 << 20) / (text.len() + 60);
        let ids: Vec<String> = (0..count).map(|n| format!("\"d{n}\"")).collect();
        let vectors = vec![text.as_str(); count].join(",");
        let metadatas = vec!["{\"n\":1}"; count].join(",");
        let body = format!("{{\"ids\":[{}],\"embeddings\":[{vectors}],\"metadatas\":[{metadatas}]}}", ids.join(","));
        let before = memory(&stack);
        let request = post("chroma.test", &format!("{PATH}/{id}/upsert"), &mint::token("acme"), body.as_bytes());
        let mut proxy = Connection::open(stack.edge, &request)?;
        let mut times = Vec::new();
        for _ in 0..15 {
            let (took, status, answer) = proxy.exchange()?;
            ensure!(status == 200, "{status}: {}", String::from_utf8_lossy(&answer));
            times.push(took.as_secs_f64() * 1e3);
        }
        std::thread::sleep(std::time::Duration::from_millis(150));
        peaks.push((memory(&stack) - before) / f64::from(1 << 20));
        if megabytes == 8 {
            report.median("upsert_8mb_ms", &times, Reach::None);
        }
    }
    let spread = format!(
        "added by bodies of 1, 2, 4, 8 MB: {:.1}, {:.1}, {:.1}, {:.1} MB",
        peaks[0], peaks[1], peaks[2], peaks[3]
    );
    report.put("upsert_8mb_vm_mb", peaks[3], &spread, Reach::None);
    // Linear: eight times the body takes at most some eight times the memory.
    report.put(
        "upsert_vm_growth_8_over_1",
        peaks[3] / peaks[0],
        "ratio of the first and last of these",
        Reach::Most(10.0),
    );
    Ok(())
}

fn memory(stack: &Stack) -> f64 {
    stack.metric("partywall_vm_memory_bytes")
}
