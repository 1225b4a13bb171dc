//! What must hold of phrases for every input: a copied run is caught however it is cut and dressed, nothing behind its
//! anchor leaves, and what is nobody else's leaves byte for byte.
#![allow(
    clippy::unwrap_used,
    clippy::string_slice,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::panic,
    missing_docs
)]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use partywall_core::error::{Code, Shape};
use partywall_core::phrase::{self, Loader, PhraseSet, Selector, WINDOW, WORDS, WireKey, WordKey};
use partywall_core::record::{Class, Severity};
use partywall_core::scan::{self, Actions, Entry, FingerprintSet, Media, ScanConfig, Scanner};
use partywall_core::snapshot::wire::{HoldBack, Limits, OnDetect, Phrases, Segment};
use partywall_core::tenant::TenantId;
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use std::rc::Rc;

const WORD_KEY: [u8; 16] = [7; 16];
const WIRE_KEY: [u8; 16] = [9; 16];

fn tenant(id: &str) -> TenantId {
    TenantId::parse(id).unwrap()
}

fn segment(blob: &[u8]) -> Segment {
    Segment { digest: hex::encode(Sha256::digest(blob)), bytes: blob.len() as u64, entries: 0 }
}

fn load(blob: &[u8]) -> Rc<phrase::LoadedPhrases> {
    let mut loader = Loader::new(&segment(blob)).unwrap();
    for piece in blob.chunks(1001) {
        loader.push(piece).unwrap();
    }
    Rc::new(loader.finish().unwrap())
}

/// `(document, owner)`, a segment each.
fn set(documents: &[(&str, &str)], action: Option<OnDetect>, removed: &[u64]) -> PhraseSet {
    let selector = Selector::new(WordKey::new(&WORD_KEY));
    let wire = WireKey::new(&WIRE_KEY);
    let segments = documents
        .iter()
        .map(|(text, owner)| {
            let owner = tenant(owner);
            let phrases: Vec<_> = selector.choose(text, |_| false).phrases.into_iter().map(|p| (p, &owner)).collect();
            load(&phrase::compile(&phrases, &wire).unwrap())
        })
        .collect();
    let manifest = Phrases {
        word_key: STANDARD.encode(WORD_KEY),
        wire_key: STANDARD.encode(WIRE_KEY),
        severity: Severity::High,
        action,
        from_rag_writes: false,
        segments: vec![],
        removed: removed.iter().map(|id| wire.id(*id)).collect(),
    };
    PhraseSet::new(&manifest, segments).ok().unwrap()
}

fn literals(texts: &[&str]) -> Vec<Rc<scan::LoadedSegment>> {
    if texts.is_empty() {
        return vec![];
    }
    let entry = |(id, text): (usize, &&str)| Entry {
        id: id as u64 + 1,
        text: (*text).to_owned(),
        owners: vec![tenant("beta")],
        severity: [Severity::Low, Severity::High, Severity::Critical][id % 3],
    };
    let entries: Vec<Entry> = texts.iter().enumerate().map(entry).collect();
    let blob = scan::compile(&entries).unwrap();
    let mut loader = scan::Loader::new(&segment(&blob)).unwrap();
    loader.push(&blob).unwrap();
    vec![Rc::new(loader.finish().unwrap())]
}

fn fingerprints(documents: &[(&str, &str)], action: Option<OnDetect>) -> Rc<FingerprintSet> {
    Rc::new(FingerprintSet::new(literals(&[]), vec![]).with_phrases(Some(set(documents, action, &[]))))
}

fn scanner(set: &Rc<FingerprintSet>, tenant_id: &str, media: Media, on_detect: OnDetect) -> Scanner {
    Scanner::new(ScanConfig {
        set: Rc::clone(set),
        tenant: tenant(tenant_id),
        media,
        shape: Shape::OpenAi,
        on_detect,
        hold_back: HoldBack::Exact,
        limits: Limits { request_bytes: 1 << 20, response_bytes: 1 << 20, event_bytes: 1 << 16 },
        request_id: "r".to_owned(),
    })
}

#[derive(Debug, PartialEq, Eq)]
struct Run {
    out: Vec<u8>,
    blocked: Option<Code>,
    hits: Vec<(u64, u64)>,
    did: Vec<OnDetect>,
}

fn run(mut scanner: Scanner, body: &[u8], cuts: &[usize]) -> Run {
    let mut out = Vec::new();
    let mut blocked = None;
    let mut from = 0;
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (body.len() + 1)).collect();
    cuts.sort_unstable();
    cuts.push(body.len());
    for (at, cut) in cuts.iter().enumerate() {
        let output = scanner.push(&body[from..*cut], at + 1 == cuts.len());
        out.extend(output.release);
        blocked = blocked.or(output.blocked);
        from = *cut;
        let bytes = scanner.bytes();
        assert_eq!(bytes.scanned, bytes.delivered + bytes.withheld + scanner.held() as u64);
    }
    let hits = scanner.hits().iter().map(|hit| (hit.fingerprint, hit.offset)).collect();
    let did = scanner.hits().iter().filter_map(|hit| hit.action).collect();
    Run { out, blocked, hits, did }
}

const HANDBOOK: &str = "The Falcon Harbor programme moves every quarterly reconciliation from the old ledger to a vault in \
    Rotterdam, where two custodians sign each transfer before noon. Should one of the custodians be absent, the deputy \
    opens the second envelope, reads the passphrase aloud and notes the minute in the green journal. Nobody else may know \
    which envelope was opened. After the third transfer of a day the vault stays locked until the auditors from Ghent have \
    counted the seals, compared them with the photographs of the morning, and released the next batch in writing.";

fn words(text: &str) -> Vec<&str> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect()
}

/// What may stand between two words of a copy.
fn between() -> impl Strategy<Value = &'static str> {
    prop::sample::select(
        &[" ", "  ", "\n", "\r\n\r\n", ", ", " **", "** ", "_", " — ", "\u{a0}", " \u{200b}", "... \"", "\t", "* "][..],
    )
}

fn dress(word: &str, how: u8) -> String {
    match how % 4 {
        0 => word.to_owned(),
        1 => word.to_uppercase(),
        2 => word.chars().flat_map(|c| [c, '\u{200b}']).collect(),
        _ => word
            .chars()
            .map(|c| if c.is_ascii_graphic() { char::from_u32(c as u32 + 0xfee0).unwrap() } else { c })
            .collect(),
    }
}

fn sse(text: &str, cuts: &[usize]) -> Vec<u8> {
    let mut at: Vec<usize> =
        cuts.iter().map(|cut| cut % (text.len() + 1)).filter(|cut| text.is_char_boundary(*cut)).collect();
    at.sort_unstable();
    at.push(text.len());
    let mut from = 0;
    let mut body = String::new();
    for to in at {
        let data = serde_json::json!({"choices": [{"delta": {"content": &text[from..to]}, "index": 0}]});
        body += &format!("data: {data}\n\n");
        from = to;
    }
    body += "data: [DONE]\n\n";
    body.into_bytes()
}

fn contents(stream: &[u8]) -> String {
    let text = std::str::from_utf8(stream).unwrap();
    let data = text.split("\n\n").filter_map(|event| event.strip_prefix("data: "));
    let data = data.filter_map(|data| serde_json::from_str::<serde_json::Value>(data).ok());
    data.filter_map(|data| data["choices"][0]["delta"]["content"].as_str().map(str::to_owned)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Ten words of a document, whatever stands between them, in any case, in any pieces, in any media.
    #[test]
    fn a_copied_run_is_caught(
        start in 0usize..60, gaps in prop::collection::vec(between(), 10), how in prop::collection::vec(any::<u8>(), 10),
        cuts in prop::collection::vec(any::<usize>(), 0..40), before in 0usize..3,
    ) {
        let all = words(HANDBOOK);
        let run_words = &all[start..start + WORDS + WINDOW - 1];
        let mut leak = String::new();
        for ((word, gap), how) in run_words.iter().zip(&gaps).zip(&how) {
            leak += &dress(word, *how);
            leak += gap;
        }
        let lead = ["", "Here you are: ", "Sure. falcon harbor "][before];
        let text = format!("{lead}{leak}and so on, as far as I know.");
        let prints = fingerprints(&[(HANDBOOK, "beta")], None);
        let plain = run(scanner(&prints, "acme", Media::Text, OnDetect::Block), text.as_bytes(), &cuts);
        prop_assert_eq!(plain.blocked, Some(Code::FingerprintMatch), "{:?}", text);
        // At most the words before the phrase, and its anchor.
        let left = partywall_core::scan::fold::text(std::str::from_utf8(&plain.out).unwrap());
        let limit = partywall_core::scan::fold::text(lead).split(' ').filter(|w| !w.is_empty()).count() + WINDOW;
        prop_assert!(left.split(' ').filter(|word| !word.is_empty()).count() <= limit, "{:?}", left);
        let stream = run(scanner(&prints, "acme", Media::Sse, OnDetect::Block), &sse(&text, &cuts), &[]);
        prop_assert_eq!(stream.blocked, Some(Code::FingerprintMatch));
        let left = partywall_core::scan::fold::text(&contents(&stream.out));
        prop_assert!(left.split(' ').filter(|word| !word.is_empty()).count() <= limit, "{:?}", left);
        let json = serde_json::json!({"answer": ["first", text, "last"]}).to_string();
        let whole = run(scanner(&prints, "acme", Media::Json, OnDetect::Block), json.as_bytes(), &cuts);
        prop_assert_eq!(whole.blocked, Some(Code::FingerprintMatch));
        prop_assert!(whole.out.is_empty());
        // Its owner gets everything, byte for byte.
        let own = run(scanner(&prints, "beta", Media::Text, OnDetect::Block), text.as_bytes(), &cuts);
        prop_assert_eq!(own.blocked, None);
        prop_assert_eq!(own.out, text.as_bytes());
    }

    /// The same bytes in other pieces: the same output, the same hits; with literals beside, and whatever each class and
    /// severity does. The severest action wins.
    #[test]
    fn every_split_gives_the_same(
        pieces in prop::collection::vec(0usize..14, 0..40), cuts in prop::collection::vec(any::<usize>(), 0..60),
        each in prop::collection::vec(0usize..3, 6), media in 0usize..3,
    ) {
        let vocabulary = ["falcon ", "harbor ", "falcon harbor vault seven blue journal ", "journal", " custodian sign vault blue harbor ", "\u{200b}",
            "é", "vault seven blue journal custodian sign ", "-", "\n", "x", "⑴", "blue ", "harbor vault"];
        let text: String = pieces.iter().map(|piece| vocabulary[*piece]).collect();
        let actions = [OnDetect::Block, OnDetect::Redact, OnDetect::Alert];
        let documents = [("falcon harbor vault seven blue journal custodian sign vault blue harbor falcon", "beta"),
            ("journal custodian sign vault blue harbor vault vault seven", "gamma")];
        let of = |class, severity: Severity| actions[each[severity as usize + 3 * usize::from(class == Class::Phrase)]];
        let phrases = set(&documents, None, &[]);
        let prints = Rc::new(FingerprintSet::new(literals(&["vault seven", "blue x", "journal-custo"]), vec![]).with_phrases(Some(phrases)));
        let acts = |media| scanner(&prints, "acme", media, OnDetect::Block).actions(Actions::new(of));
        let media = [Media::Text, Media::Sse, Media::Ndjson][media];
        let body = match media {
            Media::Text => text.clone().into_bytes(),
            Media::Sse => sse(&text, &cuts),
            _ => text.split_inclusive(' ').map(|part| serde_json::json!({"text": part}).to_string() + "\n").collect::<String>().into_bytes(),
        };
        let whole = run(acts(media), &body, &[]);
        let split = run(acts(media), &body, &cuts);
        prop_assert_eq!(&whole, &split, "{:?}", text);
        let bytes: Vec<usize> = (0..body.len()).collect();
        let single = run(acts(media), &body, &bytes);
        prop_assert_eq!(&whole, &single, "{:?}", text);
        let most = whole.did.iter().max().copied();
        prop_assert_eq!(whole.blocked, (most == Some(OnDetect::Block)).then_some(Code::FingerprintMatch));
        if most.is_none() || most == Some(OnDetect::Alert) {
            prop_assert_eq!(&whole.out, &body);
        }
    }

    /// A damaged blob is refused or harmless.
    #[test]
    fn damage_is_harmless(at in any::<usize>(), bit in 0u8..8, cut in any::<usize>()) {
        let selector = Selector::new(WordKey::new(&WORD_KEY));
        let owner = tenant("beta");
        let phrases: Vec<_> = selector.choose(HANDBOOK, |_| false).phrases.into_iter().map(|p| (p, &owner)).collect();
        let mut blob = phrase::compile(&phrases, &WireKey::new(&WIRE_KEY)).unwrap();
        let at = at % blob.len();
        blob[at] ^= 1 << bit;
        if cut % 4 == 0 {
            blob.truncate(cut % blob.len());
        }
        let Ok(mut loader) = Loader::new(&segment(&blob)) else { return Ok(()) };
        let Ok(()) = loader.push(&blob) else { return Ok(()) };
        let Ok(loaded) = loader.finish() else { return Ok(()) };
        let manifest = Phrases { word_key: STANDARD.encode(WORD_KEY), wire_key: STANDARD.encode(WIRE_KEY), severity: Severity::High,
            action: None, from_rag_writes: false, segments: vec![], removed: vec![] };
        let set = PhraseSet::new(&manifest, vec![Rc::new(loaded)]).ok().unwrap();
        let prints = Rc::new(FingerprintSet::empty().with_phrases(Some(set)));
        run(scanner(&prints, "acme", Media::Text, OnDetect::Block), HANDBOOK.as_bytes(), &[]);
    }
}

#[test]
fn a_paraphrase_is_no_match() {
    let prints = fingerprints(&[(HANDBOOK, "beta")], None);
    let text = "In the Falcon Harbor programme the quarterly reconciliations all go from an old ledger into the vault at Rotterdam; \
        before noon, every transfer is signed by two custodians. If a custodian is away, the deputy will open envelope two, \
        read out its passphrase and write the minute down in a green journal.";
    let result = run(scanner(&prints, "acme", Media::Text, OnDetect::Block), text.as_bytes(), &[]);
    assert_eq!((result.blocked, result.out.len()), (None, text.len()));
}

/// The span behind the anchor is replaced, the rest stays; a class may have an action of its own.
#[test]
fn redaction_takes_the_span_only() {
    let document = "kestrel walnut bridge seven pebble thimble lantern copper";
    let prints = fingerprints(&[(document, "beta")], Some(OnDetect::Redact));
    let body = b"So: Kestrel, walnut **bridge** seven pebble thimble lantern copper. And on.";
    let result = run(scanner(&prints, "acme", Media::Text, OnDetect::Block), body, &[7, 9, 30]);
    assert_eq!(std::str::from_utf8(&result.out).unwrap(), "So: Kestrel, [redacted]. And on.");
    let at_end = run(
        scanner(&prints, "acme", Media::Text, OnDetect::Block),
        b"kestrel walnut bridge seven pebble thimble lantern copper",
        &[],
    );
    assert_eq!(std::str::from_utf8(&at_end.out).unwrap(), "kestrel [redacted]");
}

/// Items of a list end words, deltas of a stream do not: both are followed.
#[test]
fn items_and_deltas() {
    let document = "kestrel walnut bridge seven pebble thimble lantern copper";
    let prints = fingerprints(&[(document, "beta")], None);
    for body in [
        r#"{"documents":[["first item","kestrel walnut bridge seven pebble thimble lantern copper","next item"]]}"#,
        r#"{"documents":[["first item with more words kestrel","walnut","bridge","seven pebble thimble lantern","copper","next"]]}"#,
        r#"{"tokens":["kes","trel wal","nut bri","dge seven pebble thimble lan","tern cop","per"]}"#,
        r#"{"kestrel walnut bridge seven pebble thimble lantern copper":1}"#,
    ] {
        let result = run(scanner(&prints, "acme", Media::Json, OnDetect::Block), body.as_bytes(), &[]);
        assert_eq!(result.blocked, Some(Code::FingerprintMatch), "{body}");
    }
}

/// A phrase that was taken back is no match, also while a segment still holds it.
#[test]
fn removed_is_gone() {
    let document = "kestrel walnut bridge seven pebble thimble lantern copper";
    let id = Selector::new(WordKey::new(&WORD_KEY)).choose(document, |_| false).phrases[0].id;
    let set = set(&[(document, "beta")], None, &[id]);
    let prints = Rc::new(FingerprintSet::empty().with_phrases(Some(set)));
    let result = run(scanner(&prints, "acme", Media::Text, OnDetect::Block), document.as_bytes(), &[]);
    assert_eq!(result.blocked, None);
}

#[test]
fn a_hit_says_what_it_is() {
    let document = "kestrel walnut bridge seven pebble thimble lantern copper";
    let prints = fingerprints(&[(document, "beta")], None);
    let mut scanner = scanner(&prints, "acme", Media::Text, OnDetect::Alert);
    scanner.push(document.as_bytes(), true);
    let id = Selector::new(WordKey::new(&WORD_KEY)).choose(document, |_| false).phrases[0].id;
    let hit = &scanner.hits()[0];
    assert_eq!((hit.class, hit.fingerprint, hit.offset), (Class::Phrase, phrase::Phrase::number(id), 8));
    assert_eq!(serde_json::to_value(hit).unwrap()["class"], "phrase");
}

/// What a text says to who decodes its escapes is the writer's, too: the scanner reads it both ways.
#[test]
fn a_documents_escapes_are_read_both_ways() {
    let selector = Selector::new(WordKey::new(&WORD_KEY));
    let written = r"kestrel walnut,\nbridge seven \u0070ebble\\nthimble lan\xtern \ud83d\ude00 copper\";
    let runs = selector.runs(written);
    for meant in [
        "kestrel walnut, bridge seven pebble thimble lan xtern copper",
        "kestrel walnut nbridge seven u0070ebble nthimble lan xtern",
    ] {
        let meant = selector.runs(meant);
        assert!(!meant.is_empty() && meant.iter().all(|run| runs.contains(run)), "{runs:?}");
        assert!(meant.iter().all(|run| selector.choose(written, |_| false).runs.contains(run)));
    }
}

/// An escape of JSON inside JSON that two events share: what is replaced is what each of them wrote, not what stands between.
#[test]
fn redaction_of_a_split_escape_leaves_the_framing() {
    let prints =
        fingerprints(&[("kestrel walnut bridge seven pebble thimble lantern copper", "beta")], Some(OnDetect::Redact));
    let event = |choice: usize, text: &str| {
        let data = serde_json::json!({"choices": [{"index": choice, "delta": {"content": text}}]});
        format!("data: {data}\n\n")
    };
    let other = event(1, "something of another choice");
    for (first, second) in [
        ("kestrel walnut bridge seven pebble \\u0074himble lant\\", "u0065rn copper and on"),
        ("kestrel walnut bridge seven\\", "npebble thimble lantern copper and on"),
        ("kestrel \\u00", "77alnut bridge seven pebble thimble lantern copper and on"),
        ("kestrel \\u0077alnut bridge seven pebble thimble lantern coppe\\u007", "2 and on"),
    ] {
        let body = format!("{}{other}{}data: [DONE]\n\n", event(0, first), event(0, second));
        let result = run(scanner(&prints, "acme", Media::Sse, OnDetect::Block), body.as_bytes(), &[]);
        let out = String::from_utf8(result.out).unwrap();
        assert_eq!(result.did, [OnDetect::Redact], "{out}");
        assert!(out.contains(&other), "{first}: {out}");
        let events: Vec<&str> = out.split_terminator("\n\n").collect();
        assert_eq!(events.len(), 4, "{out}");
        for event in events.iter().take(3) {
            let data = event.strip_prefix("data: ").unwrap();
            assert!(serde_json::from_str::<serde_json::Value>(data).is_ok(), "{data}");
        }
        assert!(out.contains("and on") && !out.contains("copper") && !out.contains("bridge"), "{out}");
    }
}

/// Interleaved blocks of one document: the anchor of one is not forgotten for the many that others begin.
#[test]
fn an_anchor_outlives_other_blocks() {
    let prints = fingerprints(&[("kestrel walnut bridge seven pebble thimble lantern copper", "beta")], None);
    let event = |index: usize, text: &str| {
        format!("data: {}\n\n", serde_json::json!({"index": index, "delta": {"text": text}}))
    };
    for (first, second) in [("kestrel ", "walnut bridge"), ("kestrel", " walnut bridge")] {
        let mut body = event(0, first);
        (1..100).for_each(|index| body += &event(index, "a word here "));
        body += &event(0, second);
        body += &event(0, " seven pebble thimble lantern copper");
        let result = run(scanner(&prints, "acme", Media::Sse, OnDetect::Block), body.as_bytes(), &[]);
        assert_eq!(result.blocked, Some(Code::FingerprintMatch), "{first:?}");
    }
}
