//! A policy file: whatever the text is, it is compiled or refused with a place and a reason.
#![no_main]

use libfuzzer_sys::fuzz_target;
use partywall::policy::{self, Policy};

/// Compiling would read these files: a fuzzer must not.
fn reads_files(policy: &Policy) -> bool {
    let secret = |issuer: &policy::IssuerPolicy| issuer.hs256.as_ref().is_some_and(|s| s.secret_file.is_some());
    policy.identity.issuers.iter().any(secret)
        || policy.surfaces.iter().any(|s| s.credential.as_ref().is_some_and(|c| c.value_file.is_some()))
}

fuzz_target!(|text: &str| {
    let policy = match policy::parse(text) {
        Ok(policy) => policy,
        Err(problems) => {
            assert!(!problems.is_empty(), "refused without a reason");
            // A parser may count the end of the text as one more line.
            let lines = text.split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']).count() + 1;
            for problem in &problems {
                assert!(problem.line >= 1 && problem.line <= lines, "{problem}: the text has {lines} lines");
                assert!(problem.column >= 1, "{problem}");
                assert!(!problem.message.is_empty());
            }
            assert!(
                problems.is_sorted_by_key(|problem| (problem.line, problem.column)),
                "not in the order of the text"
            );
            return;
        }
    };
    if reads_files(&policy) {
        return;
    }
    match policy::compile(&policy) {
        Ok(compiled) => {
            // What was accepted can be published.
            let content = compiled.content(
                &|_| Vec::new(),
                Vec::new(),
                "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".to_owned(),
            );
            assert!(!content.surfaces.is_empty() && !content.identity.issuers.is_empty());
        }
        Err(error) => assert!(!error.0.is_empty(), "refused without a reason"),
    }
});
