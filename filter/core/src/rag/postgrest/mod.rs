//! PostgREST, for tables with pgvector columns.
//!
//! - Conditions are joined by AND, so `KEY=eq.NAMESPACE` beside the client's holds whatever the client's say; every parameter
//!   is read by PostgREST's grammar first (`query`).
//! - Rows are marked on their way in, `select` always has the marker, and every row of an answer is judged by it.
//! - The schema is said by headers, which are always set.
//!
//! This is a second wall: row-level security in the database is the first.

mod answers;
mod query;
mod requests;
mod table;

pub use table::TABLE;

use super::{Backend, Strategies};

/// PostgREST.
pub const BACKEND: Backend = Backend {
    // `details` and `hint` repeat keys and names of other tables.
    error_fields: &["code", "message"],
    collection_name,
    namespace_key,
    databases: true,
    strategies: Strategies {
        namespace: "a column in the query",
        separate_collection: "the table's name",
        separate_db: "the schema, or the cluster",
    },
    limits: &[
        "Use it beside row-level security, not instead of it.",
        "In which order the database tests conditions is its own affair: how long a client's takes (a regular expression's) may tell of rows that it does not get. Only row-level security holds that back.",
        "Keys cannot be scoped: the conflict of an insert (409) tells that a key exists, perhaps another tenant's. Make the primary key composite with the tenant's column. The error's details are withheld.",
        "Nearest-neighbour search needs a function (`/rpc`), and functions are refused: the filter cannot force what a function reads.",
        "Embedding, spreads, aggregates, orders by a relation, upserts, `PUT`, `on_conflict`, CSV and plans are refused; columns are named by ASCII letters, digits, `_` and `-`.",
        "`PATCH` and `DELETE` need a condition of the client's own.",
        "`count=planned` and `count=estimated` are refused: they speak of every tenant's rows.",
    ],
};

/// A name of at most 63 letters, digits, `_` and `-`.
fn collection_name(name: &str) -> bool {
    let first = name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    let rest = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    first && rest && name.len() <= 63 && name != "rpc"
}

/// A column that no parameter of the query language is called by.
fn namespace_key(key: &str) -> bool {
    let first = key.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    let reserved = ["select", "columns", "on_conflict", "order", "limit", "offset", "and", "or", "not"];
    first && key.len() <= 63 && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') && !reserved.contains(&key)
}
