//! What the fuzz targets share: settings cut off the front of the input, fingerprints, routes.

use partywall_core::error::{Code, Shape};
use partywall_core::phrase::{self, Phrase, PhraseSet, Selector, WireKey, WordKey};
use partywall_core::record::Severity;
use partywall_core::scan::{self, Entry, FingerprintSet, LoadError, LoadedSegment, Loader, Media, ScanConfig, Scanner};
use partywall_core::snapshot::wire::{
    Credential, HoldBack, Limits, OnDetect, Phrases, Rag, Segment, Strategy, Surface, SurfaceKind,
};
use partywall_core::surface::Surfaces;
use partywall_core::tenant::TenantId;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use std::rc::Rc;

/// Takes the first byte off; 0 when there is none.
pub fn byte(input: &mut &[u8]) -> u8 {
    match input.split_first() {
        Some((first, rest)) => {
            *input = rest;
            *first
        }
        None => 0,
    }
}

/// Takes up to so many bytes off.
pub fn take<'i>(input: &mut &'i [u8], len: usize) -> &'i [u8] {
    let (first, rest) = input.split_at(len.min(input.len()));
    *input = rest;
    first
}

/// A tenant's identifier.
pub fn tenant(id: &str) -> TenantId {
    TenantId::parse(id).expect("a tenant id")
}

/// Literals of `beta` and `gamma`, with shared prefixes and overlaps; one is the reader's own.
pub const FOREIGN: &[&str] = &["abcd7e", "bcd7", "falcon harbor", "aaaa7", "harbor 77", "canary 0451", "den aab aab"];

/// A segment of [`FOREIGN`] and one literal of `acme`.
pub fn blob() -> Vec<u8> {
    let mut entries: Vec<Entry> = FOREIGN
        .iter()
        .zip(1..)
        .map(|(text, id)| Entry {
            id,
            text: (*text).to_owned(),
            owners: vec![tenant(if id % 2 == 0 { "beta" } else { "gamma" })],
            severity: Severity::High,
        })
        .collect();
    let own = Entry { id: 99, text: "own secret".into(), owners: vec![tenant("acme")], severity: Severity::Low };
    entries.push(own);
    scan::compile(&entries).expect("a segment")
}

/// Loads bytes as a segment that is announced rightly.
pub fn load(blob: &[u8], piece: usize) -> Result<LoadedSegment, LoadError> {
    let segment = Segment { digest: hex::encode(Sha256::digest(blob)), bytes: blob.len() as u64, entries: 0 };
    let mut loader = Loader::new(&segment)?;
    for piece in blob.chunks(piece.max(1)) {
        loader.push(piece)?;
    }
    loader.finish()
}

/// A set of one segment.
pub fn set(segment: LoadedSegment) -> Rc<FingerprintSet> {
    Rc::new(FingerprintSet::new(vec![Rc::new(segment)], vec![]))
}

/// The key of words and of segments.
const KEY: phrase::Key = [7; 16];

/// Documents with their owners: short words, so that a fuzzer makes runs of them; they share beginnings, and two tenants share words.
const DOCUMENTS: &[(&str, &str)] = &[
    ("beta", "kx wq zv jy bn fm kx dg hp kx wq zv jy bn fm lr tc sx"),
    ("gamma", "wq zv jy kx bn kx wq zv hp dg fm rr tt uu ee"),
    ("acme", "zv jy bn fm kx dg hp oo aa xx qq ww yy"),
];

/// The phrases of the documents, as a segment travels.
pub fn phrase_blob() -> Vec<u8> {
    let selector = Selector::new(WordKey::new(&KEY));
    let owned: Vec<(Phrase, TenantId)> = DOCUMENTS
        .iter()
        .flat_map(|(owner, text)| {
            selector.choose(text, |_| false).phrases.into_iter().map(|phrase| (phrase, tenant(owner)))
        })
        .collect();
    assert!(owned.len() > 6, "too few phrases");
    let phrases: Vec<(Phrase, &TenantId)> = owned.iter().map(|(phrase, owner)| (*phrase, owner)).collect();
    phrase::compile(&phrases, &WireKey::new(&KEY)).expect("a segment")
}

/// Loads bytes as a segment of phrases that is announced rightly.
pub fn phrases(blob: &[u8], piece: usize) -> Option<PhraseSet> {
    let segment = Segment { digest: hex::encode(Sha256::digest(blob)), bytes: blob.len() as u64, entries: 0 };
    let mut loader = phrase::Loader::new(&segment).ok()?;
    for piece in blob.chunks(piece.max(1)) {
        loader.push(piece).ok()?;
    }
    let manifest = Phrases {
        word_key: STANDARD.encode(KEY),
        wire_key: STANDARD.encode(KEY),
        severity: Severity::High,
        action: None,
        from_rag_writes: false,
        segments: vec![],
        removed: vec![],
    };
    PhraseSet::new(&manifest, vec![Rc::new(loader.finish().ok()?)]).ok()
}

/// Limits that no input of a fuzzer reaches.
pub const WIDE: Limits = Limits { request_bytes: 1 << 22, response_bytes: 1 << 22, event_bytes: 1 << 22 };

/// A scanner for a response to `acme`.
pub fn scanner(set: &Rc<FingerprintSet>, media: Media, on_detect: OnDetect, hold: HoldBack, limits: Limits) -> Scanner {
    Scanner::new(ScanConfig {
        set: Rc::clone(set),
        tenant: tenant("acme"),
        media,
        shape: Shape::OpenAi,
        on_detect,
        hold_back: hold,
        limits,
        request_id: "r".to_owned(),
    })
}

/// What a scanner made of a body.
#[derive(Debug, PartialEq, Eq)]
pub struct Run {
    /// What left.
    pub out: Vec<u8>,
    /// Why the response ended.
    pub blocked: Option<Code>,
    /// Fingerprint and offset of every match.
    pub hits: Vec<(u64, u64)>,
}

/// Scans a body in pieces and accounts for every byte.
pub fn run<'b>(mut scanner: Scanner, pieces: impl Iterator<Item = &'b [u8]>) -> Run {
    let (mut out, mut blocked, mut pushed) = (Vec::new(), None, 0);
    let mut push = |scanner: &mut Scanner, piece: &[u8], end| {
        pushed += piece.len() as u64;
        let output = scanner.push(piece, end);
        assert!(blocked.is_none() || output == scan::Output::default(), "bytes after a block");
        out.extend_from_slice(&output.release);
        blocked = blocked.or(output.blocked);
        let bytes = scanner.bytes();
        assert_eq!(bytes.scanned, pushed);
        assert_eq!(bytes.scanned, bytes.delivered + bytes.withheld + scanner.held() as u64);
    };
    for piece in pieces {
        push(&mut scanner, piece, false);
    }
    push(&mut scanner, &[], true);
    assert_eq!(scanner.held(), 0, "bytes are held after the end");
    let hits = scanner.hits().iter().map(|hit| (hit.fingerprint, hit.offset)).collect();
    Run { out, blocked, hits }
}

/// One shared Chroma at `/`, with the usual names.
pub fn chroma() -> Surfaces {
    database(SurfaceKind::Chroma, Strategy::Namespace)
}

/// One vector database at `/`, with the usual names.
pub fn database(kind: SurfaceKind, strategy: Strategy) -> Surfaces {
    let weaviate = kind == SurfaceKind::Weaviate;
    let shared = match kind {
        SurfaceKind::Chroma => "default_database",
        SurfaceKind::Milvus => "default",
        SurfaceKind::Postgrest => "public",
        _ => "",
    };
    let collections: &[&str] = if weaviate { &["Docs", "Notes"] } else { &["docs", "notes"] };
    let surface = Surface {
        name: "docs".into(),
        kind,
        hosts: vec!["*".into()],
        prefix: "/".into(),
        credential: Credential::Strip,
        limits: WIDE,
        rag: Some(Rag {
            strategy,
            create: true,
            collection_format: "{collection}_{tenant_id}".into(),
            database_format: "t_{tenant_id}".into(),
            cluster: Some("c".into()),
            cluster_format: Some("c-{tenant_id}".into()),
            ..Rag::shared(shared, collections)
        }),
    };
    Surfaces::new(&[surface], [7; 32]).expect("a surface")
}
