//! The official Python clients, unmodified, through the proxy.

use partywall_tests::llm::{Script, completion};
use partywall_tests::mint;
use partywall_tests::process::{root, tool};
use partywall_tests::stack::{Stack, demo_policy, envoy_template, python};
use std::process::Command;

fn run(script: &str, arguments: &[&str]) {
    let python = python();
    assert!(python.exists(), "{} is missing: run `make setup` first", python.display());
    let output = Command::new(python).arg(root().join("tests/python").join(script)).args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{script}:\n{}", String::from_utf8_lossy(&text));
}

#[test]
fn chroma() {
    let stack = Stack::builder("client-chroma").chroma().start().unwrap();
    let arguments = [stack.edge.to_string(), stack.chroma.to_string(), mint::token("acme"), mint::token("beta")];
    run("chroma_client.py", &arguments.each_ref().map(String::as_str));
    assert!(stack.metric("partywall_results_dropped_total") >= 2.0, "the poisoned record was dropped and counted");
    std::thread::sleep(std::time::Duration::from_millis(1200));
    let events = stack.api("GET", "/v1/events?outcome=alerted&tenant=acme", None).unwrap();
    assert!(events[0]["dropped"].as_u64().unwrap_or(0) >= 1, "an alert left: {events}");
}

#[test]
fn chroma_javascript() {
    // Node's fetch does not let a client choose the Host header.
    let template = envoy_template().replace("domains: [chroma.test]", "domains: [\"*\"]");
    let policy = demo_policy().replace("hosts: [chroma.test]", "hosts: [\"*\"]");
    let stack = Stack::builder("client-chroma-js").chroma().template(template).policy(&policy).start().unwrap();
    let modules = tool("PARTYWALL_NODE_MODULES", "tests/node/node_modules");
    assert!(modules.join("chromadb").exists(), "chromadb is not in {}: run `make setup` first", modules.display());
    let script = root().join("tests/node/chroma_client.mjs");
    let output = Command::new("node")
        .arg(script)
        .args([stack.edge.to_string(), mint::token("acme"), mint::token("beta")])
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&text));
}

#[test]
fn chroma_frameworks() {
    let stack = Stack::builder("client-chroma-frameworks").chroma().start().unwrap();
    let arguments = [stack.edge.to_string(), mint::token("acme"), mint::token("beta")];
    run("chroma_frameworks.py", &arguments.each_ref().map(String::as_str));
}

#[test]
fn openai() {
    let stack = Stack::builder("client-openai").start().unwrap();
    stack.fingerprint("beta", "Project Falcon Harbor").unwrap();
    stack.llm.script("whole leak", Script::new("application/json", vec![completion("It is Project Falcon Harbor.")]));
    stack.llm.script("split leak", Script::stream(&["Sure: ", "proj", "ect fal", "con harbor"]).paced(20));
    run("openai_client.py", &[&stack.edge.to_string(), &mint::token("acme")]);
    let seen = stack.llm.last().unwrap();
    assert_eq!(seen.header("authorization"), Some("Bearer sk-the-platforms-own-key"));
}
