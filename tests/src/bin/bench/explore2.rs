use crate::load::{constant, post};
use crate::proxies::{bare, full};
use crate::report::Report;
use anyhow::Result;
use partywall_tests::llm::completion;
use partywall_tests::mint;
use serde_json::json;

pub fn run(_: &mut Report) -> Result<()> {
    let small = constant(&completion("hi"));
    let body = json!({"model": "demo", "messages": [{"role": "user", "content": "What does the licence say?"}]});
    let hs = post("llm.test", "/v1/chat/completions", &mint::token("acme"), body.to_string().as_bytes());
    let s = if std::env::var("X").is_ok() { full("y-full", Some(small), 1, "exact")? } else { bare(small)? };
    let n: usize = 3000;
    crate::load::load(s.edge, &hs, n)?;
    for _ in 0..4 { println!("us {}", crate::cpu::micros(&s, &hs)?); }
    Ok(())
}
