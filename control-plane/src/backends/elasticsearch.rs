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
        if self.ask(Method::POST, &format!("/{index}/_refresh"), Some(&json!({}))).await?.is_none() {
            return Ok(());
        }
        self.elastic_check(&index).await?;
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
        self.elastic_check(&index).await?;
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
        let count = json!({"query": filter.cloned().unwrap_or_else(|| json!({"match_all": {}}))});
        done.seen = number(&self.must(Method::POST, &format!("/{source}/_count"), Some(&count)).await?, "/count")?;
        let unmarked = json!({"bool": {"must": [count["query"]], "must_not": [{"exists": {"field": self.site.key}}]}});
        let count = json!({"query": unmarked});
        done.stamped = number(&self.must(Method::POST, &format!("/{source}/_count"), Some(&count)).await?, "/count")?;
        done.marked = done.seen - done.stamped.min(done.seen);
        progress(&done);
        let mut moved = 0;
        if dry_run {
            return Ok(done);
        }
        loop {
            // What was moved is not found again, so it is always the first page.
            let page = self.elastic_page(&source, &unmarked).await?;
            let hits = list(&page, "/hits/hits")?;
            if hits.is_empty() {
                break;
            }
            moved += hits.len() as u64;
            if moved > done.stamped + PAGE as u64 {
                bail!("more records are found without a marker than were counted: adopt again to go on");
            }
            let (mut lines, mut gone) = (String::new(), String::new());
            for hit in hits {
                let (Some(id), Some(document)) = (hit["_id"].as_str(), hit["_source"].as_object()) else {
                    bail!("a document has no `_source`: it cannot be copied, so nothing of it was changed");
                };
                let mut document: Map<String, Value> = document.clone();
                document.insert(self.site.key.clone(), json!(self.site.namespace));
                lines += &format!(
                    "{}\n",
                    json!({"create": {"_index": collection, "_id": format!("{}{id}", self.prefix())}})
                );
                lines += &format!("{}\n", Value::Object(document));
                let mut old = json!({"_index": hit["_index"], "_id": id});
                if !hit["_routing"].is_null() {
                    old["routing"] = hit["_routing"].clone();
                }
                gone += &format!("{}\n", json!({"delete": old}));
            }
            self.elastic_bulk(&target, lines).await?;
            self.elastic_bulk(&source, gone).await?;
        }
        Ok(done)
    }

    /// Documents that a query finds, whole. From 9.2 on Elasticsearch leaves vectors out unless told otherwise; before 9.1, and
    /// in OpenSearch, there is no such word.
    async fn elastic_page(&self, index: &str, query: &Value) -> Result<Value> {
        let path = format!("/{index}/_search");
        let body = json!({"query": query, "size": PAGE, "sort": ["_doc"], "_source": {"exclude_vectors": false}});
        let answer = self.send(Method::POST, &path, &[], Some(&body)).await?;
        if answer.status.is_success() {
            return Ok(answer.body);
        }
        let body = json!({"query": query, "size": PAGE, "sort": ["_doc"]});
        self.must(Method::POST, &path, Some(&body)).await
    }

    /// Whether the marker is a keyword in an index. As an analysed text it would be found within another's, whose records would
    /// then be deleted or counted; or not at all.
    async fn elastic_check(&self, index: &str) -> Result<()> {
        let path = format!("/{index}/_mapping/field/{}", escape(&self.site.key));
        let mappings = self.must(Method::GET, &path, None).await?;
        let kinds = mappings.as_object().into_iter().flat_map(|all| all.values()).filter_map(|one| {
            one["mappings"][&self.site.key]["mapping"].as_object()?.values().next()?["type"].as_str()
        });
        for kind in kinds {
            if kind != "keyword" {
                bail!(
                    "{:?} is mapped as {kind} in {index:?}, so a tenant's records cannot be told from others': reindex it with a `keyword`",
                    self.site.key
                );
            }
        }
        Ok(())
    }

    async fn elastic_bulk(&self, index: &str, lines: String) -> Result<()> {
        let mut request = self.http.post(format!("{}/{index}/_bulk?refresh=true", self.url));
        if let Some((name, value)) = self.credential {
            request = request.header(name, value);
        }
        let answer = request.header("content-type", "application/x-ndjson").body(lines).send().await?;
        let status = answer.status();
        let body: Value = serde_json::from_str(&answer.text().await?).unwrap_or_default();
        // What the tenant has under an id by now is the later record: it stays (409).
        let fine = |item: &Value| {
            let result = item.as_object().and_then(|item| item.values().next());
            result.is_some_and(|result| result["error"].is_null() || result["status"] == 409)
        };
        if !status.is_success() || !list(&body, "/items")?.iter().all(fine) {
            bail!(
                "a bulk request of {index:?} failed ({status}); nothing was deleted that was not written: adopt again"
            );
        }
        Ok(())
    }
}
