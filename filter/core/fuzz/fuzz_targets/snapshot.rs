//! Snapshots: answers that anyone may have written, manifests that are signed, contents, and segments.
#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_compact::{KeyPair, Seed};
use libfuzzer_sys::fuzz_target;
use partywall_core::scan::{FingerprintSet, Loader, Media};
use partywall_core::snapshot::wire::{Content, HoldBack, Manifest, OnDetect, SIGNATURE_CONTEXT, Segment};
use partywall_core::snapshot::{OpenError, PublicKey, Snapshot, open};
use partywall_core_fuzz::{WIDE, blob, byte, load, phrase_blob, phrases, run, scanner, set, take};
use std::rc::Rc;

const NONCE: &str = "n";
const RUNNING: u64 = 5;

fn pair() -> KeyPair {
    KeyPair::from_seed(Seed::new([9; 32]))
}

fn pinned() -> PublicKey {
    PublicKey::from_base64(&STANDARD.encode(*pair().pk)).expect("our own key")
}

thread_local! {
    static PAIR: (KeyPair, PublicKey) = (pair(), pinned());
    static BLOB: Vec<u8> = blob();
    static PHRASES: Vec<u8> = phrase_blob();
}

/// Compiles what can be decoded, and asks it the way.
fn content(content: &Content) {
    let Ok(snapshot) = Snapshot::compile(1, content, Rc::new(FingerprintSet::empty())) else { return };
    for surface in &content.surfaces {
        let host = surface.hosts.first().map_or("any", String::as_str);
        let base = surface.prefix.trim_end_matches('/');
        for (method, path) in
            [("POST", "/v1/chat/completions"), ("GET", "/v1/models?x=1"), ("GET", "/api/v2/heartbeat")]
        {
            let _ = snapshot.surfaces.classify(host, method, &format!("{base}{path}"));
        }
    }
    for tenant in &content.tenants {
        let _ = snapshot.tenants.admit(&tenant.id, Some(tenant.tokens_not_before));
    }
}

/// A manifest that is signed as it stands.
fn signed(raw: &str) {
    PAIR.with(|(pair, pinned)| {
        let signature = pair.sk.sign([SIGNATURE_CONTEXT, raw.as_bytes()].concat(), None);
        let envelope = format!("{{\"signature\":\"{}\",\"manifest\":{raw}}}", STANDARD.encode(*signature));
        match open(envelope.as_bytes(), std::slice::from_ref(pinned), NONCE, RUNNING) {
            Ok(manifest) => {
                assert_eq!(manifest.nonce, NONCE);
                assert!(manifest.revision >= RUNNING);
                manifest.content.iter().for_each(content);
            }
            Err(OpenError::Signature) => {
                // Only white space around the document may be lost.
                assert_ne!(raw.trim(), raw, "our own signature is not believed");
            }
            Err(_) => {}
        }
        if let Ok(manifest) = serde_json::from_str::<Manifest>(raw) {
            manifest.content.iter().for_each(content);
        }
    });
}

/// Bytes as a segment; what is taken is searched without harm.
fn segment(bytes: &[u8], piece: usize, text: &[u8]) {
    let at_once = load(bytes, bytes.len());
    let in_pieces = load(bytes, piece);
    assert_eq!(at_once.is_ok(), in_pieces.is_ok(), "the pieces decide");
    let Ok(segment) = in_pieces else { return };
    let (_, _) = (segment.entries(), segment.memory_bytes());
    let set = set(segment);
    for media in [Media::Text, Media::Sse] {
        let body: &[u8] = if text.is_empty() { b"the falcon harbor, 77; canary-0451 abcd7e den aab aab" } else { text };
        run(scanner(&set, media, OnDetect::Redact, HoldBack::Exact, WIDE), std::iter::once(body));
        run(scanner(&set, media, OnDetect::Alert, HoldBack::WordStart, WIDE), body.chunks(3));
    }
}

/// Our own segment of phrases with a few bytes changed, and cut or not: what is taken is searched without harm.
fn patched_phrases(mut input: &[u8]) {
    let piece = usize::from(byte(&mut input)) * 7;
    let mut bytes = PHRASES.with(Vec::clone);
    let patches = byte(&mut input);
    if patches & 16 != 0 {
        bytes.truncate(usize::from(byte(&mut input)) << 8 | usize::from(byte(&mut input)));
    }
    for _ in 0..patches & 15 {
        let at = usize::from(byte(&mut input)) << 8 | usize::from(byte(&mut input));
        let at = at % bytes.len().max(1);
        if let Some(slot) = bytes.get_mut(at) {
            *slot = byte(&mut input);
        }
    }
    let whole = phrases(&bytes, bytes.len());
    assert_eq!(whole.is_some(), phrases(&bytes, piece).is_some(), "the pieces decide");
    let Some(loaded) = whole else { return };
    let set = Rc::new(FingerprintSet::empty().with_phrases(Some(loaded)));
    let body: &[u8] = if input.is_empty() { b"kx wq zv jy bn fm kx dg hp kx wq zv jy bn fm lr tc sx" } else { input };
    run(scanner(&set, Media::Text, OnDetect::Redact, HoldBack::Exact, WIDE), std::iter::once(body));
    run(scanner(&set, Media::Sse, OnDetect::Alert, HoldBack::Exact, WIDE), body.chunks(3));
}

/// Our own segment with a few bytes changed: `position u16, value u8` each.
fn patched(mut input: &[u8]) {
    let piece = usize::from(byte(&mut input)) * 7;
    let mut bytes = BLOB.with(Vec::clone);
    for _ in 0..byte(&mut input) & 15 {
        let at = usize::from(byte(&mut input)) << 8 | usize::from(byte(&mut input));
        let at = at % bytes.len();
        bytes[at] = byte(&mut input);
    }
    segment(&bytes, piece, input);
}

fuzz_target!(|input: &[u8]| {
    let mut rest = input;
    match byte(&mut rest) & 7 {
        0 => {
            let opened = PAIR.with(|(_, pinned)| open(rest, std::slice::from_ref(pinned), NONCE, RUNNING));
            assert!(opened.is_err(), "an unsigned answer is believed");
            if let Ok(text) = std::str::from_utf8(rest) {
                let _ = PublicKey::from_base64(text);
            }
        }
        1 | 2 => {
            if let Ok(raw) = std::str::from_utf8(rest)
                && serde_json::from_str::<serde_json::Value>(raw).is_ok()
            {
                signed(raw);
            }
        }
        3 => {
            if let Ok(decoded) = serde_json::from_slice::<Content>(rest) {
                content(&decoded);
            }
        }
        4 => {
            let piece = usize::from(byte(&mut rest));
            segment(rest, piece, b"");
        }
        5 => {
            // Announced wrongly.
            let announced = u64::from(byte(&mut rest));
            let digest = String::from_utf8_lossy(take(&mut rest, 8)).into_owned();
            if let Ok(mut loader) = Loader::new(&Segment { digest, bytes: announced, entries: 0 })
                && loader.push(rest).is_ok()
            {
                assert!(loader.finish().is_err(), "a wrong digest is believed");
            }
        }
        6 => patched_phrases(rest),
        _ => patched(rest),
    }
});
