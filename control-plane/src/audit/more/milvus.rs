//! Milvus: the collection's description says what a record must have. The canary stands in the key, where that is text, and in a dynamic field or
//! another text.

use crate::audit::probe::{FIELD, Here, Proof, Way, vector};
use anyhow::{Result, bail};
use reqwest::Method;
use serde_json::{Map, Value, json};

/// What a record needs.
struct Schema {
    /// The key, and whether it is text; `None` where the database makes it.
    key: Option<(String, bool)>,
    /// Each field of vectors and its size.
    vectors: Vec<(String, usize)>,
    /// Where the canary stands.
    field: String,
    /// Other fields, with a value.
    others: Map<String, Value>,
}

/// The answer to a call; errors are 200 with a code of their own.
async fn call(here: &Here, operation: &str, body: Value) -> Result<Value> {
    let answer = here.must(Method::POST, &format!("/v2/vectordb/{operation}"), Some(&body)).await?;
    match answer["code"].as_i64() {
        Some(0) => Ok(answer["data"].clone()),
        code => bail!("{operation}: {code:?} {}", answer["message"].as_str().unwrap_or_default()),
    }
}

async fn schema(here: &Here) -> Result<Option<Schema>> {
    let has = call(here, "collections/has", json!({"collectionName": here.collection()})).await?;
    if has["has"] != true {
        return Ok(None);
    }
    let found = call(here, "collections/describe", json!({"collectionName": here.collection()})).await?;
    let dynamic = found["enableDynamicField"] == true;
    let (mut key, mut vectors, mut others, mut text) = (None, Vec::new(), Map::new(), None);
    for field in found["fields"].as_array().into_iter().flatten() {
        let (name, kind) = (field["name"].as_str().unwrap_or_default(), field["type"].as_str().unwrap_or_default());
        let mut params = field["params"].as_array().into_iter().flatten();
        let dimensions = params.find(|one| one["key"] == "dim").map(|one| one["value"].clone()).unwrap_or_default();
        if field["primaryKey"] == true {
            key = (field["autoId"] != true).then(|| (name.to_owned(), kind == "VarChar"));
        } else if kind == "FloatVector" {
            let size = dimensions.as_u64().or_else(|| dimensions.as_str()?.parse().ok());
            let Some(size) = size.and_then(|size| usize::try_from(size).ok()) else { bail!("{name} has no size") };
            vectors.push((name.to_owned(), size));
        } else if field["nullable"] != true {
            let value = match kind {
                "VarChar" => {
                    text.get_or_insert_with(|| name.to_owned());
                    json!(here.own().text)
                }
                "Int8" | "Int16" | "Int32" | "Int64" => json!(0),
                "Float" | "Double" => json!(0.5),
                "Bool" => json!(false),
                "JSON" => json!({}),
                "Array" => json!([]),
                _ => bail!("{name} is a {kind}: no canary fits"),
            };
            others.insert(name.to_owned(), value);
        }
    }
    let field = if dynamic { Some(FIELD.to_owned()) } else { text };
    let Some(field) = field else { bail!("no field of the collection can hold a canary") };
    Ok(Some(Schema { key, vectors, field, others }))
}

pub(in crate::audit) async fn write(here: &Here) -> Result<bool> {
    let Some(schema) = schema(here).await? else { return Ok(false) };
    let own = here.own();
    let mut row = schema.others;
    if let Some((key, text)) = schema.key {
        // 60 bits, of which no double loses any that matters.
        let number = u64::from_str_radix(own.uuid.get(..8).unwrap_or_default(), 16).unwrap_or(1);
        row.insert(key, if text { json!(own.text) } else { json!(number) });
    }
    for (name, size) in schema.vectors {
        row.insert(name, vector(own, size));
    }
    row.insert(schema.field, json!(own.text));
    call(here, "entities/insert", json!({"collectionName": here.collection(), "data": [row]})).await?;
    Ok(true)
}

pub(in crate::audit) async fn ways(here: &Here) -> Result<Vec<Way>> {
    let Some(schema) = schema(here).await? else { bail!("the collection is gone") };
    let (collection, field, limit) = (here.collection(), &schema.field, here.many());
    let any = format!("{field} in {}", json!(here.texts()));
    let wide = format!("({any}) or {field} like \"%\" or {field} != \"x\"");
    let post = |way, operation: &str, body: Value, proof| {
        (way, Method::POST, format!("/v2/vectordb/entities/{operation}"), Some(body), proof)
    };
    // What was just written must be read.
    let with = |filter: &str, limit: usize| json!({"collectionName": collection, "filter": filter, "limit": limit, "outputFields": [field], "consistencyLevel": "Strong"});
    let mut ways = vec![
        post("query", "query", with(&any, limit), Proof::Text),
        post("query, widened", "query", with(&wide, 10_000), Proof::Text),
    ];
    let count = json!({"collectionName": collection, "filter": any, "outputFields": ["count(*)"]});
    ways.push(post("count", "query", count, Proof::Count("count(*)")));
    for (name, size) in schema.vectors.iter().take(1) {
        let near = vector(here.own(), *size);
        let search = |filter: &str| {
            let mut body = with(filter, limit.min(16_384));
            body["data"] = json!([near]);
            body["annsField"] = json!(name);
            body
        };
        ways.push(post("search", "search", search(""), Proof::Text));
        ways.push(post("search, widened", "search", search(&wide), Proof::Text));
        for (way, operation) in [("hybrid search", "hybrid_search"), ("advanced search", "advanced_search")] {
            let inner = json!({"data": [near], "annsField": name, "limit": limit, "filter": wide});
            let body = json!({"collectionName": collection, "search": [inner], "rerank": {"strategy": "rrf", "params": {"k": 10}},
                "limit": limit, "outputFields": [field]});
            ways.push(post(way, operation, body, Proof::Text));
        }
    }
    if let Some((_, true)) = schema.key {
        let body = json!({"collectionName": collection, "id": here.texts(), "outputFields": [field]});
        ways.push(post("by ids", "get", body, Proof::Text));
    }
    Ok(ways)
}

pub(in crate::audit) async fn remove(here: &Here) -> Result<()> {
    let Some(schema) = schema(here).await? else { return Ok(()) };
    let filter = format!("{} == {}", schema.field, json!(here.own().text));
    call(here, "entities/delete", json!({"collectionName": here.collection(), "filter": filter})).await?;
    Ok(())
}
