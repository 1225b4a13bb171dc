//! `partywall alerts`: what was raised, who is told, and whether that arrives.
#![allow(clippy::indexing_slicing)] // Indexing a JSON value gives null where there is nothing.

use super::client::Client;
use super::output;
use anyhow::{Result, bail};
use reqwest::Method;
use serde_json::{Value, json};

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Alerts {
    /// Only this tenant's.
    #[arg(long)]
    tenant: Option<String>,
    /// At most so many.
    #[arg(long, default_value_t = 20)]
    limit: usize,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Who is told of alerts, and whether that arrives.
    Receivers,
    /// Sends a test alert to every receiver and prints what each answered.
    Test,
}

pub(super) async fn run(client: &Client, alerts: Alerts, json: bool) -> Result<()> {
    match alerts.command {
        None => list(client, alerts.tenant, alerts.limit, json).await,
        Some(Command::Receivers) => receivers(client, json).await,
        Some(Command::Test) => test(client, json).await,
    }
}

async fn list(client: &Client, tenant: Option<String>, limit: usize, json: bool) -> Result<()> {
    let query = tenant.map(|tenant| format!("&tenant={tenant}")).unwrap_or_default();
    let rows = client.json(Method::GET, &format!("/v1/alerts?limit={limit}{query}"), None).await?;
    let columns = ["last_at", "severity", "kind", "tenant", "surface", "count", "summary", "request_id"];
    output::table(&rows, &columns, json);
    Ok(())
}

async fn receivers(client: &Client, json: bool) -> Result<()> {
    let mut rows = client.json(Method::GET, "/v1/alerts/receivers", None).await?;
    if !json {
        for row in rows.as_array_mut().into_iter().flatten() {
            for name in ["delivered_at", "failing_since"] {
                if row[name] == 0 {
                    row[name] = Value::Null;
                }
            }
        }
    }
    let columns = [
        "name",
        "kind",
        "delivered",
        "pending",
        "oldest_pending_s",
        "dropped",
        "delivered_at",
        "failing_since",
        "last_error",
    ];
    output::table(&rows, &columns, json);
    Ok(())
}

async fn test(client: &Client, json: bool) -> Result<()> {
    let rows = client.json(Method::POST, "/v1/alerts/test", None).await?;
    output::table(&rows, &["receiver", "ok", "answer", "milliseconds"], json);
    let failed = rows.as_array().into_iter().flatten().filter(|row| row["ok"] != json!(true)).count();
    if failed > 0 {
        bail!("{failed} of the receivers did not take the test alert");
    }
    Ok(())
}
