//! Every shipped configuration is valid: for Envoy, for Istio's CRD, and inside Istio's patch for Envoy again.

use partywall_tests::process::root;
use partywall_tests::stack::{Stack, envoy, python};
use std::path::Path;
use std::process::Command;

fn validate(config: &Path) {
    let output = Command::new(envoy())
        .args(["--mode", "validate", "-c"])
        .arg(config)
        .env("PARTYWALL_TOKEN", "pwk_x")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{}:\n{text}", config.display());
}

fn script(name: &str, arguments: &[&Path]) {
    let output = Command::new(python()).arg(root().join("tests/python").join(name)).args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{name}:\n{text}");
}

#[test]
fn envoy_takes_the_shipped_configuration() {
    let stack = Stack::builder("configs").no_envoy().start().unwrap();
    let file = stack.directory.join("envoy.yaml");
    std::fs::write(&file, stack.envoy_config()).unwrap();
    validate(&file);
    let text = std::fs::read_to_string(&file).unwrap();
    for must in [
        "failure_policy: FAIL_RELOAD",
        "allow_on_headers_stop_iteration: true",
        "normalize_path: true",
        "path_with_escaped_slashes_action: REJECT_REQUEST",
    ] {
        assert!(text.contains(must), "{must}");
    }
}

#[test]
fn istio_takes_the_envoyfilter() {
    let (filter, schema) =
        (root().join("envoy/istio/envoyfilter.yaml"), root().join("tests/data/istio/envoyfilter-crd.yaml"));
    script("istio_schema.py", &[&schema, &filter]);
    // The CRD does not look inside the patch: put it into a bootstrap and let Envoy judge.
    let stack = Stack::builder("istio").no_envoy().start().unwrap();
    let (base, patched) = (stack.directory.join("base.yaml"), stack.directory.join("patched.yaml"));
    std::fs::write(&base, stack.envoy_config()).unwrap();
    script("istio_patch.py", &[&filter, &base, &patched]);
    validate(&patched);
}
