//! Pinecone: a namespace is a place of its own, so deleting one is deleting all that is in it.

use super::{Adopted, Database, Progress, escape, list};
use anyhow::{Context, Result, bail};
use reqwest::Method;
use serde_json::{Map, Value, json};

impl Database<'_> {
    pub(super) async fn pinecone_purge(&self) -> Result<()> {
        let body = json!({"deleteAll": true, "namespace": self.site.namespace});
        self.ask(Method::POST, "/vectors/delete", Some(&body)).await?;
        Ok(())
    }

    pub(super) async fn pinecone_remaining(&self) -> Result<u64> {
        let stats = self.must(Method::POST, "/describe_index_stats", Some(&json!({}))).await?;
        let counted = match stats["namespaces"].get(&self.site.namespace) {
            None => 0,
            Some(own) => super::number(own, "/vectorCount")?,
        };
        // Statistics lag behind; the list does not.
        let path = format!("/vectors/list?namespace={}&limit=100", escape(&self.site.namespace));
        let listed = self.ask(Method::GET, &path, None).await?.unwrap_or_default();
        Ok(counted.max(listed["vectors"].as_array().map_or(0, |ids| ids.len() as u64)))
    }

    async fn pinecone_fetch(&self, ids: &[&str], namespace: &str) -> Result<Map<String, Value>> {
        let query: Vec<String> = ids.iter().map(|id| format!("ids={}", escape(id))).collect();
        let path = format!("/vectors/fetch?{}&namespace={}", query.join("&"), escape(namespace));
        let fetched = self.must(Method::GET, &path, None).await?;
        fetched["vectors"].as_object().cloned().context("the database's answer has no vectors")
    }

    /// From another namespace (`from`; the default one has the empty name) into the tenant's.
    pub(super) async fn pinecone_adopt(
        &self,
        from: &str,
        filter: Option<&Value>,
        dry_run: bool,
        progress: Progress<'_>,
    ) -> Result<Adopted> {
        if filter.is_some() {
            bail!("Pinecone lists vectors without a filter: adopt a whole namespace");
        }
        if from == self.site.namespace {
            bail!("these vectors are in the tenant's namespace already");
        }
        let mut done = Adopted::default();
        let mut token = String::new();
        loop {
            let mut path = format!("/vectors/list?namespace={}&limit=100", escape(from));
            if !token.is_empty() {
                path += &format!("&paginationToken={}", escape(&token));
            }
            let page = self.must(Method::GET, &path, None).await?;
            let ids: Vec<&str> = list(&page, "/vectors")?.iter().filter_map(|vector| vector["id"].as_str()).collect();
            done.seen += ids.len() as u64;
            if !ids.is_empty() {
                let vectors = self.pinecone_fetch(&ids, from).await?;
                let free: Vec<&Value> =
                    vectors.values().filter(|vector| vector["metadata"].get(&self.site.key).is_none()).collect();
                done.marked += (vectors.len() - free.len()) as u64;
                done.stamped += free.len() as u64;
                if !dry_run && !free.is_empty() {
                    let stamped: Vec<Value> = free
                        .iter()
                        .map(|vector| {
                            let mut vector = (*vector).clone();
                            let mut metadata: Map<String, Value> =
                                vector["metadata"].as_object().cloned().unwrap_or_default();
                            metadata.insert(self.site.key.clone(), json!(self.site.namespace));
                            vector["metadata"] = Value::Object(metadata);
                            vector
                        })
                        .collect();
                    // What the tenant has under an id by now is the later record.
                    let own = self.pinecone_fetch(&ids, &self.site.namespace).await?;
                    let fresh = |vector: &&Value| vector["id"].as_str().is_none_or(|id| !own.contains_key(id));
                    let stamped: Vec<&Value> = stamped.iter().filter(fresh).collect();
                    if !stamped.is_empty() {
                        let body = json!({"vectors": stamped, "namespace": self.site.namespace});
                        self.must(Method::POST, "/vectors/upsert", Some(&body)).await?;
                    }
                    let old: Vec<&Value> = free.iter().map(|vector| &vector["id"]).collect();
                    self.must(Method::POST, "/vectors/delete", Some(&json!({"ids": old, "namespace": from}))).await?;
                }
            }
            progress(&done);
            token = page["pagination"]["next"].as_str().unwrap_or_default().to_owned();
            if token.is_empty() {
                return Ok(done);
            }
        }
    }
}
