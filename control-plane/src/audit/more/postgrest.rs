//! PostgREST: the table's columns are those of a row that the tenant has. The canary stands in a column of text; a row that needs more is made like
//! the tenant's own.

use crate::audit::probe::{Here, Proof, WORD, Way};
use anyhow::{Result, bail};
use reqwest::Method;
use serde_json::{Map, Value, json};

/// A row of the tenant, and its columns that may hold text.
async fn like(here: &Here) -> Result<Option<(Map<String, Value>, Vec<String>)>> {
    let found = here.must(Method::GET, &format!("/{}?limit=1", here.collection()), None).await?;
    let Some(row) = found.get(0).and_then(Value::as_object).cloned() else { return Ok(None) };
    let plain = |name: &&String| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') && *name != "id";
    let texts = row.iter().filter(|(_, value)| value.is_string()).map(|(name, _)| name).filter(plain).cloned();
    let texts = texts.collect();
    Ok(Some((row, texts)))
}

pub(in crate::audit) async fn write(here: &Here) -> Result<bool> {
    let Some((row, columns)) = like(here).await? else { return Ok(false) };
    let own = here.own();
    let path = format!("/{}", here.collection());
    let number = u64::from_str_radix(own.uuid.get(..7).unwrap_or_default(), 16).unwrap_or(1);
    let id = match row.get("id") {
        Some(Value::String(_)) => json!(own.uuid),
        _ => json!(number),
    };
    let mut last = String::from("the table has no column of text that is known");
    for column in columns {
        let least: Map<String, Value> = [(column.clone(), json!(own.text))].into_iter().collect();
        let mut whole = row.clone();
        whole.insert(column.clone(), json!(own.text));
        whole.remove("id");
        for mut try_this in [least, whole] {
            for with_id in [true, false] {
                if with_id {
                    try_this.insert("id".to_owned(), id.clone());
                } else {
                    try_this.remove("id");
                }
                let body = Value::Object(try_this.clone());
                let answer = here.json(Method::POST, &path, Some(&body)).await?;
                if answer.status.is_success() {
                    return Ok(true);
                }
                last = format!("{} {}", answer.status, answer.text.chars().take(200).collect::<String>());
            }
        }
    }
    bail!("no row could be written: {last}");
}

/// The column that holds the tenant's canary.
async fn column(here: &Here) -> Result<Option<String>> {
    let Some((_, columns)) = like(here).await? else { return Ok(None) };
    for column in columns {
        let path = format!("/{}?{column}=eq.{}&limit=1", here.collection(), here.own().text);
        // A date or a number has no such value: that is an error, and no column of ours.
        let answer = here.json(Method::GET, &path, None).await?;
        if answer.status.is_success() && answer.text.contains(&here.own().text) {
            return Ok(Some(column));
        }
    }
    Ok(None)
}

pub(in crate::audit) async fn ways(here: &Here) -> Result<Vec<Way>> {
    let Some(column) = column(here).await? else { bail!("the canary is not found again") };
    let table = here.collection();
    // Nobody else's canary is in the question: PostgREST repeats it in a header, where the scanner would find it.
    let wide = format!("/{table}?or=({column}.like.{WORD}*,{column}.eq.x)");
    let get = |way, path: String| (way, Method::GET, path, None, Proof::Text);
    Ok(vec![
        get("read", format!("/{table}?{column}=like.{WORD}*")),
        get("read, widened", wide.clone()),
        ("count", Method::HEAD, wide, None, Proof::Range),
    ])
}

pub(in crate::audit) async fn remove(here: &Here) -> Result<()> {
    let Some(column) = column(here).await? else { return Ok(()) };
    let path = format!("/{}?{column}=eq.{}", here.collection(), here.own().text);
    here.must(Method::DELETE, &path, None).await?;
    Ok(())
}
