//! The main job in seven scenes, on the real Envoy and the real Chroma. Every scene asserts what it shows.
//! `--keep` keeps the stack up and prints what to try.

use anyhow::{Context, Result, bail, ensure};
use partywall_tests::http::Response;
use partywall_tests::llm::{Script, completion, events};
use partywall_tests::mint;
use partywall_tests::stack::Stack;
use serde_json::{Value, json};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

fn paint(colour: &str, text: &str) -> String {
    if std::io::stdout().is_terminal() { format!("\u{1b}[{colour}m{text}\u{1b}[0m") } else { text.to_owned() }
}

fn scene(number: u8, title: &str) {
    println!("\n{}", paint("1;36", &format!("── {number}. {title}")));
}

fn say(who: &str, what: &str) {
    let short: String = what.chars().take(220).collect();
    let more = if short.len() < what.len() { " …" } else { "" };
    println!("   {:<22} {short}{more}", paint("2", who));
}

fn good(what: &str) {
    println!("   {} {what}", paint("1;32", "✓"));
}

fn refused(response: &Response, status: u16, code: &str) -> Result<()> {
    say("came back", &format!("{} {}", response.status, response.text()));
    ensure!(response.status == status && response.code() == Some(code), "expected {status} {code}");
    Ok(())
}

fn withheld(response: &Response) -> Result<()> {
    let text = response.text();
    say("came back", text.lines().find(|line| line.contains("error")).unwrap_or("no error event"));
    ensure!(
        text.contains("fingerprint_match") && !text.contains("Codename") && !text.contains("Otter"),
        "leaked: {text}"
    );
    Ok(())
}

fn main() {
    let keep = std::env::args().any(|argument| argument == "--keep");
    let start = Instant::now();
    match run(keep) {
        Ok(()) if keep => {}
        Ok(()) => println!(
            "\n{} seven scenes, all true, in {:.1} s",
            paint("1;32", "demo passed:"),
            start.elapsed().as_secs_f32()
        ),
        Err(error) => {
            println!("\n{} {error:#}", paint("1;31", "demo failed:"));
            std::process::exit(1);
        }
    }
}

fn run(keep: bool) -> Result<()> {
    println!(
        "{}",
        paint("1", "Partywall: starting the control plane, Envoy with the filter, Chroma and a scripted LLM …")
    );
    let mut stack = Stack::builder(if keep { "run" } else { "demo" }).chroma().start()?;
    println!(
        "   two tenants onboarded from envoy/demo-policy.yaml: acme and beta; logs are in {}",
        stack.directory.display()
    );
    if keep {
        return wait(&stack);
    }
    let (acme, beta) = (mint::token("acme"), mint::token("beta"));
    identity(&stack, &acme)?;
    retrieval(&stack, &acme, &beta)?;
    leak(&stack, &acme, &beta)?;
    push(&stack, &acme)?;
    documents(&stack, &acme, &beta)?;
    farewell(&stack, &acme, &beta)?;
    outage(&mut stack)
}

fn documents(stack: &Stack, acme: &str, beta: &str) -> Result<()> {
    scene(5, "What beta's documents say, whatever the model makes of it");
    let text =
        "After the merger every turbine in the northern harbour is to be serviced by the night crew of pier seven.";
    stack.api("PUT", "/v1/tenants/beta/documents/minutes", Some(&json!({"text": text})))?;
    stack.converge()?;
    say("beta's document", text);
    let deltas = [
        "They wrote: every tur",
        "bine in the northern har",
        "bour is to be ",
        "serviced by the night crew",
        " of pier seven.",
    ];
    stack.llm.script("minutes?", Script::stream(&deltas));
    let cut = stack.chat(acme, "minutes?", true)?.text();
    say("acme gets", &cut.lines().filter(|line| !line.is_empty()).collect::<Vec<_>>().join("  "));
    ensure!(
        cut.contains("They wrote") && cut.contains("fingerprint_match") && !cut.contains("serviced"),
        "leaked: {cut}"
    );
    good("a copied run of words is cut; control plane and proxy hold keyed hashes of it, no text");
    ensure!(stack.chat(beta, "minutes?", true)?.body == events(&deltas).concat(), "beta's own stream was changed");
    good("to beta it passes, byte for byte");
    stack.llm.script("encode it", Script::stream(&["Sure: UHJvamVj", "dCBGYWxjb24g", "SGFyYm9y, as you asked."]));
    let cut = stack.chat(acme, "encode it", true)?.text();
    ensure!(cut.contains("fingerprint_match") && !cut.contains("as you asked"), "leaked: {cut}");
    good("beta's project name in base64 is found, too: so are hex, percent signs, rot13, leetspeak and look-alikes");
    Ok(())
}

fn farewell(stack: &Stack, acme: &str, beta: &str) -> Result<()> {
    scene(6, "A tenant leaves");
    say("operator", "partywall tenant offboard acme");
    let (done, receipt) = stack.cli(&["tenant", "offboard", "acme"])?;
    println!("{}", receipt.lines().map(|line| format!("     {line}\n")).collect::<String>());
    ensure!(done && receipt.contains("found 2") && receipt.contains("0 remain"), "not offboarded");
    refused(&stack.chat(acme, "hello?", false)?, 403, "tenant_unknown")?;
    let body = json!({"name": "docs", "get_or_create": true});
    let opened = stack.chroma(beta, "POST", "/collections").json(&body).send(stack.edge)?.json();
    let path = format!("/collections/{}/count", opened["id"].as_str().unwrap_or_default());
    let count = stack.chroma(beta, "GET", &path).send(stack.edge)?;
    ensure!(count.text() == "1", "beta: {}", count.text());
    good("nothing of acme remains, beta's record is where it was, and the receipt is signed");
    Ok(())
}

fn identity(stack: &Stack, acme: &str) -> Result<()> {
    scene(1, "Who are you? Every request is bound to a tenant, or refused");
    say("sent", "GET /v1/models without a token");
    refused(&stack.llm("GET", "/v1/models").send(stack.edge)?, 401, "token_missing")?;
    say("sent", "… with a token whose signature is wrong");
    let mut bad = acme.to_owned();
    bad.replace_range(bad.len() - 4.., "AAAA");
    refused(&stack.llm("GET", "/v1/models").bearer(&bad).send(stack.edge)?, 401, "token_invalid")?;
    say("sent", "… with a genuine token of a tenant that nobody onboarded");
    refused(&stack.llm("GET", "/v1/models").bearer(&mint::token("gamma")).send(stack.edge)?, 403, "tenant_unknown")?;
    ensure!(stack.llm.count() == 0, "a refused request reached the upstream");
    good("the upstream saw none of these");
    say("sent", "a chat completion of acme, claiming x-partywall-tenant: beta");
    let body = json!({"model": "demo", "messages": [{"role": "user", "content": "hello"}]});
    let request =
        stack.llm("POST", "/v1/chat/completions").bearer(acme).header("x-partywall-tenant", "beta").json(&body);
    let response = request.send(stack.edge)?;
    ensure!(response.body == completion("hello"), "unexpected answer {}", response.text());
    let Some(seen) = stack.llm.last() else { bail!("the upstream saw nothing") };
    let tenant = seen.header("x-partywall-tenant").unwrap_or("–");
    say(
        "the upstream saw",
        &format!("x-partywall-tenant: {tenant}, authorization: {}", seen.header("authorization").unwrap_or("–")),
    );
    ensure!(tenant == "acme" && seen.header("authorization") == Some("Bearer sk-the-platforms-own-key"), "not bound");
    good("bound to acme; the token never reached the upstream, the platform's own key did");
    Ok(())
}

fn retrieval(stack: &Stack, acme: &str, beta: &str) -> Result<()> {
    scene(2, "One Chroma collection, two tenants");
    let open = |token: &str| -> Result<String> {
        let body = json!({"name": "docs", "get_or_create": true});
        let made = stack.chroma(token, "POST", "/collections").json(&body).send(stack.edge)?;
        made.json()["id"].as_str().map(str::to_owned).with_context(|| format!("no collection: {}", made.text()))
    };
    let (ours, others) = (open(acme)?, open(beta)?);
    ensure!(ours != others, "the collection's id is not sealed");
    say("the collection's id is", &format!("{ours} to acme, {others} to beta: sealed to each"));
    let of = |operation: &str| format!("/collections/{ours}/{operation}");
    let theirs_of = |operation: &str| format!("/collections/{others}/{operation}");
    let add = json!({"ids": ["1", "2"], "embeddings": [[1.0, 0.0], [0.9, 0.1]], "documents": ["acme's merger plan", "acme's payroll"]});
    say("acme sends", &format!("add {add}"));
    stack.tap.take();
    let added = stack.chroma(acme, "POST", &of("add")).json(&add).send(stack.edge)?;
    ensure!(added.status == 201, "add: {}", added.text());
    say("Chroma received", &stack.tap.take_body());
    let other = json!({"ids": ["1"], "embeddings": [[0.0, 1.0]], "documents": ["beta's price list"]});
    ensure!(
        stack.chroma(beta, "POST", &theirs_of("upsert")).json(&other).send(stack.edge)?.status == 200,
        "upsert of beta"
    );
    let query = json!({"query_embeddings": [[1.0, 0.0]], "n_results": 5});
    let mine = stack.chroma(acme, "POST", &of("query")).json(&query).send(stack.edge)?.json();
    say("acme gets", &mine["documents"].to_string());
    ensure!(
        mine["documents"] == json!([["acme's merger plan", "acme's payroll"]]) && mine["ids"] == json!([["1", "2"]]),
        "acme: {mine}"
    );
    let crafted = json!({"query_embeddings": [[1.0, 0.0]], "n_results": 5,
        "where": {"$or": [{"tenant_id": {"$eq": "t_acme"}}, {"tenant_id": {"$ne": "nobody"}}]}});
    say("beta sends", &format!("query {crafted}"));
    stack.tap.take();
    let theirs = stack.chroma(beta, "POST", &theirs_of("query")).json(&crafted).send(stack.edge)?.json();
    say("Chroma received", &stack.tap.take_body());
    say("beta gets", &theirs["documents"].to_string());
    ensure!(theirs["documents"] == json!([["beta's price list"]]), "beta: {theirs}");
    good("beta sees only its own, and its id \"1\" did not overwrite acme's");
    Ok(())
}

fn leak(stack: &Stack, acme: &str, beta: &str) -> Result<()> {
    scene(3, "The model leaks, split over several chunks");
    stack.fingerprint("beta", "Project Falcon Harbor")?;
    let deltas = ["Of course: ", "pro", "ject fal", "con-HAR", "bor", " ships in May."];
    stack.llm.script("what does beta build?", Script::stream(&deltas).paced(40));
    say("the LLM streams", &format!("{deltas:?}"));
    let cut = stack.chat(acme, "what does beta build?", true)?;
    let text = cut.text();
    say(
        "acme gets",
        &text
            .lines()
            .filter(|l| l.contains("content\":\"O") || l.contains("error") || l.contains("DONE"))
            .collect::<Vec<_>>()
            .join("  "),
    );
    ensure!(
        text.contains("Of course: ") && text.contains("fingerprint_match") && text.ends_with("data: [DONE]\n\n"),
        "not cut: {text}"
    );
    ensure!(!text.to_lowercase().contains("\"pro") && !text.contains("fal"), "a byte leaked: {text}");
    good("cut before the first byte of the phrase, with an error event that OpenAI's client raises");
    let own = stack.chat(beta, "what does beta build?", true)?;
    ensure!(own.body == events(&deltas).concat(), "beta's own stream was changed");
    good("the same stream passes to beta, byte for byte");
    let words = ["The ", "weather ", "is ", "fine."];
    stack.llm.script("weather", Script::stream(&words));
    ensure!(stack.chat(acme, "weather", true)?.body == events(&words).concat(), "a clean stream was changed");
    good("a clean stream passes to acme, byte for byte");
    Ok(())
}

fn push(stack: &Stack, acme: &str) -> Result<()> {
    scene(4, "A new fingerprint, while a stream runs");
    let deltas = ["Codename ", "Silver ", "Otter ", "it ", "is."];
    stack.llm.script("codename?", Script::stream(&deltas).paced(150));
    let (first, took) = std::thread::scope(|scope| -> Result<_> {
        let stream = scope.spawn(|| stack.chat(acme, "codename?", true));
        std::thread::sleep(Duration::from_millis(200));
        let start = Instant::now();
        stack.fingerprint("beta", "Codename Silver Otter")?;
        let took = start.elapsed();
        Ok((stream.join().map_err(|_| anyhow::anyhow!("the stream's thread died"))??, took))
    })?;
    ensure!(first.body == events(&deltas).concat(), "the running stream was changed: {}", first.text());
    say("pushed", &format!("in force on every worker after {} ms, in the middle of a stream", took.as_millis()));
    good("the running stream kept the snapshot that it began with");
    let next = stack.chat(acme, "codename?", true)?;
    withheld(&next)?;
    good("the next response is guarded already");
    let events: Value = stack.api("GET", "/v1/events?outcome=blocked&tenant=acme", None)?;
    say("the control plane has", &events[0].to_string());
    ensure!(events[0]["hits"][0]["fingerprint"].is_number(), "no record");
    Ok(())
}

fn outage(stack: &mut Stack) -> Result<()> {
    scene(7, "Pull the cable");
    ensure!(stack.cli(&["tenant", "add", "gamma"])?.0, "gamma is not onboarded");
    stack.converge()?;
    let gamma = &mint::token("gamma");
    good("another tenant comes: gamma");
    stack.stop_control();
    let on = stack.chat(gamma, "still there?", false)?;
    ensure!(on.body == completion("still there?"), "traffic stopped: {}", on.text());
    good("the control plane is stopped: traffic goes on");
    withheld(&stack.chat(gamma, "codename?", true)?)?;
    stack.llm.script("whole", Script::new("application/json", vec![completion("it is Codename Silver Otter")]));
    refused(&stack.chat(gamma, "whole", false)?, 403, "fingerprint_match")?;
    good("and stays guarded; where nothing had left yet, the refusal is a clean 403");
    stack.stop_envoy();
    stack.start_envoy()?;
    let denied = stack.chat(gamma, "hello?", false)?;
    refused(&denied, 503, "snapshot_missing")?;
    good("Envoy restarted without it: everything is refused");
    stack.start_control()?;
    stack.converge()?;
    ensure!(stack.chat(gamma, "back?", false)?.body == completion("back?"), "did not recover");
    good("the control plane is back: so is traffic");
    Ok(())
}

fn wait(stack: &Stack) -> Result<()> {
    stack.fingerprint("beta", "Project Falcon Harbor")?;
    let edge = format!("http://127.0.0.1:{}", stack.edge);
    println!("\nUp. Try:\n");
    println!("  ACME={}", mint::sign("HS256", &json!({"alg": "HS256"}), &long("acme")));
    println!("  BETA={}\n", mint::sign("HS256", &json!({"alg": "HS256"}), &long("beta")));
    println!("  # the LLM echoes its prompt: to acme, beta's fingerprint is withheld; to beta it passes");
    println!(
        "  curl -N {edge}/v1/chat/completions -H 'host: llm.test' -H \"authorization: Bearer $ACME\" -H 'content-type: application/json' \\"
    );
    println!(
        "    -d '{{\"model\":\"demo\",\"stream\":true,\"messages\":[{{\"role\":\"user\",\"content\":\"Tell me of Project Falcon Harbor\"}}]}}'\n"
    );
    println!("  # Chroma");
    println!(
        "  curl {edge}/api/v2/tenants/default_tenant/databases/default_database/collections -H 'host: chroma.test' -H \"authorization: Bearer $ACME\" \\"
    );
    println!("    -H 'content-type: application/json' -d '{{\"name\":\"docs\",\"get_or_create\":true}}'\n");
    println!("  # the control plane");
    println!("  export PARTYWALL_URL=http://127.0.0.1:{} PARTYWALL_TOKEN={}", stack.control, stack.admin_token);
    println!(
        "  target/release/partywall status; target/release/partywall events list; target/release/partywall sidecars"
    );
    println!("  curl -s http://127.0.0.1:{}/stats/prometheus | grep partywall\n\nCtrl-C ends everything.", stack.admin);
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

fn long(tenant: &str) -> Value {
    let mut claims = mint::claims(tenant);
    claims["exp"] = json!(mint::now() + 86400);
    claims
}
