//! The proxies that are compared: one shipped configuration, and the same with other filters in the place of ours.

use anyhow::Result;
use partywall_tests::stack::{Stack, demo_policy, envoy_template};
use partywall_tests::{mint, tokens};
use serde_json::json;
use std::time::Duration;

/// The filter of the shipped configuration, replaced by these.
fn template(llm: u16, filters: Option<&str>) -> String {
    let whole = envoy_template().replace("${LLM_PORT}", &llm.to_string());
    let Some(filters) = filters else { return whole };
    let (head, rest) = whole.split_once("                  - name: partywall\n").expect("our filter");
    let (_, tail) = rest.split_once("                  - name: envoy.filters.http.router").expect("the router");
    format!("{head}{filters}                  - name: envoy.filters.http.router{tail}")
}

/// Envoy and nothing else.
pub fn bare(llm: u16) -> Result<Stack> {
    Stack::builder("bench-bare").no_policy().template(template(llm, Some(""))).start()
}

/// Envoy's own token check, and a Lua filter that looks for ten phrases in the answer.
pub fn jwt_lua(llm: u16, phrases: &[String]) -> Result<Stack> {
    let keys = json!({"keys": [mint::public_key("RS256")]}).to_string();
    let phrases: Vec<String> = phrases.iter().take(10).map(|phrase| format!("{phrase:?}")).collect();
    let filters = format!(
        r#"                  - name: envoy.filters.http.jwt_authn
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication
                      providers:
                        idp: {{ issuer: "https://keys.test", audiences: [partywall], forward: true, local_jwks: {{ inline_string: '{keys}' }} }}
                      rules:
                        - match: {{ prefix: / }}
                          requires: {{ provider_name: idp }}
                  - name: envoy.filters.http.lua
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua
                      default_source_code:
                        inline_string: |
                          local phrases = {{ {} }}
                          function envoy_on_response(handle)
                            local body = handle:body()
                            local text = body:getBytes(0, body:length())
                            for _, phrase in ipairs(phrases) do
                              if string.find(text, phrase, 1, true) then
                                handle:respond({{[":status"] = "403"}}, "blocked")
                              end
                            end
                          end
"#,
        phrases.join(", ")
    );
    Stack::builder("bench-lua").no_policy().template(template(llm, Some(&filters))).start()
}

/// The whole product; `hold_back` as the policy says it.
pub fn full(name: &str, llm: Option<u16>, workers: usize, hold_back: &str) -> Result<Stack> {
    let policy = tokens::policy()
        .replace("cross_tenant_output_scan:\n", &format!("cross_tenant_output_scan:\n    hold_back: {hold_back}\n"));
    debug_assert!(demo_policy().contains("cross_tenant_output_scan:\n"));
    let template = llm.map_or_else(envoy_template, |llm| template(llm, None));
    Stack::builder(name).policy(&policy).workers(workers).template(template).start()
}

/// Adds literals of `beta` in one call and waits until they are enforced.
pub fn push(stack: &Stack, literals: &[String]) -> Result<()> {
    let items: Vec<_> = literals.iter().map(|text| json!({"tenant": "beta", "text": text})).collect();
    stack.api("POST", "/v1/fingerprints/bulk", Some(&json!(items)))?;
    stack.converge_within(Duration::from_secs(60))
}

/// An RS256 token of `acme`.
pub fn token() -> String {
    let mut claims = mint::claims("acme");
    claims["iss"] = json!("https://keys.test");
    claims["exp"] = json!(mint::now() + 3600);
    mint::sign("RS256", &json!({"alg": "RS256", "typ": "JWT", "kid": "key-RS256"}), &claims)
}
