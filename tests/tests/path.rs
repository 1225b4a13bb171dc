//! The whole path, once.

use partywall_tests::llm::{Script, completion, events};
use partywall_tests::mint;
use partywall_tests::stack::Stack;

#[test]
fn one_request_end_to_end() {
    let stack = Stack::builder("path").start().unwrap();
    let refused = stack.llm("GET", "/v1/models").send(stack.edge).unwrap();
    assert_eq!((refused.status, refused.code()), (401, Some("token_missing")), "{}", refused.text());
    let acme = mint::token("acme");
    let passed = stack.chat(&acme, "hello there", false).unwrap();
    assert_eq!(passed.body, completion("hello there"), "{}", stack.envoy_log());
    let seen = stack.llm.last().unwrap();
    assert_eq!(seen.header("x-partywall-tenant"), Some("acme"));
    assert_eq!(seen.header("authorization"), Some("Bearer sk-the-platforms-own-key"));
    stack.fingerprint("beta", "Project Falcon Harbor").unwrap();
    stack.llm.script("leak", Script::stream(&["Sure: ", "project ", "fal", "con-har", "bor", " is it"]).paced(30));
    let blocked = stack.chat(&acme, "leak", true).unwrap();
    let text = blocked.text();
    assert!(text.contains("fingerprint_match") && !text.to_lowercase().contains("project"), "{text}");
    assert!(text.ends_with("data: [DONE]\n\n"));
    let own = stack.chat(&mint::token("beta"), "leak", true).unwrap();
    assert_eq!(own.body, events(&["Sure: ", "project ", "fal", "con-har", "bor", " is it"]).concat());
    stack.llm.script("leak whole", Script::new("application/json", vec![completion("it is Project Falcon Harbor")]));
    let clean = stack.chat(&acme, "leak whole", false).unwrap();
    assert_eq!((clean.status, clean.code()), (403, Some("fingerprint_match")));
}
