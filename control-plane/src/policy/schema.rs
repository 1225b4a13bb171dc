//! The one table of all keys: it drives checking, the "not yet available" refusals and `docs/config-reference.md`.

/// What a key's value is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// A mapping whose keys have rows of their own.
    Map,
    /// A list of mappings whose keys have rows `path[].key`.
    Maps,
    /// Text.
    Text,
    /// A list of texts.
    Texts,
    /// One of these; with a reason, one that does not exist yet.
    Choice(&'static [(&'static str, Option<&'static str>)]),
    /// `true` or `false`; `Some` when only that one is served.
    Bool(Option<bool>),
    /// Bytes: `512KiB`, `1MiB`, or a number.
    Size,
    /// A whole number.
    Count,
    /// Time: `30s`, `5m`, `1h`, or seconds.
    Duration,
    /// A JSON-like tree that is passed on.
    Tree,
    /// A key whose behaviour does not exist yet.
    Later(&'static str),
}

/// One key.
pub(super) struct Row {
    pub(super) path: &'static str,
    pub(super) kind: Kind,
    pub(super) required: bool,
    pub(super) default: &'static str,
    pub(super) doc: &'static str,
}

const fn key(path: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Row {
    Row { path, kind, required: false, default, doc }
}

const fn must(path: &'static str, kind: Kind, doc: &'static str) -> Row {
    Row { path, kind, required: true, default: "", doc }
}

const fn later(path: &'static str, what: &'static str) -> Row {
    Row { path, kind: Kind::Later(what), required: false, default: "", doc: what }
}

const SEALS: Option<&str> = Some("roll-out modes");
const ACTIONS: Kind =
    Kind::Choice(&[("block_and_alert_security", None), ("redact_and_alert_security", None), ("alert_security", None)]);
const ECHO: Kind = Kind::Choice(&[
    ("block_and_alert_security", None),
    ("redact_and_alert_security", None),
    ("alert_security", None),
    ("allow", None),
]);
const STRATEGIES: Kind = Kind::Choice(&[("namespace", None), ("separate_collection", None), ("separate_db", None)]);

pub(super) const ROWS: &[Row] = &[
    must("multi_tenant", Kind::Map, "Who a request belongs to."),
    must(
        "multi_tenant.isolation_model",
        Kind::Choice(&[("strict", None), ("permissive", SEALS), ("none", SEALS)]),
        "`strict`: whatever cannot be enforced is refused.",
    ),
    must(
        "multi_tenant.tenant_id_source",
        Kind::Choice(&[("jwt_claim", None)]),
        "Where the tenant comes from: a verified JWT.",
    ),
    must("multi_tenant.tenant_id_claim", Kind::Text, "The claim: a name (`org_id`) or a JSON pointer (`/realm/org`)."),
    later("multi_tenant.conversation_isolation", "conversation keys, cross-tenant references and system prompts"),
    key("multi_tenant.session_validation", Kind::Map, "", "How sessions are validated."),
    key(
        "multi_tenant.session_validation.verify_tenant_on_every_request",
        Kind::Bool(Some(true)),
        "true",
        "Signature, claims and the tenant's standing are evaluated on every request. It cannot be turned off.",
    ),
    later("multi_tenant.session_validation.session_token_binding", "session tokens"),
    later("multi_tenant.on_isolation_breach", "the emergency stop"),
    key("rag", Kind::Map, "", "How retrieval is partitioned. Required where a surface is a vector database."),
    must(
        "rag.isolation_strategy",
        STRATEGIES,
        "`namespace`: one collection for all; `separate_collection`: one for each tenant; `separate_db`: a database or backend for each. In all of them records are marked, queries forced into the tenant's namespace and results verified. A surface, and a tenant in it, may have another.",
    ),
    must("rag.namespace_config", Kind::Map, "The namespace."),
    must("rag.namespace_config.namespace_key", Kind::Text, "The metadata key that carries the namespace."),
    must("rag.namespace_config.namespace_format", Kind::Text, "The namespace, with `{tenant_id}` in it once."),
    key(
        "rag.namespace_config.enforce_at",
        Kind::Choice(&[("vector_db_client", None)]),
        "vector_db_client",
        "Enforced at the last hop before the database, not in the application.",
    ),
    key("rag.retrieval_validation", Kind::Map, "", "What happens to results."),
    key(
        "rag.retrieval_validation.verify_namespace_before_return",
        Kind::Bool(Some(true)),
        "true",
        "Every returned result is checked. It cannot be turned off.",
    ),
    key(
        "rag.retrieval_validation.on_namespace_mismatch",
        Kind::Choice(&[("drop_and_alert", None)]),
        "drop_and_alert",
        "A foreign or unmarked result is dropped, the rest is returned, an alert leaves.",
    ),
    key("rag.tenant_offboarding", Kind::Map, "", "What happens to the records of a tenant that leaves."),
    key(
        "rag.tenant_offboarding.delete_namespace",
        Kind::Bool(Some(true)),
        "true",
        "`partywall tenant offboard` deletes the tenant's namespace in every vector database. It cannot be turned off.",
    ),
    key(
        "rag.tenant_offboarding.verification_scan",
        Kind::Bool(Some(true)),
        "true",
        "Then it searches until nothing remains, and says so in a signed receipt. It cannot be turned off.",
    ),
    later("encryption", "keys per tenant"),
    key("leakage_detection", Kind::Map, "", "What happens to responses."),
    key(
        "leakage_detection.enabled",
        Kind::Bool(None),
        "true",
        "Whether responses are scanned for other tenants' fingerprints.",
    ),
    key("leakage_detection.cross_tenant_output_scan", Kind::Map, "", "The scan."),
    key(
        "leakage_detection.cross_tenant_output_scan.fingerprint_check",
        Kind::Bool(None),
        "true",
        "Whether every byte of text passes the automaton of all other tenants' fingerprints.",
    ),
    key(
        "leakage_detection.cross_tenant_output_scan.fingerprint_store",
        Kind::Choice(&[("embedded", None), ("redis", None)]),
        "embedded",
        "Where the control plane keeps the sets: in its own file, or in the Redis of `partywall serve --redis`, which replicas share.",
    ),
    key(
        "leakage_detection.cross_tenant_output_scan.action_on_detect",
        ACTIONS,
        "block_and_alert_security",
        "Withhold the rest of the response, replace the span, or only alert.",
    ),
    key(
        "leakage_detection.cross_tenant_output_scan.hold_back",
        Kind::Choice(&[("exact", None), ("word_start", None)]),
        "exact",
        "`exact`: not one byte of a match leaves. `word_start`: of a match glued to the end of a word up to three characters may leave before the rest is withheld; single tokens then seldom wait for the next.",
    ),
    key(
        "leakage_detection.actions",
        Kind::Maps,
        "",
        "What matches do where it is not the same for all: of these rules the first that fits a match decides; without one `phrases.action` and `action_on_detect` do. Of matches that overlap the severest action holds.",
    ),
    must(
        "leakage_detection.actions[].do",
        ACTIONS,
        "Withhold the rest of the response, replace the span, or only alert.",
    ),
    key(
        "leakage_detection.actions[].when",
        Kind::Map,
        "",
        "Which matches; what is left out, or the whole block, stands for all.",
    ),
    key("leakage_detection.actions[].when.class", Kind::Texts, "", "Of these classes: `literal`, `phrase`."),
    key(
        "leakage_detection.actions[].when.severity",
        Kind::Texts,
        "",
        "Of these severities: `low`, `high`, `critical`. Canaries are literals of severity `critical`.",
    ),
    key("leakage_detection.actions[].when.surface", Kind::Texts, "", "In responses of these surfaces."),
    key("leakage_detection.actions[].when.tenant", Kind::Texts, "", "In responses to these tenants, known yet or not."),
    key("leakage_detection.phrases", Kind::Map, "", "Phrases of the tenants' documents (`partywall document add`)."),
    key("leakage_detection.phrases.enabled", Kind::Bool(None), "true", "Whether responses are scanned for them."),
    key(
        "leakage_detection.phrases.severity",
        Kind::Choice(&[("low", None), ("high", None), ("critical", None)]),
        "high",
        "How grave a match is.",
    ),
    key(
        "leakage_detection.phrases.action",
        ACTIONS,
        "",
        "What a match does, where it is not what `action_on_detect` says.",
    ),
    key(
        "leakage_detection.phrases.from_rag_writes",
        Kind::Bool(None),
        "false",
        "Whether what tenants write into Chroma (`documents`) and Qdrant (texts of payloads) becomes documents of theirs; of the other databases nothing is read yet. See `docs/operations.md`.",
    ),
    key(
        "leakage_detection.phrases.echo",
        ECHO,
        "block_and_alert_security",
        "What a phrase does at most in a model's response to a request that held it whole. The default excuses nothing. Anything else also excuses what an application put into the prompt: see `docs/threat-model.md`.",
    ),
    key(
        "leakage_detection.cross_tenant_output_scan.evasion",
        Kind::Choice(&[("strict", None), ("plain", None)]),
        "strict",
        "`strict`: what is encoded is found, too (base64, base32, hex, percent-encoding, character references), and literals in disguise (rot13, reversed, spaced out, leetspeak, look-alikes, markup between letters). `plain`: only in clear.",
    ),
    key(
        "leakage_detection.cross_tenant_output_scan.echo",
        ECHO,
        "block_and_alert_security",
        "As `phrases.echo`, for literals; canaries, which are of severity `critical`, are never excused.",
    ),
    later("leakage_detection.context_validation", "context validation"),
    key("leakage_detection.statistical_monitoring", Kind::Map, "", "Whose results retrieval brings."),
    key(
        "leakage_detection.statistical_monitoring.track_namespace_distribution",
        Kind::Bool(None),
        "true",
        "Whether the namespaces of retrieved results are counted, per surface and tenant.",
    ),
    key(
        "leakage_detection.statistical_monitoring.alert_threshold",
        Kind::Count,
        "0",
        "More foreign results than this within an hour, for one surface and tenant, are an alert; `0`: even one.",
    ),
    key(
        "leakage_detection.statistical_monitoring.drift_baseline_hours",
        Kind::Count,
        "168",
        "An hour in which more of the results were foreign than in so many hours before it is an alert, when chance does not explain it (docs/operations.md has the test); `0`: none.",
    ),
    key(
        "leakage_detection.statistical_monitoring.drift_minimum_results",
        Kind::Count,
        "100",
        "With fewer results than this in the hour, or in the hours before, nothing is said about drift.",
    ),
    key(
        "leakage_detection.statistical_monitoring.drift_sigmas",
        Kind::Count,
        "4",
        "How many standard deviations the share of foreign results must be above that of the hours before.",
    ),
    key(
        "leakage_detection.isolation_audit",
        Kind::Map,
        "",
        "Canaries of each tenant, written through the real path and looked for from every other tenant.",
    ),
    key(
        "leakage_detection.isolation_audit.schedule",
        Kind::Text,
        "0 2 * * 0",
        "When, as a cron pattern in the control plane's local time; `partywall audit run` at any time.",
    ),
    key(
        "leakage_detection.isolation_audit.test",
        Kind::Choice(&[("inject_canary_documents_per_tenant", None)]),
        "inject_canary_documents_per_tenant",
        "What is tried.",
    ),
    key(
        "leakage_detection.isolation_audit.on_canary_detected_cross_tenant",
        Kind::Choice(&[("critical_alert", None)]),
        "critical_alert",
        "A canary that another tenant sees is a critical alert.",
    ),
    must(
        "leakage_detection.isolation_audit.edge",
        Kind::Text,
        "The proxy's address as the control plane reaches it, e.g. `http://envoy:10000`: the audit goes where tenants go.",
    ),
    must("identity", Kind::Map, "Whose tokens count."),
    key(
        "identity.header",
        Kind::Text,
        "",
        "A further header that may carry the token, beside `authorization` and `x-api-key`.",
    ),
    key("identity.leeway", Kind::Duration, "30s", "Tolerance for `exp`, `nbf` and `iat`; at most 10 minutes."),
    must("identity.issuers", Kind::Maps, "Who may issue tokens."),
    must("identity.issuers[].issuer", Kind::Text, "Must equal the `iss` claim."),
    must("identity.issuers[].audiences", Kind::Texts, "One of these must be in `aud`."),
    must("identity.issuers[].algorithms", Kind::Texts, "Of RS256, PS256, ES256, EdDSA; HS256 only with `hs256`."),
    key(
        "identity.issuers[].jwks",
        Kind::Tree,
        "",
        "The keys, inline. Exactly one of `jwks`, `jwks_url`, `discovery`, `hs256`.",
    ),
    key("identity.issuers[].jwks_url", Kind::Text, "", "Where the keys are fetched, and refreshed every five minutes."),
    key(
        "identity.issuers[].discovery",
        Kind::Bool(Some(true)),
        "",
        "Find the keys by the issuer's `/.well-known/openid-configuration`.",
    ),
    key("identity.issuers[].hs256", Kind::Map, "", "A shared secret, at least 32 bytes, for HS256."),
    key(
        "identity.issuers[].hs256.secret",
        Kind::Text,
        "",
        "The secret itself. Exactly one of `secret`, `secret_env`, `secret_file`.",
    ),
    key(
        "identity.issuers[].hs256.secret_env",
        Kind::Text,
        "",
        "The control plane's environment variable that holds it.",
    ),
    key("identity.issuers[].hs256.secret_file", Kind::Text, "", "The control plane's file that holds it."),
    must("surfaces", Kind::Maps, "What is served; the first match wins, anything else is refused."),
    must("surfaces[].name", Kind::Text, "Its name in metrics and records."),
    must(
        "surfaces[].kind",
        Kind::Choice(&[
            ("openai", None),
            ("chroma", None),
            ("qdrant", None),
            ("pinecone", None),
            ("weaviate", None),
            ("milvus", None),
            ("elasticsearch", None),
            ("opensearch", None),
            ("postgrest", None),
        ]),
        "What is spoken there; see `docs/surfaces.md`.",
    ),
    must("surfaces[].hosts", Kind::Texts, "Hosts that it answers to, lower case, without port; `\"*\"` for any."),
    key("surfaces[].prefix", Kind::Text, "/", "The path prefix below which the endpoints lie."),
    key("surfaces[].credential", Kind::Map, "", "What the upstream gets in place of the tenant's token."),
    must(
        "surfaces[].credential.mode",
        Kind::Choice(&[("strip", None), ("forward", None), ("replace", None)]),
        "Nothing, the token itself, or the operator's own credential. Without the block: `strip`.",
    ),
    key("surfaces[].credential.header", Kind::Text, "authorization", "`replace`: the header."),
    key(
        "surfaces[].credential.value",
        Kind::Text,
        "",
        "`replace`: its value. Exactly one of `value`, `value_env`, `value_file`.",
    ),
    key(
        "surfaces[].credential.value_env",
        Kind::Text,
        "",
        "`replace`: the control plane's environment variable that holds it.",
    ),
    key("surfaces[].credential.value_file", Kind::Text, "", "`replace`: the control plane's file that holds it."),
    key("surfaces[].limits", Kind::Map, "", "Limits; each at most 64 MiB, and below Envoy's buffer limit."),
    key("surfaces[].limits.request_bytes", Kind::Size, "1MiB", "The largest request body."),
    key("surfaces[].limits.response_bytes", Kind::Size, "8MiB", "The largest response that must be read whole."),
    key(
        "surfaces[].limits.event_bytes",
        Kind::Size,
        "256KiB",
        "The largest event of a stream, and the most that is held back of one.",
    ),
    key("surfaces[].rag", Kind::Map, "", "Vector databases: where the tenants' records are. Required for them."),
    must("surfaces[].rag.collections", Kind::Texts, "Collections (indexes, classes, tables) that clients may name."),
    key("surfaces[].rag.create", Kind::Bool(None), "false", "Whether clients may create those collections."),
    key("surfaces[].rag.isolation_strategy", STRATEGIES, "", "As `rag.isolation_strategy`, which holds without it."),
    key(
        "surfaces[].rag.collection_format",
        Kind::Text,
        "{tenant_id}.{collection}",
        "`separate_collection`: the database's name for a tenant's own collection.",
    ),
    key(
        "surfaces[].rag.database",
        Kind::Text,
        "",
        "The shared database: Chroma's (`default_database`), Milvus' (`default`), PostgREST's schema (`public`).",
    ),
    key(
        "surfaces[].rag.database_format",
        Kind::Text,
        "",
        "`separate_db`: a tenant's own database or schema in the same backend, with `{tenant_id}`.",
    ),
    key("surfaces[].rag.chroma_tenant", Kind::Text, "default_tenant", "Chroma's own tenant in paths."),
    key("surfaces[].rag.id_field", Kind::Text, "id", "Milvus, PostgREST: the primary key's field."),
    key(
        "surfaces[].rag.cluster",
        Kind::Text,
        "",
        "Envoy's cluster of the backend: sent to the route as `x-partywall-cluster` (`cluster_header`), and asked directly where a request without body needs one (Chroma's `count`).",
    ),
    key(
        "surfaces[].rag.cluster_format",
        Kind::Text,
        "",
        "`separate_db`: Envoy's cluster of a tenant's own backend, with `{tenant_id}`.",
    ),
    key(
        "surfaces[].rag.backend",
        Kind::Map,
        "",
        "How the control plane itself reaches the database: for offboarding, `adopt` and changes of strategy.",
    ),
    must(
        "surfaces[].rag.backend.url",
        Kind::Text,
        "Its address, e.g. `http://chroma:8000`; `{tenant_id}` in it stands for the tenant.",
    ),
    key(
        "surfaces[].rag.backend.header",
        Kind::Text,
        "authorization",
        "The header of the control plane's own credential.",
    ),
    key(
        "surfaces[].rag.backend.value",
        Kind::Text,
        "",
        "Its value. At most one of `value`, `value_env`, `value_file`.",
    ),
    key("surfaces[].rag.backend.value_env", Kind::Text, "", "The environment variable that holds it."),
    key("surfaces[].rag.backend.value_file", Kind::Text, "", "The file that holds it."),
    key("surfaces[].rag.tenants", Kind::Maps, "", "Tenants for whom another strategy holds."),
    must("surfaces[].rag.tenants[].id", Kind::Text, "Who."),
    must("surfaces[].rag.tenants[].isolation_strategy", STRATEGIES, "How."),
    key("surfaces[].rag.tenants[].cluster", Kind::Text, "", "Envoy's cluster, where it is not the strategy's."),
    key(
        "surfaces[].rag.tenants[].backend_url",
        Kind::Text,
        "",
        "The database's address, where it is not `backend.url`.",
    ),
    key(
        "tenants",
        Kind::Maps,
        "",
        "Tenants to onboard when the policy is applied. Leaving one out does not remove it.",
    ),
    must("tenants[].id", Kind::Text, "The tenant's identifier."),
    key("snapshot", Kind::Map, "", "What the filters are told."),
    key(
        "snapshot.max_age",
        Kind::Duration,
        "5m",
        "How long a filter may serve without hearing from the control plane; from 30s to 7 days.",
    ),
    key("alerts", Kind::Map, "", "Who is told of alerts. See the section Alerts of `docs/operations.md`."),
    key("alerts.alertmanager", Kind::Maps, "", "Prometheus Alertmanagers, by API v2. List every one of a cluster."),
    key(
        "alerts.alertmanager[].name",
        Kind::Text,
        "",
        "Its name in metrics and in what waits for it; without it `alertmanager:HOST:PORT`.",
    ),
    must("alerts.alertmanager[].url", Kind::Text, "Its address, e.g. `http://alertmanager:9093`."),
    key("alerts.alertmanager[].header", Kind::Text, "authorization", "The header of a credential."),
    key("alerts.alertmanager[].value", Kind::Text, "", "Its value. At most one of `value`, `value_env`, `value_file`."),
    key("alerts.alertmanager[].value_env", Kind::Text, "", "The environment variable that holds it."),
    key("alerts.alertmanager[].value_file", Kind::Text, "", "The file that holds it."),
    key("alerts.webhooks", Kind::Maps, "", "Addresses that get signed JSON."),
    key(
        "alerts.webhooks[].name",
        Kind::Text,
        "",
        "Its name in metrics and in what waits for it; without it `webhook:HOST:PORT`.",
    ),
    must("alerts.webhooks[].url", Kind::Text, "Its address."),
    key(
        "alerts.webhooks[].secret",
        Kind::Text,
        "",
        "The secret that signs, at least 16 bytes. Exactly one of `secret`, `secret_env`, `secret_file`.",
    ),
    key("alerts.webhooks[].secret_env", Kind::Text, "", "The control plane's environment variable that holds it."),
    key("alerts.webhooks[].secret_file", Kind::Text, "", "The control plane's file that holds it."),
    key(
        "alerts.webhooks[].kinds",
        Kind::Texts,
        "",
        "Only these kinds: `canary_crossed`, `documents_lost`, `fingerprint_match`, `namespace_drift`, `namespace_mismatch`, `namespace_threshold`, `parity_gap`, `phrases_shared`; without it all.",
    ),
    key("alerts.log", Kind::Bool(None), "true", "Whether the control plane's log is told too, at level WARN."),
    key(
        "alerts.dedupe",
        Kind::Duration,
        "5m",
        "For how long equal alerts are folded: the first leaves at once, the rest as one summary at the end; from 1s to 24h.",
    ),
    key(
        "alerts.rate_limit",
        Kind::Count,
        "60",
        "Messages a minute, for each kind; more leave together at the end of the minute. The first of a kind, severity, tenant and surface always leaves at once.",
    ),
    key(
        "alerts.external_url",
        Kind::Text,
        "",
        "How people reach this control plane, for links in alerts; without it the address that it listens on.",
    ),
];

/// The reference as a Markdown document.
pub fn reference_markdown() -> String {
    let mut text = String::from(
        "# Policy reference\n\nGenerated from `control-plane/src/policy/schema.rs` (`PARTYWALL_BLESS=1 cargo test -p partywall --test generated`). \
         A key that is not here is refused, with the nearest known one. **required** means: within its block.\n\n\
         | key | value | default | |\n|---|---|---|---|\n",
    );
    for row in ROWS {
        let value = match row.kind {
            Kind::Map => "block".to_owned(),
            Kind::Maps => "list of blocks".to_owned(),
            Kind::Text => "text".to_owned(),
            Kind::Texts => "list of texts".to_owned(),
            Kind::Bool(None) => "`true`, `false`".to_owned(),
            Kind::Bool(Some(only)) => format!("`{only}`"),
            Kind::Size => "size (`512KiB`)".to_owned(),
            Kind::Count => "number".to_owned(),
            Kind::Duration => "duration (`30s`)".to_owned(),
            Kind::Tree => "tree".to_owned(),
            Kind::Later(_) => "*not yet available*".to_owned(),
            Kind::Choice(choices) => {
                let one = |(name, later): &(&str, Option<&str>)| {
                    if later.is_some() { format!("`{name}` (not yet)") } else { format!("`{name}`") }
                };
                choices.iter().map(one).collect::<Vec<_>>().join(", ")
            }
        };
        let default = match (row.required, row.default) {
            (true, _) => "**required**".to_owned(),
            (false, "") => "–".to_owned(),
            (false, default) => format!("`{default}`"),
        };
        text += &format!("| `{}` | {value} | {default} | {} |\n", row.path, row.doc);
    }
    text
}
