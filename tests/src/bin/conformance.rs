//! Every row of the guide with the tests that prove it. Runs these tests and writes `target/conformance.json`.

use anyhow::{Context, Result};
use partywall_tests::process::root;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::process::Command;

#[derive(Deserialize)]
struct Rows {
    row: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    number: u32,
    key: String,
    what: String,
    tests: Vec<String>,
}

fn main() -> Result<()> {
    let rows: Rows = toml::from_str(&std::fs::read_to_string(root().join("tests/conformance.toml"))?)?;
    let wanted: BTreeSet<&str> = rows.row.iter().flat_map(|row| row.tests.iter().map(String::as_str)).collect();
    let mut binaries: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for test in &wanted {
        let mut parts = test.splitn(3, '/');
        let mut part = || parts.next().with_context(|| format!("{test}: not package/binary/name"));
        let (package, binary, name) = (part()?, part()?, part()?);
        binaries.entry((package, binary)).or_default().push(name);
    }
    let mut passed = BTreeSet::new();
    for ((package, binary), names) in &binaries {
        eprintln!("running {package}/{binary}: {}", names.join(", "));
        let output = Command::new("cargo")
            .current_dir(root())
            .args([
                "test",
                "--quiet",
                "-p",
                package,
                "--test",
                binary,
                "--no-fail-fast",
                "--",
                "--exact",
                "--format",
                "pretty",
            ])
            .args(names)
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        for name in names {
            if text.lines().any(|line| line == format!("test {name} ... ok")) {
                passed.insert(format!("{package}/{binary}/{name}"));
            }
        }
        if !output.status.success() {
            eprintln!("{text}{}", String::from_utf8_lossy(&output.stderr));
        }
    }
    let paint = |colour: &str, text: &str| {
        if std::io::stdout().is_terminal() { format!("\u{1b}[{colour}m{text:6}\u{1b}[0m") } else { format!("{text:6}") }
    };
    let mut report = serde_json::Map::new();
    for row in &rows.row {
        let state = match row.tests.as_slice() {
            [] => "absent",
            tests if tests.iter().all(|test| passed.contains(test)) => "pass",
            _ => "fail",
        };
        let colour = match state {
            "pass" => "32",
            "fail" => "31",
            _ => "2",
        };
        println!("{:>3}  {}  {}: {}", row.number, paint(colour, state), row.key, row.what);
        for test in &row.tests {
            println!("             {} {test}", if passed.contains(test) { "✓" } else { "✗" });
        }
        report.insert(row.number.to_string(), state.into());
    }
    let failed = report.values().filter(|state| *state == "fail").count();
    let passes = report.values().filter(|state| *state == "pass").count();
    println!("\n{passes} pass, {failed} fail, {} absent", report.len() - passes - failed);
    std::fs::create_dir_all(root().join("target"))?;
    std::fs::write(root().join("target/conformance.json"), serde_json::to_string_pretty(&report)?)?;
    std::process::exit(i32::from(failed > 0));
}
