//! Chroma's v2 API.
//!
//! - `where` becomes `{"$and":[{KEY:{"$eq":NAMESPACE}}, <the client's, whole>]}`, whatever it was; so nothing inside the
//!   client's part can widen the result.
//! - Record ids become `TENANT:id`: an upsert has no condition, and a free id would overwrite a foreign record.
//! - A collection's UUID leaves sealed to the tenant, and is opened on the way in: Chroma serves any UUID to anyone, so only
//!   one that the tenant got by an allowed name means anything.
//! - `count` is asked as a filtered `get`.

mod answers;
mod requests;
mod table;

pub use table::TABLE;

use super::{Backend, Strategies};

/// Chroma.
pub const BACKEND: Backend = Backend {
    error_fields: &["error", "message", "detail"],
    collection_name,
    namespace_key,
    databases: true,
    strategies: Strategies {
        namespace: "metadata in `where`, ids prefixed",
        separate_collection: "the collection's name",
        separate_db: "the path's database, or the cluster",
    },
    limits: &[
        "An upsert cannot be conditioned, so ids carry the tenant's prefix in the database; clients never see it.",
        "Once a collection's UUID is known, the server ignores tenant and database in the path: UUIDs are sealed to the tenant.",
        "`count` takes no filter: it is counted from a filtered `get`, so it costs what listing all ids costs, within `limits.response_bytes`.",
        "`where_document` cannot be forced by itself; it is evaluated beside the forced `where`.",
        "The nearest neighbours of a filtered query are found among all records of the collection: a small tenant in a large collection may get fewer than `n_results` from an approximate index. Give it `separate_collection`.",
    ],
};

/// 3 to 512 characters of `A-Z a-z 0-9 . _ -`, beginning and ending with a letter or digit.
fn collection_name(name: &str) -> bool {
    let alphanumeric = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
    (3..=512).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        && alphanumeric(name.bytes().next())
        && alphanumeric(name.bytes().last())
}

fn namespace_key(key: &str) -> bool {
    !key.is_empty()
        && !key.starts_with(['$', '#', '_'])
        && !key.starts_with("chroma:")
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
}
