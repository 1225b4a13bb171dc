//! Documents, common language, and why a response was cut.

use super::client::Client;
use super::output;
use anyhow::{Context, Result, bail};
use clap::Subcommand;
use reqwest::Method;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The most bytes that are sent in one call.
const BATCH: usize = 16 * 1024 * 1024;

#[derive(Subcommand)]
pub(super) enum DocumentCommand {
    /// Takes a document in: its phrases become fingerprints, its text is not kept.
    Add {
        /// Whose it is.
        #[arg(long)]
        tenant: String,
        /// Its name; the file's without one.
        #[arg(long)]
        name: Option<String>,
        /// The file; `-` for standard input.
        file: PathBuf,
    },
    /// Takes many in: a directory of text files, or a file with one `{"document": …, "text": …}` a line.
    Bulk {
        /// Whose they are.
        #[arg(long)]
        tenant: String,
        /// The directory or file.
        path: PathBuf,
    },
    /// Forgets a document and retracts its phrases.
    Remove {
        /// Whose it is.
        #[arg(long)]
        tenant: String,
        /// Its name.
        name: String,
    },
    /// Lists a tenant's documents: counts, no text.
    List {
        /// Whose they are.
        #[arg(long)]
        tenant: String,
    },
}

#[derive(Subcommand)]
pub(super) enum CommonCommand {
    /// Adds a text: nothing in it is a phrase of anybody.
    Add {
        /// The file; `-` for standard input.
        file: PathBuf,
    },
    /// Forgets all texts of common language.
    Clear,
}

pub(super) async fn document(client: &Client, command: DocumentCommand, json: bool) -> Result<()> {
    match command {
        DocumentCommand::Add { tenant, name, file } => {
            let stem = || file.file_name().map(|name| name.to_string_lossy().into_owned());
            let name = name.or_else(stem).filter(|name| name != "-").context("give the document a --name")?;
            let text = super::commands::read(&file)?;
            let added = send(client, &tenant, vec![(name, text)]).await?;
            output::object(&added, json);
        }
        DocumentCommand::Bulk { tenant, path } => {
            let documents = if path.is_dir() { directory(&path)? } else { lines(&super::commands::read(&path)?)? };
            output::object(&send(client, &tenant, documents).await?, json);
        }
        DocumentCommand::Remove { tenant, name } => {
            let path = format!("/v1/tenants/{tenant}/documents/{}", encode(&name));
            client.json(Method::DELETE, &path, None).await?;
            println!("document {name} is gone");
        }
        DocumentCommand::List { tenant } => {
            let (mut rows, mut after) = (Vec::new(), String::new());
            loop {
                let path = format!("/v1/tenants/{tenant}/documents?limit=1000&after={}", encode(&after));
                let page = client.json(Method::GET, &path, None).await?;
                let page = page.as_array().cloned().unwrap_or_default();
                let Some(last) = page.last().and_then(|row| row.get("document")).and_then(Value::as_str) else { break };
                after = last.to_owned();
                rows.extend(page);
            }
            output::table(&Value::Array(rows), &["document", "bytes", "words", "phrases", "created_at"], json);
        }
    }
    Ok(())
}

pub(super) async fn common(client: &Client, command: CommonCommand, json: bool) -> Result<()> {
    match command {
        CommonCommand::Add { file } => {
            let body = ("text/plain", super::commands::read(&file)?.into_bytes());
            let text = client.send(Method::POST, "/v1/common", Some(body)).await?.text().await?;
            output::object(&serde_json::from_str(&text)?, json);
        }
        CommonCommand::Clear => {
            client.json(Method::DELETE, "/v1/common", None).await?;
            println!("there is no common corpus any more");
        }
    }
    Ok(())
}

pub(super) async fn explain(client: &Client, request_id: &str, json: bool) -> Result<()> {
    let rows = client.json(Method::GET, &format!("/v1/explain?request_id={}", encode(request_id)), None).await?;
    output::table(&rows, &["fingerprint", "class", "severity", "offset", "owners", "documents"], json);
    Ok(())
}

/// Sends documents in calls of bounded size.
async fn send(client: &Client, tenant: &str, documents: Vec<(String, String)>) -> Result<Value> {
    let (mut count, mut phrases, mut shared, mut body) = (0u64, 0u64, 0u64, Vec::new());
    let mut documents = documents.into_iter().peekable();
    while let Some((name, text)) = documents.next() {
        body.extend_from_slice(json!({"document": name, "text": text}).to_string().as_bytes());
        body.push(b'\n');
        if body.len() < BATCH && documents.peek().is_some() {
            continue;
        }
        let path = format!("/v1/tenants/{tenant}/documents");
        let body = Some(("application/x-ndjson", std::mem::take(&mut body)));
        let result: Value = serde_json::from_str(&client.send(Method::POST, &path, body).await?.text().await?)?;
        let number = |name: &str| result.get(name).and_then(Value::as_u64).unwrap_or(0);
        (count, phrases) = (count + number("documents"), phrases + number("phrases"));
        shared += number("shared");
    }
    if shared > 0 {
        eprintln!(
            "{shared} of these phrases guard nothing: other tenants have written them too, or they are common language"
        );
    }
    Ok(json!({"documents": count, "phrases": phrases, "shared": shared}))
}

fn lines(text: &str) -> Result<Vec<(String, String)>> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(at, line)| {
            let value: Option<Value> = serde_json::from_str(line).ok();
            let member = |name: &str| value.as_ref()?.get(name).and_then(Value::as_str).map(str::to_owned);
            match (member("document"), member("text")) {
                (Some(document), Some(text)) => Ok((document, text)),
                _ => bail!("line {}: wanted {{\"document\": …, \"text\": …}}", at + 1),
            }
        })
        .collect()
}

/// The text files of a directory, named by their path in it.
fn directory(root: &Path) -> Result<Vec<(String, String)>> {
    let (mut all, mut open) = (Vec::new(), vec![root.to_owned()]);
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(&directory).with_context(|| format!("cannot read {}", directory.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            match std::fs::read_to_string(&path) {
                Ok(text) => all.push((name, text)),
                Err(error) => eprintln!("{}: left out: {error}", path.display()),
            }
        }
    }
    all.sort();
    Ok(all)
}

/// A name as a part of a URL.
fn encode(name: &str) -> String {
    name.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
