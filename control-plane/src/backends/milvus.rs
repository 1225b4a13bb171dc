//! Milvus. Every answer is HTTP 200: `code` says whether it worked.

use super::{Adopted, Database, PAGE, Progress, list};
use anyhow::{Context, Result, bail};
use reqwest::Method;
use serde_json::{Value, json};

/// Milvus' code for a collection, or a database, that does not exist.
const NOT_FOUND: [i64; 2] = [100, 800];

impl Database<'_> {
    async fn milvus(&self, path: &str, collection: &str, more: Value) -> Result<Option<Value>> {
        let mut body = json!({"dbName": self.site.database, "collectionName": collection});
        if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
            body.extend(more);
        }
        let answer = self.must(Method::POST, &format!("/v2/vectordb/{path}"), Some(&body)).await?;
        match answer["code"].as_i64().context("the database's answer has no code")? {
            0 | 200 => Ok(Some(answer)),
            code if NOT_FOUND.contains(&code) => Ok(None),
            code => bail!("{path}: the database answered {code}: {}", answer["message"].as_str().unwrap_or_default()),
        }
    }

    /// Namespaces hold nothing that needs an escape: a tenant's alphabet, and a format that was checked.
    fn milvus_own(&self) -> Result<String> {
        if self.site.namespace.contains(['"', '\\']) {
            bail!("the namespace {:?} cannot be quoted", self.site.namespace);
        }
        Ok(format!("{} == \"{}\"", self.site.key, self.site.namespace))
    }

    pub(super) async fn milvus_purge(&self, collection: &str) -> Result<()> {
        if self.owns_collections() {
            self.milvus("collections/drop", collection, json!({})).await?;
        } else {
            self.milvus("entities/delete", collection, json!({"filter": self.milvus_own()?})).await?;
        }
        Ok(())
    }

    pub(super) async fn milvus_drop(&self) -> Result<()> {
        let body = json!({"dbName": self.site.database});
        let answer = self.must(Method::POST, "/v2/vectordb/databases/drop", Some(&body)).await?;
        match answer["code"].as_i64() {
            Some(code) if code == 0 || code == 200 || NOT_FOUND.contains(&code) => Ok(()),
            code => bail!("databases/drop: the database answered {code:?}"),
        }
    }

    pub(super) async fn milvus_remaining(&self, collection: &str) -> Result<u64> {
        // A weaker consistency would not see what was written last.
        let more = json!({"filter": self.milvus_own()?, "outputFields": ["count(*)"], "consistencyLevel": "Strong"});
        match self.milvus("entities/query", collection, more).await? {
            None => Ok(0),
            Some(answer) => {
                let first = list(&answer, "/data")?.first().context("the database counted nothing")?;
                first["count(*)"].as_u64().context("the database's answer has no count")
            }
        }
    }

    pub(super) async fn milvus_adopt(
        &self,
        from: &str,
        collection: &str,
        filter: Option<&Value>,
        dry_run: bool,
        progress: Progress<'_>,
    ) -> Result<Adopted> {
        let filter = match filter {
            None => format!("{} != \"\"", self.site.id_field),
            Some(Value::String(filter)) => filter.clone(),
            Some(_) => bail!("a filter for Milvus is a text, like `kind == \"note\"`"),
        };
        let mut done = Adopted::default();
        let mut offset = 0;
        loop {
            let more = json!({"filter": filter, "outputFields": ["*"], "limit": PAGE, "offset": offset,
                "consistencyLevel": "Strong"});
            let page = self.milvus("entities/query", from, more).await?.context("there is no such collection")?;
            let rows = list(&page, "/data")?;
            let empty = |row: &&Value| row.get(&self.site.key).is_none_or(|value| value.is_null() || value == "");
            let free: Vec<&Value> = rows.iter().filter(empty).collect();
            done.seen += rows.len() as u64;
            done.marked += (rows.len() - free.len()) as u64;
            done.stamped += free.len() as u64;
            if !dry_run && !free.is_empty() {
                let mut old = Vec::new();
                let mut stamped = Vec::new();
                for row in &free {
                    let mut row = (*row).clone();
                    let id = row[&self.site.id_field].as_str().context("only records with text keys can be adopted")?;
                    old.push(json!(id));
                    row[&self.site.id_field] = json!(format!("{}{id}", self.prefix()));
                    row[&self.site.key] = json!(self.site.namespace);
                    stamped.push(row);
                }
                // What the tenant has under a key by now is the later record.
                let key = &self.site.id_field;
                let among = |ids: &[Value]| {
                    let quoted: Vec<String> = ids.iter().map(Value::to_string).collect();
                    format!("{key} in [{}]", quoted.join(", "))
                };
                let new: Vec<Value> = stamped.iter().map(|row| row[key].clone()).collect();
                let more =
                    json!({"filter": among(&new), "outputFields": [key], "limit": PAGE, "consistencyLevel": "Strong"});
                let known = self.milvus("entities/query", collection, more).await?.context("there is no target")?;
                let known = list(&known, "/data")?;
                stamped.retain(|row| !known.iter().any(|known| known[key] == row[key]));
                if !stamped.is_empty() {
                    self.milvus("entities/upsert", collection, json!({"data": stamped})).await?;
                }
                let gone = among(&old);
                self.milvus("entities/delete", from, json!({"filter": gone})).await?;
            }
            progress(&done);
            if rows.len() < PAGE {
                return Ok(done);
            }
            offset += if dry_run { rows.len() } else { rows.len() - free.len() };
        }
    }
}
