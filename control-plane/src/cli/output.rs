//! Output for eyes: tables, colour on a terminal, plain when piped; JSON for machines.

use anyhow::{Result, bail};
use comfy_table::{ContentArrangement, Table, presets};
use partywall_core::surface::{KINDS, Kind};
use serde_json::{Value, json};
use std::io::IsTerminal;
use std::time::Duration;

/// Prints rows of JSON objects as a table of these members.
pub(super) fn table(rows: &Value, columns: &[&str], json: bool) {
    if json {
        return println!("{rows:#}");
    }
    let rows = rows.as_array().map(Vec::as_slice).unwrap_or_default();
    if rows.is_empty() {
        return println!("(none)");
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(columns.iter().map(|column| column.rsplit('/').next().unwrap_or(column).to_uppercase()));
    for row in rows {
        table.add_row(columns.iter().map(|column| cell(column, row.pointer(&format!("/{column}")))));
    }
    println!("{table}");
}

/// Prints an object, a line a member.
pub(super) fn object(value: &Value, json: bool) {
    if json {
        return println!("{value:#}");
    }
    let members = value.as_object().into_iter().flatten();
    let width = value.as_object().map_or(0, |object| object.keys().map(String::len).max().unwrap_or(0));
    for (name, value) in members {
        println!("{name:width$}  {}", cell(name, Some(value)));
    }
}

fn cell(name: &str, value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "–".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) if ["_at", "_seen", "_since"].iter().any(|end| name.ends_with(end)) => {
            ago(number.as_u64().unwrap_or(0))
        }
        Some(Value::Array(items)) => items.iter().map(|item| cell("", Some(item))).collect::<Vec<_>>().join(", "),
        Some(other) => other.to_string(),
    }
}

fn ago(at: u64) -> String {
    match crate::state::now().saturating_sub(at) {
        seconds @ 0..120 => format!("{seconds} s ago"),
        seconds @ 120..7200 => format!("{} min ago", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h ago", seconds / 3600),
        seconds => format!("{} d ago", seconds / 86400),
    }
}

/// Unix time as UTC, to the second.
pub(super) fn utc(at: u64) -> String {
    let time = std::time::UNIX_EPOCH.checked_add(Duration::from_secs(at)).unwrap_or(std::time::UNIX_EPOCH);
    humantime::format_rfc3339_seconds(time).to_string()
}

/// The endpoints of one kind of surface, or of all.
pub(super) fn surfaces(kind: Option<&str>, json: bool) -> Result<()> {
    let kinds: Vec<&Kind> = KINDS.iter().map(|kind| Kind::of(*kind)).collect();
    let wanted: Vec<&&Kind> = kinds.iter().filter(|known| kind.is_none_or(|kind| known.name == kind)).collect();
    if wanted.is_empty() {
        let names: Vec<&str> = kinds.iter().map(|kind| kind.name).collect();
        bail!("there is no such kind of surface; known: {}", names.join(", "));
    }
    let mut all = Vec::new();
    for kind in wanted {
        let rows: Vec<Value> = kind
            .table
            .iter()
            .map(|row| {
                json!({"kind": kind.name, "row": row.name, "method": row.method, "path": row.template,
                    "request": row.request_word().replace("**", ""), "response": row.response_word(), "note": row.note})
            })
            .collect();
        if !json {
            println!("{}: {}", kind.name, kind.title);
            if let Some(rag) = kind.rag {
                println!("  namespace            {}", rag.strategies.namespace);
                println!("  separate_collection  {}", rag.strategies.separate_collection);
                println!("  separate_db          {}", rag.strategies.separate_db);
            }
            table(&Value::Array(rows.clone()), &["method", "path", "request", "response", "note"], false);
            println!();
        }
        all.extend(rows);
    }
    if json {
        println!("{:#}", Value::Array(all));
    }
    Ok(())
}

/// One decision as a line.
pub(super) fn decision(event: &Value) {
    let text = |name: &str| cell("", event.get(name));
    let outcome = text("outcome");
    let colour = match outcome.as_str() {
        "allowed" => "32",
        "denied" => "33",
        _ => "31",
    };
    let hits = event.get("hits").and_then(Value::as_array).map_or(0, Vec::len);
    let painted = if std::io::stdout().is_terminal() {
        format!("\u{1b}[{colour}m{outcome:8}\u{1b}[0m")
    } else {
        format!("{outcome:8}")
    };
    println!(
        "{painted}  {:12} {:10} {:26} {:22} hits {hits}  dropped {}  {}",
        text("tenant"),
        text("surface"),
        text("endpoint"),
        text("code"),
        text("dropped"),
        text("request_id")
    );
}
