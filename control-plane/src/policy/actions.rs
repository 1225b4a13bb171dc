//! The block `leakage_detection.actions`: what matches do, by ordered rules.

use super::Problem;
use super::alerts::{entry, text};
use super::yaml::{Node, Value};
use partywall_core::record::{Class, Severity};
use partywall_core::snapshot::wire::{ActionRule, OnDetect};
use partywall_core::tenant::TenantId;
use serde::Deserialize;

/// A rule as it is written.
#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs)] // The schema's table documents every key.
pub struct ActionPolicy {
    #[serde(default)]
    pub when: WhenPolicy,
    #[serde(rename = "do")]
    pub action: OnDetect,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[allow(missing_docs)]
pub struct WhenPolicy {
    #[serde(default)]
    pub class: Vec<Class>,
    #[serde(default)]
    pub severity: Vec<Severity>,
    #[serde(default)]
    pub surface: Vec<String>,
    #[serde(default)]
    pub tenant: Vec<TenantId>,
}

/// What the filters get.
pub(super) fn compile(rules: &[ActionPolicy]) -> Vec<ActionRule> {
    rules
        .iter()
        .map(|rule| ActionRule {
            classes: rule.when.class.clone(),
            severities: rule.when.severity.clone(),
            surfaces: rule.when.surface.clone(),
            tenants: rule.when.tenant.clone(),
            action: rule.action,
        })
        .collect()
}

const PATH: &str = "leakage_detection.actions[]";
/// What a rule may name, and what there is; without a list, whatever is well-formed.
const KEYS: [(&str, Option<&[&str]>); 4] = [
    ("class", Some(&["literal", "phrase"])),
    ("severity", Some(&["low", "high", "critical"])),
    ("surface", None),
    ("tenant", None),
];

/// What the table of keys cannot say about the block, with the place of each problem.
pub(super) fn check(tree: &Node, problems: &mut Vec<Problem>) {
    let rules = entry(tree, "leakage_detection").and_then(|(_, block)| entry(block, "actions"));
    let Some((_, Node { value: Value::List(rules), .. })) = rules else { return };
    let surfaces: Vec<&str> = match entry(tree, "surfaces") {
        Some((_, Node { value: Value::List(items), .. })) => {
            items.iter().filter_map(|item| text(entry(item, "name")?.1)).collect()
        }
        _ => Vec::new(),
    };
    let mut above: Vec<[Vec<&str>; 4]> = Vec::new();
    let mut idle: Vec<Problem> = Vec::new();
    for rule in rules {
        let mut kinds: [Vec<&str>; 4] = Default::default();
        for ((key, known), kind) in KEYS.iter().zip(&mut kinds) {
            let known = if *key == "surface" { Some(surfaces.as_slice()) } else { *known };
            let named = entry(rule, "when").and_then(|(_, when)| entry(when, key));
            let Some((_, Node { value: Value::List(names), .. })) = named else { continue };
            for node in names {
                let Some(name) = text(node).filter(|name| !name.is_empty()) else { continue };
                kind.push(name);
                problems.extend(wrong(key, name, known).map(|why| node.problem(&format!("{PATH}.when.{key}"), why)));
            }
        }
        // An empty list stands for all.
        let covers = |wide: &Vec<&str>, narrow: &Vec<&str>| {
            wide.is_empty() || (!narrow.is_empty() && narrow.iter().all(|name| wide.contains(name)))
        };
        let hidden = |first: &[Vec<&str>; 4]| first.iter().zip(&kinds).all(|(wide, narrow)| covers(wide, narrow));
        if let Some(first) = above.iter().position(hidden) {
            let message = format!("this rule never decides: rule {} above fits all that it fits", first + 1);
            idle.push(rule.problem(PATH, message));
        }
        above.push(kinds);
    }
    // Of rules that cannot be read nothing is said of what they fit.
    if !problems.iter().any(|problem| problem.key.starts_with("leakage_detection.actions")) {
        problems.append(&mut idle);
    }
}

fn wrong(key: &str, name: &str, known: Option<&[&str]>) -> Option<String> {
    match known {
        Some(known) if known.contains(&name) => None,
        Some(known) => {
            let known: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
            Some(format!("unknown {key} `{name}`; known: {}", known.join(", ")))
        }
        // Tenants may be onboarded later, so a name is enough.
        None => TenantId::parse(name).err().map(|error| format!("`{name}` is no tenant's identifier: {error}")),
    }
}
