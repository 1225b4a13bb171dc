use crate::corpus;
use crate::load::{constant, post};
use crate::proxies::{bare, full, push, token};
use crate::report::{Reach, Report};
use anyhow::Result;
use partywall_tests::llm::completion;
use partywall_tests::mint;
use serde_json::json;

pub fn run(report: &mut Report) -> Result<()> {
    let english = corpus::english().replace('\n', " ");
    let big = constant(&completion(&english[..3900]));
    let small = constant(&completion("hi"));
    let literals = corpus::literals(10_000, 1);
    let b = bare(big)?;
    let bs = bare(small)?;
    let f = full("x-full", Some(big), 1, "exact")?;
    push(&f, &literals)?;
    let fs = full("x-small", Some(small), 1, "exact")?;
    push(&fs, &literals)?;
    let fe = full("x-empty", Some(big), 1, "exact")?;
    let body = json!({"model": "demo", "messages": [{"role": "user", "content": "What does the licence say?"}]});
    let rs = post("llm.test", "/v1/chat/completions", &token(), body.to_string().as_bytes());
    let hs = post("llm.test", "/v1/chat/completions", &mint::token("acme"), body.to_string().as_bytes());
    let get =
        format!("GET /v1/models HTTP/1.1\r\nhost: llm.test\r\nauthorization: Bearer {}\r\n\r\n", mint::token("acme"))
            .into_bytes();
    let cases: [(&str, &partywall_tests::stack::Stack, &[u8]); 8] = [
        ("bare big", &b, &rs),
        ("bare small", &bs, &rs),
        ("full rs big", &f, &rs),
        ("full hs big", &f, &hs),
        ("full rs small", &fs, &rs),
        ("full hs small", &fs, &hs),
        ("full hs get small", &fs, &get),
        ("empty hs big", &fe, &hs),
    ];
    let mut all: Vec<Vec<f64>> = vec![vec![]; cases.len()];
    for _ in 0..6 {
        for (i, (_, s, r)) in cases.iter().enumerate() {
            all[i].push(crate::cpu::micros(s, r)?);
        }
    }
    for (i, (n, _, _)) in cases.iter().enumerate() {
        report.median(n, &all[i], Reach::None);
    }
    Ok(())
}
