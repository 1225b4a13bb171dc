//! Times the core inside Envoy's VM. The plugin's configuration holds the text and the literals; the figures are logged as
//! one line of JSON behind `vm-bench:`.

#[cfg(target_arch = "wasm32")]
mod engines;

#[cfg(target_arch = "wasm32")]
mod bench {
    use partywall_core::error::Shape;
    use partywall_core::identity::NoHostCrypto;
    use partywall_core::rag;
    use partywall_core::record::Severity;
    use partywall_core::scan::{self, Entry, FingerprintSet, Loader, Media, ScanConfig, Scanner};
    use partywall_core::session::{Session, Standing};
    use partywall_core::snapshot::Snapshot;
    use partywall_core::snapshot::wire::Content;
    use partywall_core::snapshot::wire::{
        Credential, Evasion, HoldBack, Limits, OnDetect, Rag, Segment, Surface, SurfaceKind,
    };
    use partywall_core::surface::Surfaces;
    use partywall_core::tenant::TenantId;
    use proxy_wasm::hostcalls::log;
    use proxy_wasm::traits::{Context, RootContext};
    use proxy_wasm::types::LogLevel;
    use sha2::{Digest, Sha256};
    use std::rc::Rc;
    use std::time::Instant;

    #[derive(serde::Deserialize)]
    struct Input {
        text: String,
        literals: Vec<String>,
        query: String,
        results: String,
        answer: String,
        token: String,
        content: Content,
    }

    /// Phrases alone: a segment in base64, its manifest, and the text.
    #[derive(serde::Deserialize)]
    struct PhrasesInput {
        segment: String,
        manifest: partywall_core::snapshot::wire::Phrases,
        text: String,
    }

    pub struct Bench;

    impl Context for Bench {}

    impl RootContext for Bench {
        fn on_configure(&mut self, _: usize) -> bool {
            let configuration = self.get_plugin_configuration().unwrap_or_default();
            let figures = if let Ok(input) = serde_json::from_slice::<PhrasesInput>(&configuration) {
                phrases(&input)
            } else if let Ok(input) = serde_json::from_slice(&configuration) {
                crate::engines::run(&input)
            } else {
                run(&serde_json::from_slice(&configuration).expect("the bench's input"))
            };
            let _ = log(LogLevel::Critical, &format!("vm-bench:{figures}"));
            true
        }
    }

    pub fn median(mut values: Vec<f64>) -> f64 {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    }

    /// Microseconds of each step of a request whose answer is the input's, and of writing its record.
    fn session(input: &Input, snapshot: &Rc<Snapshot>) -> [f64; 6] {
        const TIMES: u32 = 200;
        let now =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").as_millis() as u64;
        let pair = |name: &str, value: &str| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
        let body = br#"{"model": "demo", "messages": [{"role": "user", "content": "What does the licence say?"}]}"#;
        let request = [
            pair(":method", "POST"),
            pair(":path", "/v1/chat/completions"),
            pair(":authority", "llm.test"),
            pair(":scheme", "http"),
            pair("authorization", &format!("Bearer {}", input.token)),
            pair("content-type", "application/json"),
            pair("content-length", &body.len().to_string()),
            pair("x-forwarded-proto", "http"),
            pair("x-request-id", "8c5f33ba-33c1-4aa3-98b8-5f6c1b3ef5a2"),
        ];
        let response = [
            pair(":status", "200"),
            pair("content-type", "application/json"),
            pair("content-length", &input.answer.len().to_string()),
            pair("x-envoy-upstream-service-time", "0"),
        ];
        let mut steps = [0.0; 6];
        for _ in 0..TIMES {
            let mut at = Instant::now();
            let mut lap = |index: usize| {
                let now = Instant::now();
                steps[index] += (now - at).as_secs_f64() * 1e6 / f64::from(TIMES);
                at = now;
            };
            let mut session = Session::new(Standing::Ready(Rc::clone(snapshot)), now);
            let _ = std::hint::black_box(session.request_head(&request, false, &NoHostCrypto));
            lap(0);
            let _ = std::hint::black_box(session.request_body(body.len(), true, &mut |_, _| Some(body.to_vec())));
            lap(1);
            let _ = std::hint::black_box(session.response_head(&response, false));
            lap(2);
            let answer = input.answer.as_bytes();
            let _ = std::hint::black_box(session.response_body(answer.len(), true, &mut |_, _| Some(answer.to_vec())));
            lap(3);
            let decision = session.finish();
            lap(4);
            assert!(decision.code.is_none(), "{decision:?}");
            std::hint::black_box(serde_json::to_vec(&decision).expect("a record"));
            lap(5);
        }
        steps
    }

    fn phrases(input: &PhrasesInput) -> serde_json::Value {
        use base64::Engine as _;
        use partywall_core::phrase::{Loader, PhraseSet};
        let blob = base64::engine::general_purpose::STANDARD.decode(&input.segment).expect("base64");
        let digest = hex::encode(Sha256::digest(&blob));
        let mut loader = Loader::new(&Segment { digest, bytes: blob.len() as u64, entries: 0 }).expect("a loader");
        let mut steps = Vec::new();
        for piece in blob.chunks(256 * 1024) {
            let start = Instant::now();
            loader.push(piece).expect("a piece");
            steps.push(start.elapsed().as_secs_f64() * 1e3);
        }
        let start = Instant::now();
        let set = PhraseSet::new(&input.manifest, vec![Rc::new(loader.finish().expect("a segment"))]).expect("a set");
        steps.push(start.elapsed().as_secs_f64() * 1e3);
        let set = Rc::new(FingerprintSet::empty().with_phrases(Some(set)));
        let limits = Limits { request_bytes: 1 << 24, response_bytes: 1 << 24, event_bytes: 1 << 24 };
        let scan = |_| {
            let start = Instant::now();
            let mut scanner = Scanner::new(ScanConfig {
                set: Rc::clone(&set),
                tenant: TenantId::parse("acme").expect("a tenant"),
                media: Media::Text,
                shape: Shape::OpenAi,
                on_detect: OnDetect::Alert,
                hold_back: HoldBack::Exact,
                limits,
                request_id: String::new(),
            });
            for chunk in input.text.as_bytes().chunks(16 * 1024) {
                std::hint::black_box(scanner.push(chunk, false));
            }
            std::hint::black_box(scanner.push(&[], true));
            input.text.len() as f64 / start.elapsed().as_secs_f64() / 1e6
        };
        serde_json::json!({
            "scan_mb_s": median((0..5).map(scan).collect()),
            "load_step_ms_max": steps.iter().copied().fold(0.0, f64::max),
        })
    }

    fn run(input: &Input) -> serde_json::Value {
        let beta = TenantId::parse("beta").expect("a tenant");
        let acme = TenantId::parse("acme").expect("a tenant");
        let entry = |(id, text): (usize, &String)| Entry {
            id: id as u64,
            text: text.clone(),
            owners: vec![beta.clone()],
            severity: Severity::High,
        };
        let blob = scan::compile(&input.literals.iter().enumerate().map(entry).collect::<Vec<_>>()).expect("a segment");
        let segment = Segment {
            digest: hex::encode(Sha256::digest(&blob)),
            bytes: blob.len() as u64,
            entries: input.literals.len() as u64,
        };
        let mut pieces = Vec::new();
        let mut loader = Loader::new(&segment).expect("a loader");
        for piece in blob.chunks(256 * 1024) {
            let start = Instant::now();
            loader.push(piece).expect("a piece");
            pieces.push(start.elapsed().as_secs_f64() * 1e3);
        }
        let start = Instant::now();
        let set = Rc::new(FingerprintSet::new(vec![Rc::new(loader.finish().expect("a segment"))], vec![]));
        let finish_ms = start.elapsed().as_secs_f64() * 1e3;
        let limits = Limits { request_bytes: 1 << 24, response_bytes: 1 << 24, event_bytes: 1 << 24 };
        let scan = |evasion| {
            let start = Instant::now();
            let mut scanner = Scanner::new(ScanConfig {
                set: Rc::clone(&set),
                tenant: acme.clone(),
                media: Media::Text,
                shape: Shape::OpenAi,
                on_detect: OnDetect::Alert,
                hold_back: HoldBack::Exact,
                limits,
                request_id: String::new(),
            })
            .evasion(evasion);
            for chunk in input.text.as_bytes().chunks(16 * 1024) {
                std::hint::black_box(scanner.push(chunk, false));
            }
            std::hint::black_box(scanner.push(&[], true));
            input.text.len() as f64 / start.elapsed().as_secs_f64() / 1e6
        };
        let surfaces = Surfaces::new(
            &[Surface {
                name: "docs".into(),
                kind: SurfaceKind::Chroma,
                hosts: vec!["*".into()],
                prefix: "/".into(),
                credential: Credential::Strip,
                limits,
                rag: Some(Rag::shared("default_database", &["docs"])),
            }],
            [7; 32],
        )
        .expect("a surface");
        let path = "/api/v2/tenants/default_tenant/databases/default_database/collections/11111111-2222-3333-4444-555555555555/query";
        let rewrite = |_| {
            let start = Instant::now();
            for _ in 0..200 {
                let route = surfaces.classify("any", "POST", path).expect("a route");
                std::hint::black_box(
                    rag::request(&route, &acme, &[], input.query.as_bytes(), "r").expect("a rewritten query"),
                );
            }
            start.elapsed().as_secs_f64() / 200.0 * 1e6
        };
        let verify = |_| {
            let route = surfaces.classify("any", "POST", path).expect("a route");
            let memo = rag::Memo::default();
            let start = Instant::now();
            for _ in 0..100 {
                let body = input.results.as_bytes();
                let verified = rag::response(&route, &acme, &memo, 200, body, &|_| false).expect("a verified answer");
                assert_eq!(verified.tally.kept, 100);
                std::hint::black_box(verified);
            }
            start.elapsed().as_secs_f64() / 100.0 * 1e6
        };
        let snapshot = Rc::new(Snapshot::compile(1, &input.content, Rc::clone(&set)).expect("a snapshot"));
        let mut steps = [const { Vec::new() }; 6];
        for _ in 0..15 {
            for (all, one) in steps.iter_mut().zip(session(input, &snapshot)) {
                all.push(one);
            }
        }
        let [request_head, request_body, response_head, response_body, finish, record] = steps.map(median);
        serde_json::json!({
            "request_head_us": request_head,
            "request_body_us": request_body,
            "response_head_us": response_head,
            "response_body_us": response_body,
            "finish_us": finish,
            "record_us": record,
            "scan_mb_s": median((0..15).map(|_| scan(Evasion::Strict)).collect()),
            "scan_plain_mb_s": median((0..15).map(|_| scan(Evasion::Plain)).collect()),
            "verify_us": median((0..15).map(verify).collect()),
            "rewrite_us": median((0..15).map(rewrite).collect()),
            "load_piece_ms_max": pieces.iter().copied().fold(0.0, f64::max),
            "load_finish_ms": finish_ms,
        })
    }
}

#[cfg(target_arch = "wasm32")]
#[allow(missing_docs)]
mod entry {
    proxy_wasm::main! {{
        proxy_wasm::set_root_context(|_| Box::new(crate::bench::Bench));
    }}
}
