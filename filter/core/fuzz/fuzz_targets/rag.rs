//! Every vector database: no request and no answer panics, what is sent and what leaves is JSON, and nothing changes with a second
//! look.
#![no_main]

use libfuzzer_sys::fuzz_target;
use partywall_core::json;
use partywall_core::rag;
use partywall_core::snapshot::wire::{Strategy, SurfaceKind};
use partywall_core::surface::{BodyRule, Endpoint, KINDS, Kind, QueryRule, Surfaces};
use partywall_core_fuzz::{byte, database, tenant};

const STRATEGIES: [Strategy; 3] = [Strategy::Namespace, Strategy::SeparateCollection, Strategy::SeparateDb];

thread_local! {
    static SURFACES: Vec<(SurfaceKind, Surfaces)> = KINDS
        .iter()
        .filter(|kind| Kind::of(**kind).rag.is_some())
        .flat_map(|kind| STRATEGIES.map(|strategy| (*kind, database(*kind, strategy))))
        .collect();
}

/// A path of a row: parameters are names that a client might use, chosen by the bits of `choice`.
fn path(row: &Endpoint, kind: SurfaceKind, choice: u8, query: &str) -> String {
    let names = [
        "docs",
        "notes",
        "Docs",
        "1",
        "default_tenant",
        "default_database",
        "11111111-2222-3333-4444-555555555555",
        "t_acme",
    ];
    let mut path = String::new();
    for (index, part) in row.template.split('/').filter(|part| !part.is_empty()).enumerate() {
        path.push('/');
        match part {
            "{tenant}" if kind == SurfaceKind::Chroma => path += "default_tenant",
            "{database}" => path += "default_database",
            _ if part.starts_with('{') => path += names[usize::from(choice.rotate_left(index as u32 * 3) & 7)],
            "*" => path += "any",
            _ => path += part,
        }
    }
    if matches!(row.query, QueryRule::Judged) && !query.is_empty() {
        path += &format!("?{query}");
    }
    path
}

fn run(kind: SurfaceKind, surfaces: &Surfaces, mut input: &[u8]) {
    let table = Kind::of(kind).table;
    let (row, choice, status) = (byte(&mut input), byte(&mut input), byte(&mut input));
    let Some(row) = table.get(usize::from(row) % table.len().max(1)) else { return };
    let (first, rest) = input.split_at(input.iter().position(|b| *b == b'\n').unwrap_or(0));
    let query = std::str::from_utf8(first).unwrap_or_default();
    let (asked, answered) = rest.split_at(rest.iter().position(|b| *b == 0).unwrap_or(rest.len()));
    let (body, answer) = (asked.strip_prefix(b"\n").unwrap_or(asked), answered.get(1..).unwrap_or_default());
    let method = if row.method == "*" { "POST" } else { row.method };
    let Ok(route) = surfaces.classify("any", method, &path(row, kind, choice, query)) else { return };
    let acme = tenant("acme");
    let Ok(rewritten) = rag::request(&route, &acme, &[], body, "r") else { return };
    assert_eq!(rag::request(&route, &acme, &[], body, "r").as_ref(), Ok(&rewritten), "the same request, judged twice");
    if let (Some(sent), BodyRule::Json) = (&rewritten.body, row.body) {
        json::parse(sent).expect("what is sent is JSON");
    }
    let status = if status & 1 == 0 { 200 } else { 400 };
    if !rag::verifies(&route, status) {
        return;
    }
    let known = |word: &str| ["acme", "beta"].contains(&word);
    if let Ok(verified) = rag::response(&route, &acme, &rewritten.memo, status, answer, &known)
        && let Some(body) = verified.body
    {
        json::parse(&body).expect("what leaves is JSON");
    }
}

fuzz_target!(|input: &[u8]| {
    let mut rest = input;
    let choice = usize::from(byte(&mut rest));
    SURFACES.with(|all| {
        if let Some((kind, surfaces)) = all.get(choice % all.len().max(1)) {
            run(*kind, surfaces, rest);
        }
    });
});
