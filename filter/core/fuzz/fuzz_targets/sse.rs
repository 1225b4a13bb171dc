//! The scanner: media, action, hold-back and the sizes of the pieces come first, the body after them.
//!
//! For every split the result is that of the whole body; what has no match leaves byte for byte; what is blocked is a
//! beginning of the body; what was redacted has no match left; looking for disguises finds all that is there in clear.
#![no_main]

use libfuzzer_sys::fuzz_target;
use partywall_core::error::Code;
use partywall_core::json;
use partywall_core::scan::{FingerprintSet, Media, symbols};
use partywall_core::snapshot::wire::{Evasion, HoldBack, Limits, OnDetect};
use partywall_core_fuzz::{WIDE, blob, byte, load, phrase_blob, phrases, run, scanner, set, take};
use std::rc::Rc;

/// Cuts a body into pieces of these sizes, over and over; 0 stands for an empty piece.
fn cut<'b>(mut body: &'b [u8], sizes: &[u8]) -> Vec<&'b [u8]> {
    let mut pieces = Vec::new();
    let mut sizes = sizes.iter().cycle();
    while !body.is_empty() {
        let size = usize::from(*sizes.next().unwrap_or(&1));
        pieces.push(take(&mut body, size));
        if size == 0 {
            // Sizes of nothing but zeros would never end.
            pieces.push(take(&mut body, 1));
        }
    }
    pieces
}

/// Whether a body that was declared as text is read as that: what may look like events or JSON is judged as such.
fn is_text(body: &[u8]) -> bool {
    body.first().is_some_and(|b| b.is_ascii_alphanumeric() && !b"deir".contains(b))
}

thread_local! {
    static SET: Rc<FingerprintSet> = Rc::new(
        FingerprintSet::new(vec![Rc::new(load(&blob(), 1000).expect("our own segment"))], vec![])
            .with_phrases(phrases(&phrase_blob(), 1000)),
    );
    static LITERALS: Rc<FingerprintSet> = set(load(&blob(), 1000).expect("our own segment"));
}

fuzz_target!(|input: &[u8]| {
    let mut body = input;
    let mode = byte(&mut body);
    let media = [Media::Sse, Media::Ndjson, Media::Json, Media::Text][usize::from(mode & 3)];
    let action = [OnDetect::Block, OnDetect::Redact, OnDetect::Alert, OnDetect::Block][usize::from(mode >> 2 & 3)];
    let hold = if mode & 0x10 == 0 { HoldBack::Exact } else { HoldBack::WordStart };
    let empty = mode & 0x20 != 0;
    let count = usize::from(byte(&mut body) & 7);
    let sizes = take(&mut body, count);
    let pieces = || cut(body, sizes).into_iter();

    // Narrow limits depend on the split, so here only the books must balance.
    if mode & 0x40 != 0 {
        let narrow = Limits { request_bytes: 64, response_bytes: 64, event_bytes: 32 };
        SET.with(|set| run(scanner(set, media, action, hold, narrow), pieces()));
        return;
    }
    let set = if empty { Rc::new(FingerprintSet::empty()) } else { SET.with(Rc::clone) };
    let whole = run(scanner(&set, media, action, hold, WIDE), std::iter::once(body));
    let split = run(scanner(&set, media, action, hold, WIDE), pieces());
    let what = format!("{media:?} {action:?} {hold:?} {sizes:?} {:?}", String::from_utf8_lossy(body));
    assert_eq!(whole.blocked, split.blocked, "{what}");
    assert_eq!(whole.hits, split.hits, "{what}");
    // At word starts the first bytes of a match may leave, when they come alone.
    if hold == HoldBack::Exact || whole.hits.is_empty() {
        assert_eq!(String::from_utf8_lossy(&whole.out), String::from_utf8_lossy(&split.out), "{what}");
        assert_eq!(whole.out, split.out, "{what}");
    }
    // Looking for disguises finds more, and nothing less.
    if action == OnDetect::Alert && whole.hits.len() < 64 {
        let plain = scanner(&set, media, action, hold, WIDE).evasion(Evasion::Plain);
        let plain = run(plain, std::iter::once(body));
        assert!(plain.hits.iter().all(|hit| whole.hits.contains(hit)), "{:?} {:?}: {what}", plain.hits, whole.hits);
        assert_eq!(plain.blocked, whole.blocked, "{what}");
        let disguised = media == Media::Text && symbols(&String::from_utf8_lossy(body)).contains("falconharbor");
        assert!(!disguised || !whole.hits.is_empty() || empty || whole.blocked.is_some() || !is_text(body), "{what}");
    }
    if empty {
        assert!(whole.hits.is_empty() && whole.blocked != Some(Code::FingerprintMatch), "{what}");
    }
    if whole.blocked.is_none() && (whole.hits.is_empty() || action == OnDetect::Alert) {
        assert_eq!(whole.out, body, "{what}");
    }
    if whole.blocked.is_some() && action != OnDetect::Redact {
        assert!(body.starts_with(&whole.out) && body.starts_with(&split.out), "{what}");
    }
    // What is valid is not refused for its form.
    let valid = match media {
        Media::Json => json::parse(body).is_ok(),
        Media::Text => is_text(body),
        Media::Ndjson => {
            body.split(|b| matches!(b, b'\n' | b'\r')).all(|line| line.is_empty() || json::parse(line).is_ok())
        }
        Media::Sse => false,
    };
    if valid {
        assert!(matches!(whole.blocked, None | Some(Code::FingerprintMatch)), "{:?}: {what}", whole.blocked);
    }
    if action == OnDetect::Redact && whole.blocked.is_none() && !whole.hits.is_empty() {
        if media == Media::Json {
            assert!(json::parse(&whole.out).is_ok(), "{:?} is no JSON: {what}", String::from_utf8_lossy(&whole.out));
        }
        // Text that was no JSON and is JSON without its match is another document, with other texts.
        let same_kind = json::parse(&whole.out).is_ok() == json::parse(body).is_ok();
        if media == Media::Json || (media == Media::Text && same_kind) {
            // Where a literal in the middle of a word was replaced, what is left of the word is a word, maybe one of a phrase.
            let literal = whole.hits.iter().any(|(id, _)| *id < 100);
            let set = if literal { LITERALS.with(Rc::clone) } else { set };
            // In clear: to symbols without separators, "[redacted]" may be the end of what stands before it.
            let again = scanner(&set, media, OnDetect::Block, hold, WIDE).evasion(Evasion::Plain);
            let again = run(again, std::iter::once(whole.out.as_slice()));
            // Malformed it may be: "[redacted]" in text that looks like events reads like JSON that is none.
            assert_ne!(
                again.blocked,
                Some(Code::FingerprintMatch),
                "{:?} still matches: {what}",
                String::from_utf8_lossy(&whole.out)
            );
        }
    }
});
