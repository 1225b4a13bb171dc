//! The block `alerts`: who is told of alerts, and how often.

use super::Problem;
use super::compile::{CompileError, pick};
use super::yaml::{Node, Value};
use crate::state::ALERT_KINDS;
use reqwest::Url;
use reqwest::header::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The block as it is written.
#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs)] // The schema's table documents every key.
pub struct AlertsPolicy {
    #[serde(default)]
    pub alertmanager: Vec<AlertmanagerPolicy>,
    #[serde(default)]
    pub webhooks: Vec<WebhookPolicy>,
    pub log: bool,
    pub dedupe: u64,
    pub rate_limit: u64,
    pub external_url: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs)]
pub struct AlertmanagerPolicy {
    pub name: Option<String>,
    pub url: String,
    pub header: String,
    pub value: Option<String>,
    pub value_env: Option<String>,
    pub value_file: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs)]
pub struct WebhookPolicy {
    pub name: Option<String>,
    pub url: String,
    pub secret: Option<String>,
    pub secret_env: Option<String>,
    pub secret_file: Option<String>,
    #[serde(default)]
    pub kinds: Vec<String>,
}

impl Default for AlertsPolicy {
    fn default() -> Self {
        Self {
            alertmanager: Vec::new(),
            webhooks: Vec::new(),
            log: true,
            dedupe: 300,
            rate_limit: 60,
            external_url: None,
        }
    }
}

/// Who is told of alerts, and how often: compiled, secrets read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alerting {
    /// Whether the log is told.
    pub log: bool,
    /// How long equal alerts are folded.
    pub dedupe_s: u64,
    /// Messages a minute, for each kind.
    pub rate_limit: u64,
    /// How people reach this control plane, without a trailing slash.
    pub external_url: Option<String>,
    /// Who else is told.
    pub receivers: Vec<Receiver>,
}

impl Default for Alerting {
    fn default() -> Self {
        Self { log: true, dedupe_s: 300, rate_limit: 60, external_url: None, receivers: Vec::new() }
    }
}

/// Who is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receiver {
    /// Its name in metrics and in the store. Holds no secret.
    pub name: String,
    /// Its address.
    pub url: String,
    /// Only these kinds; empty for all.
    pub kinds: Vec<String>,
    /// What it speaks.
    pub speaks: Speaks,
}

/// What a receiver speaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Speaks {
    /// Alertmanager's API v2, with a credential: a header and its value.
    Alertmanager(Option<(String, String)>),
    /// Our own JSON, signed with this secret.
    Webhook(String),
}

impl Receiver {
    /// Whether it is told of a kind.
    pub fn wants(&self, kind: &str) -> bool {
        self.kinds.is_empty() || self.kinds.iter().any(|wanted| wanted == kind)
    }
}

/// Secrets shorter than this can be guessed from one signature.
const SHORTEST_SECRET: usize = 16;

/// A name without a secret: an address's path and query may hold one.
fn default_name(kind: &str, url: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    Some(format!("{kind}:{}:{}", url.host_str()?, url.port_or_known_default()?))
}

/// Compiles the block.
pub(super) fn compile(policy: &AlertsPolicy) -> Result<Alerting, CompileError> {
    let mut receivers = Vec::new();
    for one in &policy.alertmanager {
        let bad = |why: String| CompileError(format!("alerts.alertmanager ({}): {why}", one.url));
        let name = one.name.clone().or_else(|| default_name("alertmanager", &one.url));
        let credential = match (&one.value, &one.value_env, &one.value_file) {
            (None, None, None) => None,
            (value, env, file) => Some((one.header.clone(), pick(value, env, file, "value").map_err(bad)?)),
        };
        if credential.as_ref().is_some_and(|(_, value)| HeaderValue::from_str(value).is_err()) {
            return Err(bad("the value cannot be sent in a header".to_owned()));
        }
        receivers.push(Receiver {
            name: name.ok_or_else(|| bad("the address has no host".to_owned()))?,
            url: one.url.trim_end_matches('/').to_owned(),
            kinds: Vec::new(),
            speaks: Speaks::Alertmanager(credential),
        });
    }
    for one in &policy.webhooks {
        let name = one.name.clone().or_else(|| default_name("webhook", &one.url));
        let bad = |why: &str| {
            CompileError(format!("alerts.webhooks ({}): {why}", name.as_deref().unwrap_or("an address without a host")))
        };
        let secret = pick(&one.secret, &one.secret_env, &one.secret_file, "secret").map_err(|why| bad(&why))?;
        if secret.len() < SHORTEST_SECRET {
            return Err(bad("the secret is shorter than 16 bytes"));
        }
        receivers.push(Receiver {
            name: name.clone().ok_or_else(|| bad("no host"))?,
            url: one.url.clone(),
            kinds: one.kinds.clone(),
            speaks: Speaks::Webhook(secret),
        });
    }
    let external_url = policy.external_url.as_ref().map(|url| url.trim_end_matches('/').to_owned());
    Ok(Alerting { log: policy.log, dedupe_s: policy.dedupe, rate_limit: policy.rate_limit, external_url, receivers })
}

/// What the table of keys cannot say about the block, with the place of each problem.
pub(super) fn check(tree: &Node, problems: &mut Vec<Problem>) {
    let Some((key, block)) = entry(tree, "alerts") else { return };
    let number = |name: &str| entry(block, name).and_then(|(_, node)| Some((node, text(node)?)));
    if let Some((node, text)) = number("dedupe")
        && super::check::duration(text).is_some_and(|s| !(1..=86_400).contains(&s))
    {
        problems.push(node.problem("alerts.dedupe", "`alerts.dedupe` must be from 1s to 24h"));
    }
    if let Some((node, text)) = number("rate_limit")
        && text.parse::<u64>().is_ok_and(|n| !(1..=10_000).contains(&n))
    {
        problems.push(node.problem("alerts.rate_limit", "`alerts.rate_limit` must be from 1 to 10000 a minute"));
    }
    if let Some((_, node)) = entry(block, "external_url") {
        address(node, "alerts.external_url", problems);
    }
    let mut names = BTreeSet::new();
    let mut receivers = 0;
    for (list, kind) in [("alertmanager", "alertmanager"), ("webhooks", "webhook")] {
        let Some((_, Node { value: Value::List(items), .. })) = entry(block, list) else { continue };
        for item in items {
            receivers += 1;
            let path = format!("alerts.{list}[]");
            receiver(item, &path, list == "webhooks", problems);
            let of = |name: &str| entry(item, name).and_then(|(_, node)| text(node)).map(str::to_owned);
            let name = of("name").or_else(|| default_name(kind, &of("url")?));
            if let Some(name) = name.filter(|name| !names.insert(name.clone())) {
                problems.push(
                    item.problem(&path, format!("two receivers are called `{name}`: give each a `name` of its own")),
                );
            }
        }
    }
    if receivers == 0 && number("log").is_some_and(|(_, text)| text == "false") {
        problems
            .push(key.problem("alerts", "`alerts` names no receiver and `log: false`: nobody would learn of an alert"));
    }
}

fn receiver(item: &Node, path: &str, webhook: bool, problems: &mut Vec<Problem>) {
    if let Some((_, node)) = entry(item, "url") {
        address(node, &format!("{path}.url"), problems);
    }
    let (what, most) = if webhook { ("secret", "exactly one") } else { ("value", "at most one") };
    let given: Vec<&Node> =
        ["", "_env", "_file"].iter().filter_map(|end| Some(entry(item, &format!("{what}{end}"))?.0)).collect();
    if given.len() > 1 || (webhook && given.is_empty()) {
        let at = given.get(1).copied().unwrap_or(item);
        problems.push(at.problem(path, format!("`{path}` needs {most} of `{what}`, `{what}_env`, `{what}_file`")));
    }
    if let Some((_, node)) = entry(item, "secret")
        && text(node).is_some_and(|secret| (1..SHORTEST_SECRET).contains(&secret.len()))
    {
        problems.push(node.problem(&format!("{path}.secret"), format!("`{path}.secret` is shorter than 16 bytes")));
    }
    if let Some((_, node)) = entry(item, "header")
        && text(node).is_some_and(|name| !name.is_empty() && HeaderName::from_bytes(name.as_bytes()).is_err())
    {
        problems.push(node.problem(&format!("{path}.header"), format!("`{path}.header` is no name of a header")));
    }
    if let Some((_, Node { value: Value::List(kinds), .. })) = entry(item, "kinds") {
        for node in kinds {
            if let Some(kind) = text(node).filter(|kind| !kind.is_empty() && !ALERT_KINDS.contains(kind)) {
                let known: Vec<String> = ALERT_KINDS.iter().map(|kind| format!("`{kind}`")).collect();
                let message = format!("unknown kind of alert `{kind}`; known: {}", known.join(", "));
                problems.push(node.problem(&format!("{path}.kinds"), message));
            }
        }
    }
}

fn address(node: &Node, path: &str, problems: &mut Vec<Problem>) {
    let Some(text) = text(node).filter(|text| !text.is_empty()) else { return };
    let fine = Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.host_str().is_some()
            && url.username().is_empty()
            && url.password().is_none()
            && url.fragment().is_none()
    });
    if !fine {
        problems.push(node.problem(
            path,
            format!("`{path}` must be an address like https://alerts.example/path, without user or password"),
        ));
    }
}

pub(super) fn entry<'n>(node: &'n Node, name: &str) -> Option<(&'n Node, &'n Node)> {
    let Value::Map(members) = &node.value else { return None };
    members.iter().find(|(_, known, _)| known == name).map(|(key, _, value)| (key, value))
}

pub(super) fn text(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Scalar(text, _) => Some(text),
        _ => None,
    }
}
