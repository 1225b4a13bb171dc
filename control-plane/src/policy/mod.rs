//! The policy file: the guide's four blocks, key for key, and what we need besides.
//!
//! `yaml` reads the text into a tree with positions, `schema` is the one table of all keys, `check` holds the tree
//! against the table and reports every error at once, `types` is what remains, `compile` turns that into what the
//! filters get. A key that is accepted does something; one whose behaviour does not exist yet is refused by name.

mod actions;
mod alerts;
mod check;
mod compile;
mod schema;
mod types;
mod yaml;

pub use alerts::{Alerting, Receiver, Speaks};
pub use compile::{CompileError, Compiled, Drift, Fetched, Former, KeySource, Reach, compile, key_source, usable};
pub use schema::reference_markdown;
pub use types::{IssuerPolicy, Policy};

use serde::Serialize;
use utoipa::ToSchema;

/// Something wrong in a policy file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize, ToSchema)]
pub struct Problem {
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// The key's path, e.g. `rag.isolation_strategy`.
    pub key: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.message)
    }
}

/// Reads a policy file.
///
/// # Errors
/// Every [`Problem`] in it, in the order of the lines.
pub fn parse(text: &str) -> Result<Policy, Vec<Problem>> {
    let tree = yaml::parse(text).map_err(|problem| vec![problem])?;
    let value = check::check(&tree)?;
    let whole = |message: String| vec![Problem { line: 1, column: 1, key: String::new(), message }];
    let policy: Policy = serde_json::from_value(value).map_err(|error| whole(error.to_string()))?;
    Ok(policy)
}
