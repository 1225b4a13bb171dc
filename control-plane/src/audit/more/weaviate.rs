//! Weaviate: the canary is an object without properties, known by its id, so that no class gets a property from us. Its vectors have the size
//! of those that the tenant has.

use crate::audit::probe::{Here, Proof, Way, vector};
use anyhow::{Result, bail};
use reqwest::{Method, StatusCode};
use serde_json::{Map, Value, json};

/// The vectors of an object of the tenant: `(vector, vectors)`; `None` where it has none.
async fn like(here: &Here) -> Result<Option<Value>> {
    let path = format!("/v1/objects?class={}&limit=1&include=vector", here.collection());
    let found = here.must(Method::GET, &path, None).await?;
    Ok(found["objects"].get(0).cloned())
}

fn size(value: &Value) -> Option<usize> {
    value.as_array().map(Vec::len).filter(|size| *size > 0)
}

pub(in crate::audit) async fn write(here: &Here) -> Result<bool> {
    let Some(like) = like(here).await? else { return Ok(false) };
    let own = here.own();
    let mut object = json!({"class": here.collection(), "id": own.uuid});
    if let Some(size) = size(&like["vector"]) {
        object["vector"] = vector(own, size);
    }
    let named = like["vectors"].as_object().into_iter().flatten();
    let vectors: Map<String, Value> =
        named.filter_map(|(name, value)| Some((name.clone(), vector(own, size(value)?)))).collect();
    if !vectors.is_empty() {
        object["vectors"] = Value::Object(vectors);
    }
    here.must(Method::POST, "/v1/objects", Some(&object)).await?;
    Ok(true)
}

pub(in crate::audit) async fn ways(here: &Here) -> Result<Vec<Way>> {
    let class = here.collection();
    let Some(like) = like(here).await? else { bail!("the tenant's objects are gone") };
    let limit = here.many();
    let each: Vec<String> =
        here.uuids().iter().map(|id| format!(r#"{{ path: ["id"], operator: Equal, valueText: "{id}" }}"#)).collect();
    let any = format!("{{ operator: Or, operands: [{}] }}", each.join(", "));
    let nobody = r#"{ path: ["id"], operator: NotEqual, valueText: "00000000-0000-0000-0000-000000000000" }"#;
    let wide = format!("{{ operator: Or, operands: [{any}, {nobody}] }}");
    let ask =
        |way, query: String, proof| (way, Method::POST, "/v1/graphql".to_owned(), Some(json!({"query": query})), proof);
    let get = |arguments: &str| format!("{{ Get {{ {class}({arguments}) {{ _additional {{ id }} }} }} }}");
    let newest = format!("/v1/objects?class={class}&limit={}&sort=_creationTimeUnix&order=desc", limit.max(100));
    let mut ways = vec![
        ("list, the newest", Method::GET, newest, None, Proof::Text),
        ask("get", get(&format!("limit: {limit}, where: {any}")), Proof::Text),
        ask("get, widened", get(&format!("limit: 10000, where: {wide}")), Proof::Text),
    ];
    if let Some(size) = size(&like["vector"]) {
        let near = format!("limit: {limit}, nearVector: {{ vector: {} }}", vector(here.own(), size));
        ways.push(ask("near vector", get(&near), Proof::Text));
    }
    let count = format!("{{ Aggregate {{ {class}(where: {any}) {{ meta {{ count }} }} }} }}");
    ways.push(ask("aggregate", count, Proof::Count("count")));
    Ok(ways)
}

pub(in crate::audit) async fn remove(here: &Here) -> Result<()> {
    let path = format!("/v1/objects/{}/{}", here.collection(), here.own().uuid);
    let answer = here.json(Method::DELETE, &path, None).await?;
    // 422: the tenant has no shard there.
    let gone = [StatusCode::NOT_FOUND, StatusCode::UNPROCESSABLE_ENTITY].contains(&answer.status);
    if !answer.status.is_success() && !gone {
        bail!("DELETE {path}: {} {}", answer.status, answer.code);
    }
    Ok(())
}
