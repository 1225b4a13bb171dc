//! Figures: a table for eyes, a flat object for machines.

use anyhow::Result;
use partywall_tests::process::root;
use serde_json::{Map, Value, json};
use std::io::IsTerminal;

/// What a figure should reach.
#[derive(Clone, Copy)]
pub enum Reach {
    /// At most.
    Most(f64),
    /// At least.
    Least(f64),
    /// Only told.
    None,
}

/// All figures of a run.
#[derive(Default)]
pub struct Report {
    rows: Vec<(String, f64, String, Reach)>,
}

/// The value at this share of sorted values.
pub fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = (share * (sorted.len().saturating_sub(1)) as f64).round() as usize;
    sorted.get(at).copied().unwrap_or(f64::NAN)
}

/// For eyes: three figures that count.
fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

impl Report {
    /// The median of rounds, with the rounds' range.
    pub fn median(&mut self, key: &str, rounds: &[f64], reach: Reach) {
        let range = format!("{} – {}", short(quantile(rounds, 0.0)), short(quantile(rounds, 1.0)));
        self.put(key, quantile(rounds, 0.5), &format!("{range} ({} rounds)", rounds.len()), reach);
    }

    /// A figure with words about its spread.
    pub fn put(&mut self, key: &str, value: f64, spread: &str, reach: Reach) {
        eprintln!("  {key} = {}  {spread}", short(value));
        self.rows.push((key.to_owned(), value, spread.to_owned(), reach));
    }

    /// Prints the table and writes `target/bench/report.json`. Returns how many figures miss their reach.
    pub fn finish(&self) -> Result<usize> {
        let mut flat = Map::new();
        let mut missed = 0;
        println!("| figure | value | spread | reach | |\n|---|---:|---|---|---|");
        for (key, value, spread, reach) in &self.rows {
            flat.insert(key.clone(), json!((value * 1e4).round() / 1e4));
            let (reach, met) = match reach {
                Reach::Most(limit) => (format!("≤ {limit}"), Some(value <= limit)),
                Reach::Least(limit) => (format!("≥ {limit}"), Some(value >= limit)),
                Reach::None => (String::new(), None),
            };
            missed += usize::from(met == Some(false));
            let word = met.map_or("", |met| if met { "met" } else { "missed" });
            let colour = if std::io::stdout().is_terminal() && met == Some(false) {
                ("\u{1b}[1;31m", "\u{1b}[0m")
            } else {
                ("", "")
            };
            println!("| `{key}` | {} | {spread} | {reach} | {}{word}{} |", short(*value), colour.0, colour.1);
        }
        let directory = root().join("target/bench");
        std::fs::create_dir_all(&directory)?;
        std::fs::write(directory.join("report.json"), serde_json::to_vec_pretty(&Value::Object(flat))?)?;
        Ok(missed)
    }
}
