//! Milvus' REST API v2 (Zilliz Cloud's too).
//!
//! - A filter is a text, so it is read by a strict tokenizer (`tokens`) before it becomes
//!   `(KEY == {__pw_t}) and (<the client's>)`; the namespace itself is a value in `exprParams`, never part of the text.
//! - `get` becomes a `query` for those keys; `get_stats` becomes a filtered count.
//! - Keys of text type become `TENANT:key`: an upsert has no condition, and a delete removes every record that has a key
//!   which its filter found, whoever's it is. Hence a client cannot choose numeric keys in a shared collection.
//! - Milvus answers 200 to errors too: `code` decides.

mod answers;
mod collections;
mod entities;
mod filter;
mod search;
mod table;
mod tokens;
mod writes;

pub use table::TABLE;

use super::{Ask, Backend, Place, Rewritten, Strategies};
use crate::error::Code;
use crate::json::write::{self, Object};
use crate::json::{Str, Value};
use crate::rag::document::{Members, find, members};

/// Milvus.
pub const BACKEND: Backend = Backend {
    error_fields: &["code", "message"],
    collection_name: is_name,
    namespace_key: is_name,
    databases: true,
    strategies: Strategies {
        namespace: "a field in `filter`, keys of text type prefixed",
        separate_collection: "`collectionName`",
        separate_db: "`dbName`, or the cluster",
    },
    limits: &[
        "Needs Milvus 2.5 or later: the namespace is passed in `exprParams`.",
        "An upsert cannot be conditioned, so keys of type VarChar carry the tenant's prefix in the database; clients never see it. `id_field` of the policy must be the primary key's name.",
        "Numeric keys cannot be scoped, and a delete removes every record that has a key which its filter found. In a shared collection clients may therefore not choose them: use `autoID`, or VarChar keys. An upsert of numeric keys needs `separate_collection` or `separate_db`.",
        "The key can be used in a filter as `key == …`, `key in […]`, `key not in […]`, `key like …` and in ranges, with literals or template variables; any other use is refused.",
        "The namespace's field must be a VarChar field of the schema, or the collection must have its dynamic field enabled. Make it the partition key, so that a search touches only the tenant's part.",
        "A filtered search of an approximate index may give a small tenant in a large collection fewer than `limit` results.",
        "`functionScore`, search by ids, iterators, partitions, aliases, and everything under `release`, `flush` and `compact` are refused: they reach other tenants' records or their availability.",
    ],
};

/// A letter or `_`, then letters, digits and `_`; at most 255.
fn is_name(name: &str) -> bool {
    let first = name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    first && name.len() <= 255 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// A request's body, of which the place is settled.
struct Body<'a> {
    place: &'a Place<'a>,
    members: Members<'a>,
    /// The backend's name of the collection; empty where none is named.
    collection: String,
}

/// Members that say where, which are never copied.
const WHERE: &[&str] = &["dbName", "collectionName", "partitionName", "partitionNames"];

impl<'a> Body<'a> {
    /// Reads a body that names a collection and has no member but these and those of [`WHERE`].
    fn read(ask: &'a Ask<'a>, known: &[&str]) -> Result<Self, Code> {
        let body = Self::anywhere(ask, known)?;
        if body.collection.is_empty() { Err(Code::FieldInvalid) } else { Ok(body) }
    }

    /// The same, where the collection may be missing.
    fn anywhere(ask: &'a Ask<'a>, known: &[&str]) -> Result<Self, Code> {
        let place = ask.place()?;
        let rag = place.rag();
        // A key or marker that is not one name could not be told from an expression.
        if !is_name(&rag.id_field) || rag.id_field == place.key() {
            return Err(Code::PlaceUnavailable);
        }
        let members = members(ask.body, &[WHERE, known].concat())?;
        let own = if rag.database.is_empty() { "default" } else { &rag.database };
        match find(&members, "dbName") {
            None => {}
            Some(Value::String(name, _)) if name.raw().is_empty() || name.decode() == own => {}
            Some(Value::String(..)) => return Err(Code::NamespaceForbidden),
            Some(_) => return Err(Code::FieldInvalid),
        }
        let default = |name: &Value<'_>| matches!(name, Value::String(name, _) if name.decode() == "_default");
        if find(&members, "partitionName").is_some_and(|name| !default(name))
            || find(&members, "partitionNames")
                .is_some_and(|names| !names.items().is_some_and(|names| names.iter().all(default)))
        {
            return Err(Code::NamespaceForbidden);
        }
        let collection = match find(&members, "collectionName") {
            None => String::new(),
            Some(Value::String(name, _)) => place.collection(&name.decode())?,
            Some(_) => return Err(Code::FieldInvalid),
        };
        Ok(Self { place, members, collection })
    }

    /// Begins the new body with where it goes.
    fn begin<'o>(&self, out: &'o mut Vec<u8>) -> Object<'o> {
        let database = &self.place.database;
        let mut object = Object::begin(out);
        // Always there: without it Milvus takes the header's.
        object.member("dbName", |out| write::string(out, if database.is_empty() { "default" } else { database }));
        if !self.collection.is_empty() {
            object.member("collectionName", |out| write::string(out, &self.collection));
        }
        for name in ["partitionName", "partitionNames"] {
            if let Some(value) = self.find(name) {
                object.raw(name, value.raw());
            }
        }
        object
    }

    fn find(&self, name: &str) -> Option<&Value<'a>> {
        find(&self.members, name)
    }

    /// A member that must be a text, where it is there.
    fn text(&self, name: &str) -> Result<Option<&Str<'a>>, Code> {
        text(&self.members, name)
    }
}

/// A member that must be a text, where it is there.
fn text<'m, 'a>(members: &'m [(Str<'a>, Value<'a>)], name: &str) -> Result<Option<&'m Str<'a>>, Code> {
    match find(members, name) {
        None => Ok(None),
        Some(Value::String(text, _)) => Ok(Some(text)),
        Some(_) => Err(Code::FieldInvalid),
    }
}

/// The new body, without the header by which a request could name another database.
fn rewritten(ask: &Ask<'_>, body: Vec<u8>) -> Rewritten {
    let headers = ask.header("db-name").map(|_| ("db-name", None)).into_iter().collect();
    Rewritten { body: Some(body), headers, ..Rewritten::default() }
}
