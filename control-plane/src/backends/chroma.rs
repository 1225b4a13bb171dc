//! Chroma.

use super::{Adopted, Database, PAGE, Progress, list};
use anyhow::{Context, Result, bail};
use reqwest::Method;
use serde_json::{Map, Value, json};

impl Database<'_> {
    fn chroma_path(&self, rest: &str) -> String {
        let (tenant, database) = (super::escape(&self.site.chroma_tenant), super::escape(&self.site.database));
        format!("/api/v2/tenants/{tenant}/databases/{database}/collections{rest}")
    }

    /// A collection's id; `None` when there is no such collection (or database).
    async fn chroma_id(&self, collection: &str) -> Result<Option<String>> {
        let found = self.ask(Method::GET, &self.chroma_path(&format!("/{}", super::escape(collection))), None).await?;
        found.map(|found| found["id"].as_str().map(str::to_owned).context("a collection without id")).transpose()
    }

    pub(super) async fn chroma_purge(&self, collection: &str) -> Result<()> {
        if self.owns_collections() {
            self.ask(Method::DELETE, &self.chroma_path(&format!("/{}", super::escape(collection))), None).await?;
            return Ok(());
        }
        let Some(id) = self.chroma_id(collection).await? else { return Ok(()) };
        let condition = json!({"where": {self.site.key.as_str(): {"$eq": self.site.namespace}}});
        self.must(Method::POST, &self.chroma_path(&format!("/{id}/delete")), Some(&condition)).await?;
        // What carries the tenant's id but not its marker was never served to anyone; it goes too.
        let mut offset = 0;
        loop {
            let page = self.chroma_page(&id, offset, None, &[]).await?;
            let ids = list(&page, "/ids")?;
            let own: Vec<&Value> =
                ids.iter().filter(|id| id.as_str().is_some_and(|id| id.starts_with(&self.prefix()))).collect();
            if !own.is_empty() {
                let body = json!({"ids": own});
                self.must(Method::POST, &self.chroma_path(&format!("/{id}/delete")), Some(&body)).await?;
            }
            if ids.len() < PAGE {
                return Ok(());
            }
            offset += ids.len() - own.len();
        }
    }

    pub(super) async fn chroma_drop(&self) -> Result<()> {
        let (tenant, database) = (super::escape(&self.site.chroma_tenant), super::escape(&self.site.database));
        self.ask(Method::DELETE, &format!("/api/v2/tenants/{tenant}/databases/{database}"), None).await?;
        Ok(())
    }

    async fn chroma_page(&self, id: &str, offset: usize, filter: Option<&Value>, include: &[&str]) -> Result<Value> {
        let mut body = json!({"limit": PAGE, "offset": offset, "include": include});
        if let (Some(filter), Some(body)) = (filter, body.as_object_mut()) {
            body.insert("where".to_owned(), filter.clone());
        }
        self.must(Method::POST, &self.chroma_path(&format!("/{id}/get")), Some(&body)).await
    }

    pub(super) async fn chroma_remaining(&self, collection: &str) -> Result<u64> {
        let Some(id) = self.chroma_id(collection).await? else { return Ok(0) };
        let (mut offset, mut remaining) = (0, 0);
        loop {
            let page = self.chroma_page(&id, offset, None, &["metadatas"]).await?;
            let (ids, metadatas) = (list(&page, "/ids")?, list(&page, "/metadatas")?);
            if ids.len() != metadatas.len() {
                bail!("ids and metadatas differ in length");
            }
            for (id, metadata) in ids.iter().zip(metadatas) {
                let marked = metadata[&self.site.key] == self.site.namespace.as_str();
                let scoped = id.as_str().is_some_and(|id| id.starts_with(&self.prefix()));
                remaining += u64::from(marked || scoped);
            }
            if ids.len() < PAGE {
                return Ok(remaining);
            }
            offset += ids.len();
        }
    }

    pub(super) async fn chroma_adopt(
        &self,
        from: &str,
        collection: &str,
        filter: Option<&Value>,
        dry_run: bool,
        progress: Progress<'_>,
    ) -> Result<Adopted> {
        let id = self.chroma_id(from).await?.with_context(|| format!("there is no collection {from:?}"))?;
        let target = if from == collection { Some(id.clone()) } else { self.chroma_id(collection).await? };
        let mut done = Adopted::default();
        let mut offset = 0;
        loop {
            let page = self.chroma_page(&id, offset, filter, &["metadatas", "documents", "embeddings", "uris"]).await?;
            let (ids, metadatas) = (list(&page, "/ids")?, list(&page, "/metadatas")?);
            if ids.len() != metadatas.len() {
                bail!("ids and metadatas differ in length");
            }
            let free: Vec<usize> = (0..ids.len()).filter(|at| metadatas[*at].get(&self.site.key).is_none()).collect();
            done.seen += ids.len() as u64;
            done.marked += (ids.len() - free.len()) as u64;
            done.stamped += free.len() as u64;
            if !dry_run && !free.is_empty() {
                let target = match &target {
                    Some(target) => target,
                    None => bail!("there is no collection {collection:?} yet: let the tenant, or you, create it first"),
                };
                let column = |name: &str| -> Result<Value> {
                    match page[name].as_array() {
                        Some(items) if items.len() == ids.len() => {
                            Ok(free.iter().map(|at| items[*at].clone()).collect())
                        }
                        Some(_) => bail!("ids and {name} differ in length"),
                        None => Ok(Value::Null),
                    }
                };
                let stamped: Vec<Value> = free
                    .iter()
                    .map(|at| {
                        let mut metadata: Map<String, Value> = metadatas[*at].as_object().cloned().unwrap_or_default();
                        metadata.insert(self.site.key.clone(), json!(self.site.namespace));
                        Value::Object(metadata)
                    })
                    .collect();
                let old: Vec<&Value> = free.iter().map(|at| &ids[*at]).collect();
                let new: Vec<String> =
                    old.iter().map(|id| format!("{}{}", self.prefix(), id.as_str().unwrap_or_default())).collect();
                let body = json!({"ids": new, "metadatas": stamped, "documents": column("documents")?,
                    "embeddings": column("embeddings")?, "uris": column("uris")?});
                // `add` leaves a record as it is that the tenant has under that id by now.
                self.must(Method::POST, &self.chroma_path(&format!("/{target}/add")), Some(&body)).await?;
                // Only once the new ones are there.
                let body = json!({"ids": old});
                self.must(Method::POST, &self.chroma_path(&format!("/{id}/delete")), Some(&body)).await?;
            }
            progress(&done);
            if ids.len() < PAGE {
                return Ok(done);
            }
            // Records that were moved are gone from the pages; their new ids come at the end, marked.
            offset += if dry_run { ids.len() } else { ids.len() - free.len() };
        }
    }
}
