//! PostgREST.

use super::{Adopted, Database, Progress, escape, refusal};
use anyhow::{Context, Result, bail};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

impl Database<'_> {
    fn postgrest_own(&self) -> String {
        format!("{}=eq.{}", escape(&self.site.key), escape(&self.site.namespace))
    }

    /// Sends a request within the schema; `None` when there is no such table. The number is that of the rows.
    async fn postgrest(&self, method: Method, path: &str, prefer: &str, body: Option<&Value>) -> Result<Option<u64>> {
        let profile = if matches!(method, Method::GET | Method::HEAD) { "accept-profile" } else { "content-profile" };
        let headers = [(profile, self.site.database.as_str()), ("prefer", prefer)];
        let answer = self.send(method.clone(), path, &headers, body).await?;
        if answer.status == StatusCode::NOT_FOUND && self.says_absent(&answer.body) {
            return Ok(None);
        }
        if !answer.status.is_success() {
            return Err(refusal(&method, path, answer.status, &answer.text));
        }
        let range = answer.headers.get("content-range").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let total = range.rsplit('/').next().and_then(|total| total.parse().ok());
        total.map(Some).context("the database did not say how many rows there are")
    }

    pub(super) async fn postgrest_purge(&self, table: &str) -> Result<()> {
        let path = format!("/{}?{}", escape(table), self.postgrest_own());
        self.postgrest(Method::DELETE, &path, "return=minimal,count=exact", None).await?;
        Ok(())
    }

    pub(super) async fn postgrest_remaining(&self, table: &str) -> Result<u64> {
        let path = format!("/{}?{}", escape(table), self.postgrest_own());
        Ok(self.postgrest_count(&path).await?.unwrap_or(0))
    }

    /// How many rows a query finds. Not by HEAD: what an error says would not be known.
    async fn postgrest_count(&self, path: &str) -> Result<Option<u64>> {
        let path = format!("{path}&select={}&limit=0", escape(&self.site.key));
        self.postgrest(Method::GET, &path, "count=exact", None).await
    }

    /// Rows stay in their table: one statement stamps them.
    pub(super) async fn postgrest_adopt(
        &self,
        from: &str,
        collection: &str,
        filter: Option<&Value>,
        dry_run: bool,
        progress: Progress<'_>,
    ) -> Result<Adopted> {
        if from != collection {
            bail!("PostgREST cannot move rows between tables: move them by SQL, then adopt {collection:?}");
        }
        let filter = match filter {
            None => String::new(),
            Some(Value::String(filter)) => format!("&{filter}"),
            Some(_) => bail!("a filter for PostgREST is a text, like `kind=eq.note`"),
        };
        let count = |path: String| async move { self.postgrest_count(&path).await?.context("there is no such table") };
        let table = escape(from);
        let key = escape(&self.site.key);
        let seen = count(format!("/{table}?{}", filter.trim_start_matches('&'))).await?;
        let free = format!("/{table}?{key}=is.null{filter}");
        let stamped = if dry_run {
            count(free).await?
        } else {
            let body = json!({self.site.key.as_str(): self.site.namespace});
            let stamped = self.postgrest(Method::PATCH, &free, "return=minimal,count=exact", Some(&body)).await?;
            stamped.context("there is no such table")?
        };
        let done = Adopted { seen, stamped, marked: seen.saturating_sub(stamped) };
        progress(&done);
        Ok(done)
    }
}
