//! `fingerprint_store: redis`: on a real Redis, with replicas of the control plane that share it.

use partywall_tests::http::{Request, Response};
use partywall_tests::mint;
use partywall_tests::redis::{Line, Redis, bare, redis_policy, replica, state, until};
use partywall_tests::stack::{Stack, demo_policy, envoy_template};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

fn add(stack: &Stack, tenant: &str, text: &str) -> Response {
    let body = json!({"tenant": tenant, "text": text});
    Request::new("POST", "control", "/v1/fingerprints")
        .bearer(&stack.admin_token)
        .json(&body)
        .send(stack.control)
        .unwrap()
}

fn refused(stack: &Stack) -> Value {
    let answer = add(stack, "beta", "refused while it is away");
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!(answer.json()["code"], "fingerprint_store_unavailable");
    answer.json()["detail"].clone()
}

/// All fingerprints by text: the id and the owners, sorted. Pages are read one by one: a change between two may show a text twice.
fn all(stack: &Stack) -> BTreeMap<String, (u64, Vec<String>)> {
    for _ in 0..3 {
        if let Some(found) = read(stack) {
            return found;
        }
    }
    panic!("a text is there twice");
}

fn read(stack: &Stack) -> Option<BTreeMap<String, (u64, Vec<String>)>> {
    let (mut found, mut after) = (BTreeMap::new(), 0);
    loop {
        let page = stack.api("GET", &format!("/v1/fingerprints?limit=1000&after={after}"), None).unwrap();
        let Some(last) = page.as_array().unwrap().last() else { return Some(found) };
        after = last["id"].as_u64().unwrap();
        for row in page.as_array().unwrap() {
            let mut owners: Vec<String> = serde_json::from_value(row["owners"].clone()).unwrap();
            owners.sort();
            let text = row["text"].as_str().unwrap().to_owned();
            if found.insert(text, (row["id"].as_u64().unwrap(), owners)).is_some() {
                return None;
            }
        }
    }
}

fn guarded(stack: &Stack, text: &str) -> bool {
    let response = stack.chat(&mint::token("acme"), text, false).unwrap();
    assert!(matches!(response.status, 200 | 403), "{} {}", response.status, response.text());
    response.status == 403
}

#[test]
fn the_sets_are_in_redis() {
    let redis = Redis::start("redis-sets", &[]).unwrap();
    let mut stack = bare("redis-sets", redis.port);
    assert_eq!(add(&stack, "beta", "Project Falcon Harbor").status, 201);
    assert_eq!(add(&stack, "beta", "project  falcon harbor").status, 200, "the same once folded");
    assert_eq!(add(&stack, "acme", "project falcon harbor").status, 201, "a further owner");
    assert_eq!(add(&stack, "acme", "Second Thing 4711").status, 201);
    let kept: Vec<Value> = redis
        .cli(&["HVALS", "partywall:fingerprints"])
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let texts: BTreeMap<&str, &Value> =
        kept.iter().map(|row| (row["text"].as_str().unwrap(), &row["owners"])).collect();
    assert_eq!(
        json!(texts),
        json!({"project falcon harbor": ["beta", "acme"], "Second Thing 4711": ["acme"]}),
        "one fingerprint for each text: {kept:?}"
    );
    assert_eq!(redis.cli(&["HMGET", "partywall:meta", "revision", "count"]).unwrap(), "4\n2");
    // What is in Redis counts, not the copy in the file: another replica changes it while this one is down.
    stack.stop_control();
    let other = replica("redis-sets-2", &stack, redis.port, false);
    let id = all(&other)["Second Thing 4711"].0;
    other.api("DELETE", &format!("/v1/fingerprints/{id}"), None).unwrap();
    stack.start_control().unwrap();
    until("the restarted one follows", 5, || all(&stack) == all(&other));
    assert_eq!(all(&stack).len(), 1);
    let status = stack.api("GET", "/v1/status", None).unwrap();
    assert_eq!(status["fingerprint_store"]["kind"], "redis");
    assert_eq!(status["fingerprint_store"]["state"], "ok");
}

#[test]
fn replicas_fan_out_both_ways() {
    let redis = Redis::start("redis-fan", &[]).unwrap();
    let url = redis.url();
    let one = Stack::builder("redis-fan-1").policy(&redis_policy()).control(&["--redis", &url]).start().unwrap();
    let two = replica("redis-fan-2", &one, redis.port, true);
    // A tenant that only the first one knows: what is its is guarded at the other too.
    one.api("POST", "/v1/tenants", Some(&json!({"id": "gamma"}))).unwrap();
    for (here, there, tenant, text) in [
        (&one, &two, "beta", "Project Falcon Harbor"),
        (&two, &one, "beta", "Otter Basin Nine"),
        (&one, &two, "gamma", "Gamma Ray Ledger"),
    ] {
        assert!(!guarded(there, text));
        let start = Instant::now();
        let made = add(here, tenant, text);
        assert_eq!(made.status, 201, "{}", made.text());
        until("the other replica's proxy guards", 5, || guarded(there, text));
        println!("fan-out of one fingerprint, with its proxy: {} ms", start.elapsed().as_millis());
        until("its own proxy guards", 5, || guarded(here, text));
    }
    // And removal.
    let id = all(&two)["Project Falcon Harbor"].0;
    two.api("DELETE", &format!("/v1/fingerprints/{id}"), None).unwrap();
    until("the other replica's proxy lets it pass", 5, || !guarded(&one, "Project Falcon Harbor"));
    assert!(guarded(&one, "Otter Basin Nine") && guarded(&two, "Gamma Ray Ledger"));
}

#[test]
fn a_proxy_moves_between_replicas() {
    let redis = Redis::start("redis-move", &[]).unwrap();
    let mut one = bare("redis-move-1", redis.port);
    let two = replica("redis-move-2", &one, redis.port, false);
    // The first has come much further in its own count.
    for n in 0..30 {
        one.api("POST", "/v1/tenants", Some(&json!({"id": format!("t{n}")}))).unwrap();
        two.api("POST", "/v1/tenants", Some(&json!({"id": format!("t{n}")}))).unwrap();
        one.api("PATCH", &format!("/v1/tenants/t{n}"), Some(&json!({"status": "suspended"}))).unwrap();
        one.api("PATCH", &format!("/v1/tenants/t{n}"), Some(&json!({"status": "active"}))).unwrap();
    }
    let revision = |stack: &Stack| stack.api("GET", "/v1/status", None).unwrap()["revision"].as_u64().unwrap();
    assert!(revision(&one) > revision(&two) + 20);
    assert_eq!(add(&one, "beta", "Project Falcon Harbor").status, 201);
    until("both have it", 5, || all(&one) == all(&two));
    let line = Line::to(one.control);
    let port = line.port;
    one.edit_template(|template| template.replace("${CONTROL_PORT}", &port.to_string()));
    one.start_envoy().unwrap();
    one.converge().unwrap();
    assert!(guarded(&one, "Project Falcon Harbor"));
    let before = (revision(&one), revision(&two));
    // To the second: it says the same, so nobody's revision moves, and what it learns counts.
    line.lead(Some(two.control));
    until("the second hears from the proxy", 10, || {
        let heard = two.api("GET", "/v1/sidecars", None).unwrap();
        heard.as_array().unwrap().len() >= 2 && heard.as_array().unwrap().iter().all(|s| s["converged"] == true)
    });
    assert_eq!((revision(&one), revision(&two)), before, "the same content needs no new revision");
    assert_eq!(add(&one, "beta", "Otter Basin Nine").status, 201);
    until("what the first took comes through the second", 10, || guarded(&one, "Otter Basin Nine"));
    assert!(guarded(&one, "Project Falcon Harbor"));
    // And back.
    line.lead(Some(one.control));
    assert_eq!(add(&two, "beta", "Third Lantern Quay").status, 201);
    until("what the second took comes through the first", 10, || guarded(&one, "Third Lantern Quay"));
    assert_eq!(one.metric("partywall_polls_total{result=\"rejected\"}"), 0.0, "{}", one.envoy_log());
}

#[test]
fn a_balanced_cluster_of_replicas_is_polled_in_peace() {
    let redis = Redis::start("redis-balanced", &[]).unwrap();
    let mut one = bare("redis-balanced-1", redis.port);
    let two = replica("redis-balanced-2", &one, redis.port, false);
    one.api("POST", "/v1/tenants", Some(&json!({"id": "gamma"}))).unwrap();
    two.api("POST", "/v1/tenants", Some(&json!({"id": "gamma"}))).unwrap();
    let endpoint = "              - endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: ${CONTROL_PORT} } } }\n";
    let both = format!("{endpoint}{}", endpoint.replace("${CONTROL_PORT}", &two.control.to_string()));
    assert!(envoy_template().contains(endpoint));
    one.edit_template(|template| template.replace(endpoint, &both));
    one.start_envoy().unwrap();
    until("served", 10, || one.chat(&mint::token("acme"), "hello", false).unwrap().status == 200);
    for n in 0..6 {
        let (to, text) = (if n % 2 == 0 { &one } else { &two }, format!("balanced secret {n}"));
        assert_eq!(add(to, "beta", &text).status, 201);
        until("it is guarded, whoever was asked", 10, || guarded(&one, &text));
    }
    let polls = || one.metric("partywall_polls_total{result=\"verified\"}");
    std::thread::sleep(Duration::from_secs(1));
    let before = polls();
    std::thread::sleep(Duration::from_secs(5));
    assert!(polls() - before <= 4.0, "two workers that have everything poll without end: {}", polls() - before);
    // A policy that only one of them has makes them disagree: the proxy goes back and forth, but slowly.
    one.api("POST", "/v1/tenants", Some(&json!({"id": "delta"}))).unwrap();
    std::thread::sleep(Duration::from_secs(1));
    let before = polls();
    std::thread::sleep(Duration::from_secs(6));
    assert!(polls() - before <= 40.0, "replicas that disagree outrun each other without end: {}", polls() - before);
    assert_eq!(one.metric("partywall_polls_total{result=\"rejected\"}"), 0.0, "{}", one.envoy_log());
    assert!((0..6).all(|n| guarded(&one, &format!("balanced secret {n}"))));
}

#[test]
fn a_replica_that_is_behind_takes_nothing_from_a_proxy() {
    let redis = Redis::start("redis-behind", &[]).unwrap();
    let one = bare("redis-behind-1", redis.port);
    let line = Line::to(redis.port);
    let mut two = replica("redis-behind-2", &one, line.port, false);
    let way = Line::to(one.control);
    let port = way.port;
    two.edit_template(|template| template.replace("${CONTROL_PORT}", &port.to_string()));
    two.start_envoy().unwrap();
    until("served", 10, || two.chat(&mint::token("acme"), "hello", false).unwrap().status == 200);
    // The second is cut off from Redis, and the proxy, which knows more, comes to it.
    line.lead(None);
    assert_eq!(add(&one, "beta", "Project Falcon Harbor").status, 201);
    until("guarded by the first", 10, || guarded(&two, "Project Falcon Harbor"));
    way.lead(Some(two.control));
    std::thread::sleep(Duration::from_secs(3));
    for _ in 0..10 {
        assert!(guarded(&two, "Project Falcon Harbor"), "the replica that is behind took it back");
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(two.metric("partywall_polls_total{result=\"failed\"}") >= 1.0);
    // As soon as it has caught up, it is followed.
    line.lead(Some(redis.port));
    until("it has caught up", 10, || state(&two) == "ok" && all(&two) == all(&one));
    assert_eq!(add(&two, "beta", "Otter Basin Nine").status, 201);
    until("the proxy follows it", 15, || guarded(&two, "Otter Basin Nine"));
}

#[test]
fn writers_at_once_lose_nothing() {
    let redis = Redis::start("redis-writers", &[]).unwrap();
    let one = bare("redis-writers-1", redis.port);
    let two = replica("redis-writers-2", &one, redis.port, false);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for (at, stack) in [&one, &two].into_iter().enumerate() {
            for thread in 0..3 {
                scope.spawn(move || {
                    for n in 0..40 {
                        // All write the same texts, for two owners, in different orders.
                        let n = (n * (2 * thread + 1) + 13 * at) % 40;
                        let tenant = ["acme", "beta"][(thread + at) % 2];
                        let answer = add(stack, tenant, &format!("overlapping secret {n:03}"));
                        assert!(matches!(answer.status, 200 | 201), "{}", answer.text());
                    }
                });
            }
            // And a large one beside them, which must not starve.
            scope.spawn(move || {
                let items: Vec<Value> = (0..3000)
                    .map(|n| json!({"tenant": "beta", "text": format!("bulk secret {:05}", n + 1500 * at)}))
                    .collect();
                stack.api("POST", "/v1/fingerprints/bulk", Some(&Value::Array(items))).unwrap();
            });
        }
    });
    println!("240 single writes and two bulks of 3,000 over two replicas: {} ms", start.elapsed().as_millis());
    until("both replicas have the same", 10, || all(&one) == all(&two));
    let set = all(&one);
    assert_eq!(set.len(), 40 + 4500);
    for n in 0..40 {
        let (_, owners) = &set[&format!("overlapping secret {n:03}")];
        assert_eq!(owners, &["acme", "beta"], "an owner was lost or doubled");
    }
    let mut ids: Vec<u64> = set.values().map(|(id, _)| *id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), set.len(), "an id was given twice");
    assert_eq!(redis.cli(&["HLEN", "partywall:fingerprints"]).unwrap(), set.len().to_string());
}

#[test]
fn redis_killed_and_back() {
    let persistent = ["--appendonly", "yes", "--appendfsync", "always"];
    let mut redis = Redis::start("redis-killed", &persistent).unwrap();
    let url = redis.url();
    let one = Stack::builder("redis-killed-1").policy(&redis_policy()).control(&["--redis", &url]).start().unwrap();
    let two = replica("redis-killed-2", &one, redis.port, false);
    one.fingerprint("beta", "Project Falcon Harbor").unwrap();
    redis.kill();
    until("noticed", 5, || state(&one) == "unavailable");
    assert!(guarded(&one, "Project Falcon Harbor"), "served and guarded from memory");
    assert!(!guarded(&one, "hello"));
    let why = refused(&one);
    assert!(why.as_str().unwrap().contains("Redis cannot be used"), "{why}");
    let id = all(&one)["Project Falcon Harbor"].0;
    let removal = Request::new("DELETE", "control", &format!("/v1/fingerprints/{id}")).bearer(&one.admin_token);
    assert_eq!(removal.send(one.control).unwrap().status, 503);
    let ready = Request::new("GET", "control", "/readyz").send(one.control).unwrap();
    assert_eq!(ready.status, 200, "filters are served");
    assert!(ready.text().contains("fingerprint store is away"), "{}", ready.text());
    let metrics = Request::new("GET", "control", "/metrics").send(one.control).unwrap().text();
    assert!(metrics.contains("\npartywall_fingerprint_store_ok 0\n"), "{metrics}");
    assert!(metrics.contains("\npartywall_fingerprint_store_refusals_total 2\n"), "{metrics}");
    let (_, shown) = one.cli(&["fingerprint", "store", "status"]).unwrap();
    assert!(shown.contains("unavailable"), "{shown}");
    // The rest of the control plane goes on.
    one.api("POST", "/v1/tenants", Some(&json!({"id": "gamma"}))).unwrap();
    one.converge().unwrap();
    redis.resume(&persistent).unwrap();
    until("recovered by itself", 10, || state(&one) == "ok" && state(&two) == "ok");
    assert_eq!(add(&two, "beta", "Otter Basin Nine").status, 201);
    until("and caught up", 5, || guarded(&one, "Otter Basin Nine"));
    assert!(guarded(&one, "Project Falcon Harbor"));
    let metrics = Request::new("GET", "control", "/metrics").send(one.control).unwrap().text();
    assert!(metrics.contains("\npartywall_fingerprint_store_ok 1\n"), "{metrics}");
}

#[test]
fn redis_back_empty_waits_for_an_operator() {
    let mut redis = Redis::start("redis-empty", &[]).unwrap();
    let url = redis.url();
    let mut one = Stack::builder("redis-empty-1").policy(&redis_policy()).control(&["--redis", &url]).start().unwrap();
    let two = replica("redis-empty-2", &one, redis.port, false);
    one.fingerprint("beta", "Project Falcon Harbor").unwrap();
    until("both have it", 5, || all(&one) == all(&two));
    let (done, text) = one.cli(&["fingerprint", "store", "accept"]).unwrap();
    assert!(!done && text.contains("nothing to decide"), "{text}");
    redis.kill();
    redis.resume(&[]).unwrap();
    until("noticed", 10, || state(&one) == "diverged" && state(&two) == "diverged");
    assert!(guarded(&one, "Project Falcon Harbor"));
    let why = refused(&one);
    assert!(why.as_str().unwrap().contains("partywall fingerprint store restore"), "{why}");
    let ready = Request::new("GET", "control", "/readyz").send(one.control).unwrap();
    assert!(ready.status == 200 && ready.text().contains("an operator must decide"), "{}", ready.text());
    // Not even a restart forgets.
    one.stop_control();
    one.start_control().unwrap();
    until("noticed again", 10, || state(&one) == "diverged");
    std::thread::sleep(Duration::from_secs(1));
    assert!(guarded(&one, "Project Falcon Harbor"));
    assert_eq!(redis.cli(&["HLEN", "partywall:fingerprints"]).unwrap(), "0", "nobody wrote into it");
    let (done, text) = one.cli(&["fingerprint", "store", "restore"]).unwrap();
    assert!(done && text.contains("ok"), "{text}");
    until("the other follows the decision", 10, || state(&one) == "ok" && state(&two) == "ok");
    assert_eq!(redis.cli(&["HLEN", "partywall:fingerprints"]).unwrap(), "1");
    assert_eq!(add(&two, "beta", "Otter Basin Nine").status, 201);
    until("and both go on", 5, || all(&one).len() == 2 && all(&one) == all(&two));
    until("guarded", 5, || guarded(&one, "Otter Basin Nine"));
    // Emptied under way, without a restart, and filled by somebody else: restoring loses nothing of either.
    redis.cli(&["FLUSHALL"]).unwrap();
    until("noticed", 10, || state(&one) == "diverged" && state(&two) == "diverged");
    let fresh = replica("redis-empty-3", &one, redis.port, false);
    assert_eq!(add(&fresh, "acme", "Third Lantern Quay").status, 201);
    assert_eq!(add(&fresh, "acme", "project falcon harbor").status, 201);
    assert_eq!(state(&one), "diverged", "another store is not believed");
    assert!(one.cli(&["fingerprint", "store", "restore"]).unwrap().0);
    until("all three are in step", 10, || [&one, &two, &fresh].iter().all(|stack| state(stack) == "ok"));
    let set = all(&one);
    assert_eq!((all(&two), all(&fresh)), (set.clone(), set.clone()));
    assert_eq!(set.keys().collect::<Vec<_>>(), ["Otter Basin Nine", "Project Falcon Harbor", "Third Lantern Quay"]);
    assert_eq!(set["Project Falcon Harbor"].1, ["acme", "beta"]);
    // And the other decision.
    redis.cli(&["FLUSHALL"]).unwrap();
    until("noticed", 10, || state(&one) == "diverged" && state(&two) == "diverged");
    assert!(two.cli(&["fingerprint", "store", "accept"]).unwrap().0);
    until("all three have taken the empty one", 10, || [&one, &two, &fresh].iter().all(|stack| all(stack).is_empty()));
    until("nothing is guarded any more", 5, || !guarded(&one, "Project Falcon Harbor"));
    one.fingerprint("beta", "Fourth Signal Mast").unwrap();
    assert!(guarded(&one, "Fourth Signal Mast"));
}

#[test]
fn redis_that_went_back_is_not_believed() {
    let persistent = ["--appendonly", "yes", "--appendfsync", "always"];
    let redis = Redis::start("redis-rolled", &persistent).unwrap();
    let one = bare("redis-rolled-1", redis.port);
    assert_eq!(add(&one, "beta", "Project Falcon Harbor").status, 201);
    let before = redis.cli(&["DUMP", "x"]);
    assert!(before.is_ok());
    // As after a restore of an older backup: the revision below ours, the head another one.
    let head = redis.cli(&["HGET", "partywall:meta", "head"]).unwrap();
    for (field, value) in
        [("revision", "1"), ("head", "feedfeedfeedfeed"), ("count", "9"), ("store", "cafecafecafecafe")]
    {
        let was = redis.cli(&["HGET", "partywall:meta", field]).unwrap();
        redis.cli(&["HSET", "partywall:meta", field, value]).unwrap();
        until(field, 5, || state(&one) == "diverged");
        assert!(refused(&one).as_str().unwrap().contains("behind our back"));
        redis.cli(&["HSET", "partywall:meta", field, &was]).unwrap();
        until("right again, so in order again", 5, || state(&one) == "ok");
    }
    assert_eq!(redis.cli(&["HGET", "partywall:meta", "head"]).unwrap(), head);
    // A fingerprint that Redis threw away.
    let id = all(&one)["Project Falcon Harbor"].0.to_string();
    redis.cli(&["HDEL", "partywall:fingerprints", &id]).unwrap();
    until("missed", 5, || state(&one) == "diverged");
    assert_eq!(all(&one).len(), 1);
    assert!(one.cli(&["fingerprint", "store", "restore"]).unwrap().0);
    assert_eq!(redis.cli(&["HLEN", "partywall:fingerprints"]).unwrap(), "1");
}

#[test]
fn a_redis_that_refuses_is_named_and_used_again() {
    let redis = Redis::start("redis-refuses", &[]).unwrap();
    let one = bare("redis-refuses", redis.port);
    assert_eq!(add(&one, "beta", "Project Falcon Harbor").status, 201);
    let cases: [(&[&str], &[&str], &str); 3] = [
        (&["REPLICAOF", "127.0.0.1", "1"], &["REPLICAOF", "NO", "ONE"], "read-only replica"),
        (&["CONFIG", "SET", "maxmemory", "1"], &["CONFIG", "SET", "maxmemory", "0"], "it is full"),
        (
            &["CONFIG", "SET", "requirepass", "secret"],
            &["-a", "secret", "CONFIG", "SET", "requirepass", ""],
            "password",
        ),
    ];
    for (wrong, right, hint) in cases {
        redis.cli(wrong).unwrap();
        if hint == "password" {
            // Connections that are open stay so.
            redis.cli(&["-a", "secret", "CLIENT", "KILL", "TYPE", "normal"]).unwrap();
        }
        until("its state is shown", 10, || state(&one) != "ok");
        let why = refused(&one);
        assert!(why.as_str().unwrap().contains(hint), "{hint}: {why}");
        assert_eq!(all(&one).len(), 1);
        redis.cli(right).unwrap();
        until("used again", 10, || state(&one) == "ok");
        let text = format!("after: {hint}");
        let answer = add(&one, "beta", &text);
        assert_eq!(answer.status, 201, "{}", answer.text());
        let id = answer.json()["id"].as_u64().unwrap();
        one.api("DELETE", &format!("/v1/fingerprints/{id}"), None).unwrap();
    }
    // One that answers nothing for a while.
    redis.cli(&["CLIENT", "PAUSE", "12000", "ALL"]).unwrap();
    let start = Instant::now();
    refused(&one);
    assert!(start.elapsed() < Duration::from_secs(12), "a writer waits {:?}", start.elapsed());
    let start = Instant::now();
    one.api("POST", "/v1/tenants", Some(&json!({"id": "gamma"}))).unwrap();
    assert!(start.elapsed() < Duration::from_secs(1), "what needs no Redis waits for it");
    until("used again", 25, || state(&one) == "ok");
    assert_eq!(add(&one, "beta", "refused while it is away").status / 100, 2);
}

#[test]
fn a_replica_starts_while_redis_is_away() {
    let persistent = ["--appendonly", "yes", "--appendfsync", "always"];
    let mut redis = Redis::start("redis-start", &persistent).unwrap();
    let url = redis.url();
    let mut one = Stack::builder("redis-start-1").policy(&redis_policy()).control(&["--redis", &url]).start().unwrap();
    one.fingerprint("beta", "Project Falcon Harbor").unwrap();
    one.stop_control();
    one.stop_envoy();
    redis.kill();
    one.start_control().unwrap();
    one.start_envoy().unwrap();
    one.converge().unwrap();
    assert!(guarded(&one, "Project Falcon Harbor"), "from the last copy");
    assert_eq!(state(&one), "stale");
    refused(&one);
    // One that has no copy serves nothing: the policy is not even taken.
    let key = one.directory.join("data/signing.key").to_string_lossy().into_owned();
    let arguments = ["--redis", &url, "--signing-key", &key];
    let bare = Stack::builder("redis-start-2").no_policy().no_envoy().control(&arguments).start().unwrap();
    let refusal = bare.apply(&redis_policy()).unwrap_err().to_string();
    assert!(refusal.contains("fingerprint_store_unavailable"), "{refusal}");
    assert_eq!(Request::new("GET", "control", "/readyz").send(bare.control).unwrap().status, 503);
    redis.resume(&persistent).unwrap();
    until("caught up", 10, || state(&one) == "ok");
    bare.apply(&redis_policy()).unwrap();
    assert_eq!(all(&bare), all(&one));
}

#[test]
fn the_store_can_be_switched_both_ways() {
    let mut redis = Redis::start("redis-switch", &[]).unwrap();
    let url = redis.url();
    let arguments = ["--redis", &url, "--redis-prefix", "{wall}:"];
    let mut one = Stack::builder("redis-switch-1").no_envoy().control(&arguments).start().unwrap();
    let key = one.directory.join("data/signing.key").to_string_lossy().into_owned();
    let arguments = [arguments.as_slice(), &["--signing-key", &key]].concat();
    let two = Stack::builder("redis-switch-2").no_envoy().control(&arguments).start().unwrap();
    let texts =
        |stack: &Stack| all(stack).into_iter().map(|(text, (_, owners))| (text.to_lowercase(), owners)).collect();
    for (stack, tenant, text) in [
        (&one, "beta", "Project Falcon Harbor"),
        (&one, "beta", "Otter Basin Nine"),
        (&two, "acme", "project falcon harbor"),
        (&two, "acme", "Third Lantern Quay"),
    ] {
        assert_eq!(add(stack, tenant, text).status, 201);
    }
    assert_eq!(redis.cli(&["DBSIZE"]).unwrap(), "0", "the embedded store is the default");
    one.apply(&redis_policy()).unwrap();
    assert_eq!(redis.cli(&["HLEN", "{wall}:fingerprints"]).unwrap(), "2");
    two.apply(&redis_policy()).unwrap();
    until("both have all", 5, || all(&one) == all(&two));
    let merged: BTreeMap<String, Vec<String>> = texts(&one);
    let expected = json!({"project falcon harbor": ["acme", "beta"], "otter basin nine": ["beta"], "third lantern quay": ["acme"]});
    assert_eq!(json!(merged), expected);
    // Back: this one has everything, also what only the other wrote, and goes its own way.
    assert_eq!(add(&two, "acme", "Fourth Signal Mast").status, 201);
    one.apply(&demo_policy()).unwrap();
    assert_eq!(texts(&one), texts(&two) as BTreeMap<_, _>);
    assert_eq!(add(&one, "beta", "Fifth Anchor Lane").status, 201);
    one.stop_control();
    one.start_control().unwrap();
    assert_eq!(all(&one).len(), 5);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(all(&two).len(), 4);
    // Away: the copy may lack something, so that must be said.
    redis.kill();
    let refusal = two.apply(&demo_policy()).unwrap_err().to_string();
    assert!(refusal.contains("--force"), "{refusal}");
    let text = two.fill_policy(&demo_policy());
    let forced = Request::new("PUT", "control", "/v1/policy?force=true")
        .bearer(&two.admin_token)
        .body("application/yaml", text.into_bytes())
        .send(two.control)
        .unwrap();
    assert_eq!(forced.status, 200, "{}", forced.text());
    assert_eq!(all(&two).len(), 4);
    assert_eq!(add(&two, "beta", "Sixth Copper Gate").status, 201);
}

#[test]
fn a_policy_that_wants_redis_needs_one() {
    let stack = Stack::builder("redis-none").no_envoy().start().unwrap();
    for (method, path) in [("PUT", "/v1/policy"), ("POST", "/v1/policy/validate")] {
        let text = stack.fill_policy(&redis_policy()).into_bytes();
        let request = Request::new(method, "control", path).bearer(&stack.admin_token).body("application/yaml", text);
        let answer = request.send(stack.control).unwrap();
        assert_eq!(
            (answer.status, answer.json()["code"].as_str()),
            (422, Some("redis_not_configured")),
            "{}",
            answer.text()
        );
        assert!(answer.text().contains("--redis"), "{}", answer.text());
    }
    assert_eq!(stack.api("GET", "/v1/status", None).unwrap()["policy"], 1);
    // And a control plane that lost the flag does not start, rather than guard from an old copy without saying so.
    let redis = Redis::start("redis-flag", &[]).unwrap();
    let mut stack = bare("redis-flag", redis.port);
    stack.stop_control();
    stack.control_arguments.clear();
    let failed = stack.start_control().unwrap_err().to_string();
    assert!(failed.contains("start with `--redis URL`"), "{failed}");
    for (flag, value) in [("--redis", "nonsense://x"), ("--redis-prefix", "")] {
        stack.control_arguments = ["--redis", &redis.url(), flag, value].map(str::to_owned).to_vec();
        if flag == "--redis" {
            stack.control_arguments.drain(..2);
        }
        assert!(stack.start_control().unwrap_err().to_string().contains(flag));
    }
}

#[test]
fn a_password_from_a_file_and_acl_rules_are_enough() {
    let redis = Redis::start("redis-acl", &[]).unwrap();
    let line = documented_acl().replace("SECRET", "s3cret");
    let mut rule = vec!["ACL", "SETUSER"];
    rule.extend(line.split_whitespace());
    redis.cli(&rule).unwrap();
    redis.cli(&["ACL", "SETUSER", "default", "off"]).unwrap();
    let file = std::env::temp_dir().join(format!("partywall-redis-{}", std::process::id()));
    std::fs::write(&file, "s3cret\n").unwrap();
    let url = format!("redis://partywall@127.0.0.1:{}/0", redis.port);
    let arguments = ["--redis", &url, "--redis-password-file", &file.to_string_lossy()];
    let one = Stack::builder("redis-acl").policy(&redis_policy()).no_envoy().control(&arguments).start().unwrap();
    assert_eq!(add(&one, "beta", "Project Falcon Harbor").status, 201);
    until("followed", 5, || state(&one) == "ok");
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(state(&one), "ok", "{}", one.api("GET", "/v1/fingerprint-store", None).unwrap());
    std::fs::remove_file(&file).unwrap();
}

/// The rule that `docs/operations.md` gives.
fn documented_acl() -> String {
    let text = std::fs::read_to_string(partywall_tests::process::root().join("docs/operations.md")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("user ")).expect("a line `user partywall ...`");
    line.to_owned()
}

#[test]
fn a_restart_costs_the_proxies_nothing() {
    let mut stack = Stack::builder("redis-restart").start().unwrap();
    for n in 0..5 {
        stack.fingerprint("beta", &format!("some secret {n}")).unwrap();
    }
    let revision = |stack: &Stack| stack.api("GET", "/v1/status", None).unwrap()["revision"].clone();
    let before = revision(&stack);
    stack.stop_control();
    stack.start_control().unwrap();
    // The segments are cut anew, but they say the same.
    stack.converge().unwrap();
    assert_eq!(revision(&stack), before);
    assert!(guarded(&stack, "some secret 3"));
}

#[test]
fn a_bulk_of_100_000_goes_through() {
    let redis = Redis::start("redis-bulk", &[]).unwrap();
    let one = bare("redis-bulk-1", redis.port);
    let two = replica("redis-bulk-2", &one, redis.port, false);
    let embedded = Stack::builder("redis-bulk-3").no_envoy().start().unwrap();
    let items: Vec<Value> =
        (0..100_000).map(|n| json!({"tenant": "beta", "text": format!("bulk secret number {n:06}")})).collect();
    let send = |stack: &Stack| {
        let bulk = Request::new("POST", "control", "/v1/fingerprints/bulk").bearer(&stack.admin_token);
        let start = Instant::now();
        let answer = bulk.json(&Value::Array(items.clone())).send(stack.control).unwrap();
        assert_eq!(answer.json()["added"], 100_000, "{}", answer.text());
        start.elapsed()
    };
    let plain = send(&embedded);
    drop(embedded);
    let start = Instant::now();
    let written = send(&one);
    let count = |stack: &Stack| stack.api("GET", "/v1/status", None).unwrap()["fingerprints"].as_u64();
    until("the other replica has them", 30, || count(&two) == Some(100_000));
    let followed = start.elapsed();
    println!(
        "bulk of 100,000: embedded {plain:?}; Redis: answered after {written:?}, at the other replica after {followed:?}"
    );
    assert!(written < Duration::from_secs(15) && followed < Duration::from_secs(30));
    let start = Instant::now();
    let answer = add(&two, "beta", "one more");
    assert_eq!(answer.status, 201, "{}", answer.text());
    println!("one more on top: {:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(2));
}
