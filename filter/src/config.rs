//! The plugin's configuration: where the control plane is and whose signature counts. Everything else is policy and
//! comes in a snapshot.

use partywall_core::snapshot::PublicKey;
use serde::Deserialize;

/// The JSON in the Envoy configuration, checked.
pub struct Config {
    /// Envoy's name of the control plane's cluster.
    pub cluster: String,
    /// The `:authority` of calls to it.
    pub authority: String,
    /// The bearer token of role `sidecar`.
    pub token: String,
    /// Keys of which one must have signed a snapshot.
    pub public_keys: Vec<PublicKey>,
    /// A name for this proxy; Envoy's node id when empty.
    pub node: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    control_plane: ControlPlane,
    #[serde(default)]
    node: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ControlPlane {
    cluster: String,
    #[serde(default)]
    authority: Option<String>,
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    token_env: Option<String>,
    public_keys: Vec<String>,
}

impl Config {
    /// Parses the configuration.
    ///
    /// # Errors
    /// A sentence that says what to mend.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let written: Written =
            serde_json::from_slice(bytes).map_err(|error| format!("the plugin configuration is not valid: {error}"))?;
        let plane = written.control_plane;
        if plane.cluster.is_empty() {
            return Err("control_plane.cluster must name an Envoy cluster".to_owned());
        }
        let token = match (plane.token, plane.token_env) {
            (Some(token), None) => token,
            (None, Some(name)) => std::env::var(&name).map_err(|_| {
                format!(
                    "control_plane.token_env: the VM has no variable {name}; pass it by vm_config.environment_variables"
                )
            })?,
            _ => return Err("control_plane needs exactly one of token and token_env".to_owned()),
        };
        if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("control_plane.token must be printable ASCII without spaces".to_owned());
        }
        if plane.public_keys.is_empty() {
            return Err(
                "control_plane.public_keys must pin at least one key (`partywall public-key` prints it)".to_owned()
            );
        }
        let public_keys = plane
            .public_keys
            .iter()
            .map(|key| {
                PublicKey::from_base64(key)
                    .map_err(|_| format!("control_plane.public_keys: {key:?} is no Ed25519 key in base64"))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            authority: plane.authority.unwrap_or_else(|| plane.cluster.clone()),
            cluster: plane.cluster,
            token,
            public_keys,
            node: written.node,
        })
    }
}
