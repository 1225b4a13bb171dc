//! Documents that are generated from the code must be what the code says. `PARTYWALL_BLESS=1` writes them anew.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use partywall_core::error::Code;
use std::path::Path;

fn check(file: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(file);
    if std::env::var_os("PARTYWALL_BLESS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == text,
        "docs/{file} is out of date: PARTYWALL_BLESS=1 cargo test -p partywall-core --test generated"
    );
}

#[test]
fn surfaces() {
    check("surfaces.md", &partywall_core::surface::tables_markdown());
}

#[test]
fn vector_databases() {
    check("vector-databases.md", &partywall_core::rag::docs::markdown());
}

#[test]
fn errors() {
    let mut text = String::from(
        "# Errors\n\nGenerated from `filter/core/src/error.rs` (`PARTYWALL_BLESS=1 cargo test -p partywall-core --test generated`). \
         Every refusal has one of these codes: in the body in the surface's own shape (OpenAI's, the database's, RFC 9457 where no surface is \
         known), in the header `x-partywall-code`, in the decision record, and as the label `code` of `partywall_refusals_total`.\n\n\
         | code | status | what happened | what to do |\n|---|---|---|---|\n",
    );
    for code in Code::ALL {
        text += &format!("| `{}` | {} | {} | {} |\n", code.as_str(), code.status(), code.message(), code.next_step());
    }
    check("errors.md", &text);
}
