//! Qdrant.

use super::{Adopted, Database, PAGE, Progress, escape, list, number};
use anyhow::{Result, bail};
use reqwest::Method;
use serde_json::{Map, Value, json};

impl Database<'_> {
    fn qdrant_own(&self) -> Value {
        json!({"must": [{"key": self.site.key, "match": {"value": self.site.namespace}}]})
    }

    pub(super) async fn qdrant_purge(&self, collection: &str) -> Result<()> {
        let path = format!("/collections/{}", escape(collection));
        if self.owns_collections() {
            self.ask(Method::DELETE, &path, None).await?;
            return Ok(());
        }
        let body = json!({"filter": self.qdrant_own()});
        self.ask(Method::POST, &format!("{path}/points/delete?wait=true"), Some(&body)).await?;
        Ok(())
    }

    pub(super) async fn qdrant_remaining(&self, collection: &str) -> Result<u64> {
        let body = json!({"filter": self.qdrant_own(), "exact": true});
        let path = format!("/collections/{}/points/count", escape(collection));
        match self.ask(Method::POST, &path, Some(&body)).await? {
            None => Ok(0),
            Some(answer) => number(&answer, "/result/count"),
        }
    }

    pub(super) async fn qdrant_adopt(
        &self,
        from: &str,
        collection: &str,
        filter: Option<&Value>,
        dry_run: bool,
        progress: Progress<'_>,
    ) -> Result<Adopted> {
        let mut done = Adopted::default();
        let mut offset = Value::Null;
        let (source, target) = (escape(from), escape(collection));
        loop {
            let mut body = json!({"limit": PAGE, "with_payload": true, "with_vector": true});
            if let (Some(filter), Some(body)) = (filter, body.as_object_mut()) {
                body.insert("filter".to_owned(), filter.clone());
            }
            if !offset.is_null() {
                body["offset"] = offset.clone();
            }
            let page = self.must(Method::POST, &format!("/collections/{source}/points/scroll"), Some(&body)).await?;
            let points = list(&page, "/result/points")?;
            let free: Vec<&Value> =
                points.iter().filter(|point| point["payload"].get(&self.site.key).is_none()).collect();
            done.seen += points.len() as u64;
            done.marked += (points.len() - free.len()) as u64;
            done.stamped += free.len() as u64;
            if !dry_run && !free.is_empty() {
                let mut stamped = Vec::new();
                for point in &free {
                    let Some((id, original)) =
                        partywall_core::rag::qdrant::scoped_id(&self.site.tenant, &point["id"].to_string())
                    else {
                        bail!("the point {} has no id that can be scoped", point["id"]);
                    };
                    let mut payload: Map<String, Value> = point["payload"].as_object().cloned().unwrap_or_default();
                    payload.insert(self.site.key.clone(), json!(self.site.namespace));
                    if let Some(original) = original {
                        payload.insert(partywall_core::rag::qdrant::companion_key(&self.site.key), json!(original));
                    }
                    stamped.push(json!({"id": id, "vector": point["vector"], "payload": payload}));
                }
                // What the tenant has under an id by now is the later record.
                let ids: Vec<&Value> = stamped.iter().map(|point| &point["id"]).collect();
                let body = json!({"ids": ids, "with_payload": false, "with_vector": false});
                let known = self.must(Method::POST, &format!("/collections/{target}/points"), Some(&body)).await?;
                let known = list(&known, "/result")?;
                stamped.retain(|point| !known.iter().any(|known| known["id"] == point["id"]));
                if !stamped.is_empty() {
                    let body = json!({"points": stamped});
                    self.must(Method::PUT, &format!("/collections/{target}/points?wait=true"), Some(&body)).await?;
                }
                let old: Vec<&Value> = free.iter().map(|point| &point["id"]).collect();
                let path = format!("/collections/{source}/points/delete?wait=true");
                self.must(Method::POST, &path, Some(&json!({"points": old}))).await?;
            }
            progress(&done);
            offset = page["result"]["next_page_offset"].clone();
            if offset.is_null() {
                return Ok(done);
            }
        }
    }
}
