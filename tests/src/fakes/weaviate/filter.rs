//! What a `where` means, in REST's form (GraphQL's is turned into it).

use super::{Failure, no};
use serde_json::Value;

const OPERATORS: &[&str] = &[
    "Equal",
    "NotEqual",
    "GreaterThan",
    "GreaterThanEqual",
    "LessThan",
    "LessThanEqual",
    "Like",
    "IsNull",
    "ContainsAny",
    "ContainsAll",
];

/// Whether a condition is one.
pub(super) fn valid(condition: &Value) -> Result<(), Failure> {
    match condition["operator"].as_str() {
        Some("And" | "Or") => {
            let operands = operands(condition);
            if operands.is_empty() {
                return no(422, "empty operands");
            }
            operands.iter().try_for_each(|operand| valid(operand))
        }
        Some(operator) if OPERATORS.contains(&operator) => {
            if path(condition).is_empty() || value(condition).is_none() {
                return no(422, "a condition needs a path and a value");
            }
            Ok(())
        }
        _ => no(422, "invalid operator"),
    }
}

fn operands(condition: &Value) -> Vec<&Value> {
    match &condition["operands"] {
        Value::Array(all) => all.iter().collect(),
        Value::Null => Vec::new(),
        one => vec![one],
    }
}

fn path(condition: &Value) -> &str {
    let path = &condition["path"];
    path.as_str().or(path[0].as_str()).unwrap_or_default()
}

fn value(condition: &Value) -> Option<&Value> {
    condition.as_object()?.iter().find(|(name, _)| name.starts_with("value")).map(|(_, value)| value)
}

/// Whether it holds of an object.
pub(super) fn holds(condition: &Value, object: &Value) -> bool {
    let operator = condition["operator"].as_str().unwrap_or_default();
    match operator {
        "And" => return operands(condition).iter().all(|operand| holds(operand, object)),
        "Or" => return operands(condition).iter().any(|operand| holds(operand, object)),
        _ => {}
    }
    let have = match path(condition) {
        "id" | "_id" => &object["id"],
        name => &object["properties"][name],
    };
    let Some(wanted) = value(condition) else { return false };
    let equal = |wanted: &Value| match have {
        Value::Array(items) => items.contains(wanted),
        Value::Number(number) => wanted.is_number() && number.as_f64() == wanted.as_f64(),
        have => have == wanted,
    };
    let order = || match (have, wanted) {
        (Value::Number(have), Value::Number(wanted)) => have.as_f64()?.partial_cmp(&wanted.as_f64()?),
        (Value::String(have), Value::String(wanted)) => Some(have.cmp(wanted)),
        _ => None,
    };
    let each = wanted.as_array().cloned().unwrap_or_default();
    match operator {
        "Equal" => equal(wanted),
        "NotEqual" => !equal(wanted),
        "GreaterThan" => order().is_some_and(|order| order.is_gt()),
        "GreaterThanEqual" => order().is_some_and(|order| order.is_ge()),
        "LessThan" => order().is_some_and(|order| order.is_lt()),
        "LessThanEqual" => order().is_some_and(|order| order.is_le()),
        "IsNull" => have.is_null() == (wanted == &Value::Bool(true)),
        "ContainsAny" => each.iter().any(equal),
        "ContainsAll" => each.iter().all(equal),
        "Like" => {
            let part = wanted.as_str().unwrap_or_default().trim_matches('*');
            have.as_str().is_some_and(|have| have.contains(part))
        }
        _ => false,
    }
}
