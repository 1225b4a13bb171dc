//! Weaviate: a native tenant is a shard of its own, which goes whole.

use super::{Adopted, Database, PAGE, Progress, escape, list};
use anyhow::{Result, bail};
use reqwest::Method;
use serde_json::{Value, json};

impl Database<'_> {
    /// Whether there is the class. Weaviate's 404 says nothing, so what says it must be a Weaviate.
    async fn weaviate_has(&self, class: &str) -> Result<bool> {
        if self.ask(Method::GET, &format!("/v1/schema/{}", escape(class)), None).await?.is_some() {
            return Ok(true);
        }
        let meta = self.must(Method::GET, "/v1/meta", None).await?;
        if meta["version"].is_string() { Ok(false) } else { bail!("there is no Weaviate at {}", self.url) }
    }

    pub(super) async fn weaviate_purge(&self, class: &str) -> Result<()> {
        if !self.weaviate_has(class).await? {
            return Ok(());
        }
        if self.owns_collections() {
            self.ask(Method::DELETE, &format!("/v1/schema/{}", escape(class)), None).await?;
            return Ok(());
        }
        let body = json!([self.site.namespace]);
        self.ask(Method::DELETE, &format!("/v1/schema/{}/tenants", escape(class)), Some(&body)).await?;
        Ok(())
    }

    /// The objects of the native tenant, and at least one for the tenant itself where it is still there. What sleeps cannot be
    /// counted, only deleted.
    pub(super) async fn weaviate_remaining(&self, class: &str) -> Result<u64> {
        if !self.weaviate_has(class).await? {
            return Ok(0);
        }
        let tenants = self.must(Method::GET, &format!("/v1/schema/{}/tenants", escape(class)), None).await?;
        let Some(own) = list(&tenants, "")?.iter().find(|t| t["name"] == self.site.namespace.as_str()) else {
            return Ok(0);
        };
        let (mut counted, mut after) = (0, None);
        let awake = own["activityStatus"].as_str().is_none_or(|status| matches!(status, "HOT" | "ACTIVE"));
        if !awake {
            return Ok(1);
        }
        loop {
            let objects = self.weaviate_objects(class, after.as_deref()).await?;
            counted += objects.len() as u64;
            after = objects.last().and_then(|last| last["id"].as_str()).map(str::to_owned);
            if objects.len() < PAGE || after.is_none() {
                break;
            }
        }
        Ok(counted.max(1))
    }

    async fn weaviate_objects(&self, class: &str, after: Option<&str>) -> Result<Vec<Value>> {
        let mut path =
            format!("/v1/objects?class={}&tenant={}&limit={PAGE}", escape(class), escape(&self.site.namespace));
        if let Some(after) = after {
            path += &format!("&after={}", escape(after));
        }
        Ok(list(&self.must(Method::GET, &path, None).await?, "/objects")?.clone())
    }

    /// Objects of the native tenant that lack the marker.
    pub(super) async fn weaviate_adopt(
        &self,
        from: &str,
        class: &str,
        filter: Option<&Value>,
        dry_run: bool,
        progress: Progress<'_>,
    ) -> Result<Adopted> {
        if filter.is_some() {
            bail!("in Weaviate the objects of a native tenant are adopted whole, without a filter");
        }
        if from != class {
            bail!("Weaviate cannot move objects between classes: copy them by its client, then adopt {class:?}");
        }
        let mut done = Adopted::default();
        let mut after = None;
        loop {
            let objects = self.weaviate_objects(class, after.as_deref()).await?;
            for object in &objects {
                done.seen += 1;
                if object["properties"].get(&self.site.key).is_some() {
                    done.marked += 1;
                    continue;
                }
                done.stamped += 1;
                if !dry_run {
                    let id = object["id"].as_str().unwrap_or_default();
                    let body = json!({"class": class, "tenant": self.site.namespace,
                        "properties": {self.site.key.as_str(): self.site.namespace}});
                    let path = format!("/v1/objects/{}/{}", escape(class), escape(id));
                    self.must(Method::PATCH, &path, Some(&body)).await?;
                }
            }
            progress(&done);
            after = objects.last().and_then(|last| last["id"].as_str()).map(str::to_owned);
            if objects.len() < PAGE || after.is_none() {
                return Ok(done);
            }
        }
    }
}
