//! Rows that refuse are listed too: an operator sees that they were thought of, and why.

use super::{answers, requests};
use crate::surface::{BodyRule, Endpoint, QueryRule, RequestRule, ResponseRule};
use RequestRule::Rewrite;
use ResponseRule::{Scan, Verify};

const fn judged(row: Endpoint) -> Endpoint {
    Endpoint { query: QueryRule::Judged, ..row }
}

/// The rows.
pub const TABLE: &[Endpoint] = &[
    Endpoint::refuse("postgrest.rpc", "/rpc/*", "a function reads and writes what it likes"),
    judged(Endpoint::get(
        "postgrest.read",
        "/{table}",
        Rewrite(requests::read),
        Verify(answers::rows),
        "a condition on the marker's column beside the client's, marker forced",
    )),
    judged(
        Endpoint::get(
            "postgrest.head",
            "/{table}",
            Rewrite(requests::read),
            Scan,
            "as `GET`: `Content-Range` counts under the condition",
        )
        .by("HEAD"),
    ),
    judged(Endpoint::post(
        "postgrest.insert",
        "/{table}",
        Rewrite(requests::insert),
        Verify(answers::rows),
        "every row marked; no upsert",
    )),
    judged(
        Endpoint::post(
            "postgrest.update",
            "/{table}",
            Rewrite(requests::update),
            Verify(answers::rows),
            "a condition on the marker's column beside the client's, of which there must be one; never the marker itself",
        )
        .by("PATCH"),
    ),
    judged(Endpoint {
        body: BodyRule::Optional,
        ..Endpoint::get(
            "postgrest.delete",
            "/{table}",
            Rewrite(requests::delete),
            Verify(answers::rows),
            "a condition on the marker's column beside the client's, of which there must be one",
        )
        .by("DELETE")
    }),
    Endpoint::refuse("postgrest.table_any", "/{table}", "`PUT` writes over rows; `OPTIONS` describes"),
    Endpoint::refuse("postgrest.root", "/", "describes every table and function"),
    Endpoint::refuse("postgrest.any", "/*", "not known"),
];
