//! Envoy's processor time for a request: the whole product, Envoy alone, Envoy with its own token check and Lua.

use crate::corpus;
use crate::load::{constant, load, post};
use crate::proxies::{bare, full, jwt_lua, push, token};
use crate::report::{Reach, Report, quantile};
use anyhow::Result;
use partywall_tests::llm::completion;
use partywall_tests::stack::Stack;
use serde_json::json;

const ROUNDS: usize = 9;
const REQUESTS: usize = 1500;

pub fn run(report: &mut Report) -> Result<()> {
    let english = corpus::english().replace('\n', " ");
    let upstream = constant(&completion(&english[..3900]));
    let literals = corpus::literals(10_000, 1);
    let bare = bare(upstream)?;
    let lua = jwt_lua(upstream, &literals)?;
    let full = full("bench-full", Some(upstream), 1, "exact")?;
    push(&full, &literals)?;
    let body = json!({"model": "demo", "messages": [{"role": "user", "content": "What does the licence say?"}]});
    let request = post("llm.test", "/v1/chat/completions", &token(), body.to_string().as_bytes());
    let stacks = [&bare, &lua, &full];
    for stack in stacks {
        load(stack.edge, &request, 300)?;
    }
    let mut cost: [Vec<f64>; 3] = Default::default();
    for round in 0..ROUNDS {
        for step in 0..3 {
            let which = (round + step) % 3;
            cost[which].push(micros(stacks[which], &request)?);
        }
    }
    let ratio = |over: usize| cost[2].iter().zip(&cost[over]).map(|(a, b)| a / b).collect::<Vec<f64>>();
    report.median("cpu_ratio_full_vs_bare", &ratio(0), Reach::Most(1.8));
    report.median("cpu_ratio_full_vs_jwt_lua", &ratio(1), Reach::Most(1.0));
    for (name, which) in [("bare", 0), ("jwt_lua", 1), ("full", 2)] {
        report.median(&format!("cpu_us_{name}"), &cost[which], Reach::None);
    }
    debug_assert!(quantile(&cost[0], 0.5) > 0.0);
    Ok(())
}

/// Envoy's microseconds for a request.
pub fn micros(stack: &Stack, request: &[u8]) -> Result<f64> {
    let before = stack.envoy_cpu();
    load(stack.edge, request, REQUESTS)?;
    Ok((stack.envoy_cpu() - before).as_secs_f64() * 1e6 / (2 * REQUESTS) as f64)
}
