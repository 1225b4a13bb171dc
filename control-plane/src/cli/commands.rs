//! What the commands do.
#![allow(clippy::indexing_slicing)] // Indexing a JSON value gives null where there is nothing.

use super::client::Client;
use super::{
    Command, EventsCommand, FingerprintCommand, PolicyCommand, ReceiptCommand, StoreCommand, TenantCommand,
    TokenCommand, alerts, audit, documents, output, rag,
};
use crate::policy;
use anyhow::{Context, Result};
use reqwest::Method;
use serde_json::{Value, json};
use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;

pub(super) fn read(file: &Path) -> Result<String> {
    if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text)?;
        return Ok(text);
    }
    std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

/// Checks a policy file like a compiler.
pub(super) fn check(file: &Path, json: bool) -> Result<ExitCode> {
    let text = read(file)?;
    let problems = policy::parse(&text).err().unwrap_or_default();
    if json {
        println!("{:#}", json!({"valid": problems.is_empty(), "problems": problems}));
    } else if problems.is_empty() {
        println!("{}: ok", file.display());
    } else {
        for problem in &problems {
            println!("{}:{}:{}: error: {}", file.display(), problem.line, problem.column, problem.message);
            if let Some(line) = text.lines().nth(problem.line.saturating_sub(1)) {
                println!("    {line}\n    {}^", " ".repeat(problem.column.saturating_sub(1)));
            }
        }
        println!("{} error{}", problems.len(), if problems.len() == 1 { "" } else { "s" });
    }
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

pub(super) async fn run(client: &Client, command: Command, json: bool) -> Result<()> {
    match command {
        Command::Status => {
            let mut status = client.json(Method::GET, "/v1/status", None).await?;
            if !json {
                let store = &status["fingerprint_store"];
                let word = |name: &str| store[name].as_str().unwrap_or_default();
                status["fingerprint_store"] =
                    json!(format!("{}: {} {}", word("kind"), word("state"), word("detail")).trim_end());
            }
            output::object(&status, json);
        }
        Command::PublicKey => {
            let status = client.json(Method::GET, "/v1/status", None).await?;
            println!("{}", status.get("public_key").and_then(Value::as_str).unwrap_or_default());
        }
        Command::Sidecars => {
            let rows = client.json(Method::GET, "/v1/sidecars", None).await?;
            output::table(
                &rows,
                &[
                    "instance",
                    "revision",
                    "converged",
                    "last_seen",
                    "totals/requests",
                    "totals/denied",
                    "totals/hits",
                    "totals/dropped",
                    "lost",
                ],
                json,
            );
        }
        Command::Policy(command) => policy(client, command, json).await?,
        Command::Tenant(command) => tenant(client, command, json).await?,
        Command::Fingerprint(command) => fingerprint(client, command, json).await?,
        Command::Document(command) => documents::document(client, command, json).await?,
        Command::Common(command) => documents::common(client, command, json).await?,
        Command::Events(command) => events(client, command, json).await?,
        Command::Token(command) => token(client, command, json).await?,
        Command::Namespaces { tenant, hours } => rag::namespaces(client, tenant, hours, json).await?,
        Command::Alerts(command) => alerts::run(client, command, json).await?,
        Command::Audit(command) => audit::run(client, command, json).await?,
        Command::Adopt(arguments) => rag::adopt(client, arguments, json).await?,
        Command::Receipt(ReceiptCommand::Show { id }) => rag::receipt(client, &id, json).await?,
        Command::Serve(_) | Command::Surfaces { .. } | Command::Completions { .. } | Command::Receipt(_) => {}
    }
    Ok(())
}

async fn policy(client: &Client, command: PolicyCommand, json: bool) -> Result<()> {
    match command {
        PolicyCommand::Check { .. } => {}
        PolicyCommand::Apply { file, force } => {
            let body = ("application/yaml", read(&file)?.into_bytes());
            let applied: Value =
                client.send(Method::PUT, &format!("/v1/policy?force={force}"), Some(body)).await?.json_value().await?;
            if json { println!("{applied:#}") } else { println!("policy version {} is in force", applied["version"]) }
        }
        PolicyCommand::Show => {
            let current = client.json(Method::GET, "/v1/policy", None).await?;
            if json { println!("{current:#}") } else { print!("{}", current["text"].as_str().unwrap_or_default()) }
        }
        PolicyCommand::History => {
            let rows = client.json(Method::GET, "/v1/policy/history", None).await?;
            output::table(&rows, &["version", "applied_at", "applied_by"], json);
        }
        PolicyCommand::Rollback { version, force } => {
            let applied =
                client.json(Method::POST, &format!("/v1/policy/rollback/{version}?force={force}"), None).await?;
            if json {
                println!("{applied:#}")
            } else {
                println!("policy version {} is in force: version {version} again", applied["version"])
            }
        }
    }
    Ok(())
}

async fn tenant(client: &Client, command: TenantCommand, json: bool) -> Result<()> {
    let one = |id: &str| format!("/v1/tenants/{id}");
    let result = match command {
        TenantCommand::List => {
            let rows = client.json(Method::GET, "/v1/tenants", None).await?;
            output::table(&rows, &["id", "status", "created_at", "tokens_not_before"], json);
            return Ok(());
        }
        TenantCommand::Add { id } => client.json(Method::POST, "/v1/tenants", Some(json!({"id": id}))).await?,
        TenantCommand::Suspend { id } => {
            client.json(Method::PATCH, &one(&id), Some(json!({"status": "suspended"}))).await?
        }
        TenantCommand::Activate { id } => {
            client.json(Method::PATCH, &one(&id), Some(json!({"status": "active"}))).await?
        }
        TenantCommand::RevokeTokens { id } => {
            client.json(Method::POST, &format!("{}/revoke-tokens", one(&id)), None).await?
        }
        TenantCommand::Offboard { id, watch, detach } => return rag::offboard(client, &id, watch, detach, json).await,
        TenantCommand::Remove { id } => {
            client.json(Method::DELETE, &one(&id), None).await?;
            json!({"id": id, "status": "removed"})
        }
    };
    output::object(&result, json);
    Ok(())
}

async fn fingerprint(client: &Client, command: FingerprintCommand, json: bool) -> Result<()> {
    match command {
        FingerprintCommand::Add { tenant, severity, text } => {
            let new = json!({"tenant": tenant, "text": text, "severity": severity});
            output::object(&client.json(Method::POST, "/v1/fingerprints", Some(new)).await?, json);
        }
        FingerprintCommand::Bulk { tenant, severity, file } => {
            let text = read(&file)?;
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            let items: Vec<Value> =
                lines.map(|text| json!({"tenant": tenant, "text": text, "severity": severity})).collect();
            output::object(&client.json(Method::POST, "/v1/fingerprints/bulk", Some(Value::Array(items))).await?, json);
        }
        FingerprintCommand::List { tenant } => {
            let query = tenant.map(|tenant| format!("&tenant={tenant}")).unwrap_or_default();
            let (mut rows, mut after) = (Vec::new(), 0);
            loop {
                let page = client
                    .json(Method::GET, &format!("/v1/fingerprints?limit=1000&after={after}{query}"), None)
                    .await?;
                let Some(last) = page.as_array().and_then(|page| page.last()).and_then(|row| row["id"].as_u64()) else {
                    break;
                };
                after = last;
                rows.extend(page.as_array().cloned().unwrap_or_default());
            }
            output::table(&Value::Array(rows), &["id", "owners", "severity", "text", "created_at"], json);
        }
        FingerprintCommand::Remove { id } => {
            client.json(Method::DELETE, &format!("/v1/fingerprints/{id}"), None).await?;
            println!("fingerprint {id} is gone");
        }
        FingerprintCommand::Explain { request_id } => documents::explain(client, &request_id, json).await?,
        FingerprintCommand::RotateKey => {
            output::object(&client.json(Method::POST, "/v1/phrases/rotate", None).await?, json);
        }
        FingerprintCommand::Store(command) => {
            let (method, path) = match command {
                StoreCommand::Status => (Method::GET, "/v1/fingerprint-store"),
                StoreCommand::Restore => (Method::POST, "/v1/fingerprint-store/restore"),
                StoreCommand::Accept => (Method::POST, "/v1/fingerprint-store/accept"),
            };
            output::object(&client.json(method, path, None).await?, json);
        }
    }
    Ok(())
}

async fn events(client: &Client, command: EventsCommand, json: bool) -> Result<()> {
    match command {
        EventsCommand::List { tenant, outcome, limit } => {
            let mut path = format!("/v1/events?limit={limit}");
            for (name, value) in [("tenant", tenant), ("outcome", outcome)] {
                if let Some(value) = value {
                    path += &format!("&{name}={value}");
                }
            }
            let rows = client.json(Method::GET, &path, None).await?;
            if json {
                println!("{rows:#}");
            } else {
                rows.as_array().into_iter().flatten().for_each(output::decision);
            }
        }
        EventsCommand::Tail => {
            let mut response = client.send(Method::GET, "/v1/events/stream", None).await?;
            let mut buffer = Vec::new();
            while let Some(chunk) = response.chunk().await? {
                buffer.extend_from_slice(&chunk);
                while let Some(end) = buffer.iter().position(|b| *b == b'\n') {
                    let line: Vec<u8> = buffer.drain(..=end).collect();
                    let Some(data) = line.strip_prefix(b"data: ") else { continue };
                    let Ok(event) = serde_json::from_slice::<Value>(data) else { continue };
                    if json { println!("{event}") } else { output::decision(&event) }
                }
            }
        }
    }
    Ok(())
}

async fn token(client: &Client, command: TokenCommand, json: bool) -> Result<()> {
    match command {
        TokenCommand::Create { name, role, token_file } => {
            let token = token_file.map(|file| read(&file)).transpose()?;
            let new = json!({"name": name, "role": role, "token": token.as_deref().map(str::trim)});
            let made = client.json(Method::POST, "/v1/tokens", Some(new)).await?;
            if json { println!("{made:#}") } else { println!("{}", made["token"].as_str().unwrap_or_default()) }
        }
        TokenCommand::List => {
            let rows = client.json(Method::GET, "/v1/tokens", None).await?;
            output::table(&rows, &["name", "role", "created_at"], json);
        }
        TokenCommand::Revoke { name } => {
            client.json(Method::DELETE, &format!("/v1/tokens/{name}"), None).await?;
            println!("the token {name} is revoked");
        }
    }
    Ok(())
}

/// A JSON answer's value.
trait JsonValue {
    async fn json_value(self) -> Result<Value>;
}

impl JsonValue for reqwest::Response {
    async fn json_value(self) -> Result<Value> {
        Ok(serde_json::from_str(&self.text().await?)?)
    }
}
