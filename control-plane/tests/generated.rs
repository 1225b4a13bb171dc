//! The policy reference must be what the schema says. `PARTYWALL_BLESS=1` writes it anew.
#![allow(clippy::unwrap_used, missing_docs)]

#[test]
fn config_reference() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/config-reference.md");
    let text = partywall::policy::reference_markdown();
    if std::env::var_os("PARTYWALL_BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == text,
        "docs/config-reference.md is out of date: PARTYWALL_BLESS=1 cargo test -p partywall --test generated"
    );
}

#[test]
fn shipped_policies_are_valid() {
    {
        let file = "demo-policy.yaml";
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../envoy").join(file);
        partywall::policy::parse(&std::fs::read_to_string(path).unwrap()).unwrap();
    }
}
