//! Elasticsearch and OpenSearch.

use super::{Adopted, Database, PAGE, Progress, escape, list, number};
use anyhow::{Result, bail};
use reqwest::Method;
use serde_json::{Map, Value, json};

impl Database<'_> {
    fn elastic_own(&self) -> Value {
        json!({"term": {self.site.key.as_str(): self.site.namespace}})
    }

    pub(super) async fn elastic_purge(&self, index: &str) -> Result<()> {
        let index = escape(index);
        if self.owns_collections() {
            self.ask(Method::DELETE, &format!("/{index}"), None).await?;
            return Ok(());
        }
        let body = json!({"query": self.elastic_own()});
        let path = format!("/{index}/_delete_by_query?refresh=true&conflicts=proceed");
        self.ask(Method::POST, &path, Some(&body)).await?;
        Ok(())
    }

    pub(super) async fn elastic_remaining(&self, index: &str) -> Result<u64> {
        let index = escape(index);
        if self.ask(Method::POST, &format!("/{index}/_refresh"), Some(&json!({}))).await?.is_none() {
            return Ok(0);
        }
        let body = json!({"query": self.elastic_own()});
        number(&self.must(Method::POST, &format!("/{index}/_count"), Some(&body)).await?, "/count")
    }

    pub(super) async fn elastic_adopt(
        &self,
        from: &str,
        collection: &str,
        filter: Option<&Value>,
        dry_run: bool,
        progress: Progress<'_>,
    ) -> Result<Adopted> {
        let mut done = Adopted::default();
        let (source, target) = (escape(from), escape(collection));
        let mut after: Option<Value> = None;
        let count = json!({"query": filter.cloned().unwrap_or_else(|| json!({"match_all": {}}))});
        done.seen = number(&self.must(Method::POST, &format!("/{source}/_count"), Some(&count)).await?, "/count")?;
        let unmarked = json!({"bool": {"must": [count["query"]], "must_not": [{"exists": {"field": self.site.key}}]}});
        let count = json!({"query": unmarked});
        done.stamped = number(&self.must(Method::POST, &format!("/{source}/_count"), Some(&count)).await?, "/count")?;
        done.marked = done.seen - done.stamped.min(done.seen);
        if dry_run {
            return Ok(done);
        }
        loop {
            let mut body = json!({"query": unmarked, "size": PAGE, "sort": ["_doc"]});
            if let Some(after) = &after {
                body["search_after"] = after.clone();
            }
            let page = self.must(Method::POST, &format!("/{source}/_search"), Some(&body)).await?;
            let hits = list(&page, "/hits/hits")?;
            let Some(last) = hits.last() else { break };
            after = last.get("sort").cloned();
            let mut lines = String::new();
            for hit in hits {
                let id = hit["_id"].as_str().unwrap_or_default();
                let mut document: Map<String, Value> = hit["_source"].as_object().cloned().unwrap_or_default();
                document.insert(self.site.key.clone(), json!(self.site.namespace));
                lines +=
                    &format!("{}\n", json!({"index": {"_index": collection, "_id": format!("{}{id}", self.prefix())}}));
                lines += &format!("{}\n", Value::Object(document));
            }
            self.elastic_bulk(&target, lines).await?;
            let gone: String = hits
                .iter()
                .map(|hit| format!("{}\n", json!({"delete": {"_index": from, "_id": hit["_id"]}})))
                .collect();
            self.elastic_bulk(&source, gone).await?;
            progress(&done);
            if after.is_none() {
                bail!("the database sorted nothing: adopt again to go on");
            }
        }
        Ok(done)
    }

    async fn elastic_bulk(&self, index: &str, lines: String) -> Result<()> {
        let mut request = self.http.post(format!("{}/{index}/_bulk?refresh=true", self.url));
        if let Some((name, value)) = self.credential {
            request = request.header(name, value);
        }
        let answer = request.header("content-type", "application/x-ndjson").body(lines).send().await?;
        let status = answer.status();
        let body: Value = serde_json::from_str(&answer.text().await?).unwrap_or_default();
        if !status.is_success() || body["errors"] != false {
            bail!(
                "a bulk request of {index:?} failed ({status}); nothing was deleted that was not written: adopt again"
            );
        }
        Ok(())
    }
}
