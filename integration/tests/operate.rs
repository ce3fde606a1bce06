//! What an operator sees of a daemon while it runs: events as they happen, the log's level, metrics, the API's document, what `doctor` says.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use holdfast_integration::Director;
use holdfast_testkit::lab::{Lab, Nginx, Topology, wait_until};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(60);

const CONFIG: &str = "\
daemon: {http: {listen: \"10.77.0.11:9650\"}}
vrrp:
  trackers: {number: {file: {path: /run/number}}}
  groups: {all: {instances: [edge, edge6]}}
  instances:
    edge: {interface: eth0, vrid: 51, interval: 200ms, addresses: [10.77.0.10/24], track: [{tracker: number, weight: 1}]}
    edge6: {interface: eth0, vrid: 51, interval: 200ms, addresses: [\"fe80::33/64\", \"fd00:77::10/64\"]}
services:
  web:
    listen: tcp 10.77.0.10:80
    forward: nat
    check: {tcp: {}, interval: 3s, fast_interval: 300ms, down_interval: 300ms, timeout: 2900ms, spread: 0s, rise: 1}
    real_servers: {web1: 10.77.0.21:80, web2: 10.77.0.99:80}
";

fn start() -> Result<(Lab, Nginx, Director)> {
    let lab = Lab::with(Topology::one_arm().webs(1))?;
    let web = Nginx::start(lab.web(1), 80)?;
    let director = Director::start(lab.lb1(), CONFIG)?;
    director.wait_server("web", "web1", "up", LIMIT)?;
    director.wait_server("web", "web2", "down", LIMIT)?;
    for name in ["edge", "edge6"] {
        wait_until(LIMIT, &format!("{name} to be active, with its addresses"), || {
            let found = director.instance(name).ok()?;
            (found.state == "active" && found.holds_addresses).then_some(())
        })?;
    }
    Ok((lab, web, director))
}

/// Asks on the control socket: the status and the body.
fn ask(socket: &Path, method: &str, path: &str, body: &str) -> Result<(u16, String)> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(LIMIT))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: holdfast\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").with_context(|| text.clone())?;
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
    Ok((status.with_context(|| head.to_owned())?, body.to_owned()))
}

fn json(socket: &Path, path: &str) -> Result<Value> {
    let (status, body) = ask(socket, "GET", path, "")?;
    ensure!(status == 200, "{path}: {status} {body}");
    Ok(serde_json::from_str(&body)?)
}

/// Whether `value` is of `schema`, as far as the document's schemas go: an error says where not.
fn conforms(value: &Value, schema: &Value, all: &Value, at: &str) -> Result<()> {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap_or_default();
        return conforms(value, &all[name], all, at);
    }
    if let Some(any) = schema["anyOf"].as_array() {
        ensure!(
            any.iter().any(|one| conforms(value, one, all, at).is_ok()),
            "{at}: {value} is none of {schema}"
        );
        return Ok(());
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        // Anything, as in diagnostics.
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => return Ok(()),
    };
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    ensure!(kinds.contains(&kind), "{at} is {kind}, not {kinds:?}");
    match value {
        Value::Array(items) => {
            let of_all = &schema["items"];
            for (index, item) in items.iter().enumerate() {
                let of_item = schema["prefixItems"].get(index).unwrap_or(of_all);
                conforms(item, of_item, all, &format!("{at}[{index}]"))?;
            }
        }
        Value::Object(fields) => {
            for required in schema["required"].as_array().into_iter().flatten() {
                let key = required.as_str().unwrap_or_default();
                ensure!(fields.contains_key(key), "{at}: no {key}");
            }
            for (key, field) in fields {
                let known = schema["properties"].get(key);
                let of_field = known.unwrap_or_else(|| &schema["additionalProperties"]);
                ensure!(!of_field.is_null(), "{at}.{key} is in no document");
                conforms(field, of_field, all, &format!("{at}.{key}"))?;
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    Ok(())
}

/// Every operation of the document is asked for, and every answer is of its schema: refusals, too.
#[test]
fn the_document_says_what_the_handlers_answer() -> Result<()> {
    let (_lab, _web, director) = start()?;
    let socket = director.socket();
    let document = json(socket, "/v1/openapi.json")?;
    let schemas = &document["components"]["schemas"];
    let paths = document["paths"].as_object().context("paths")?;
    let mut asked = 0;
    for (path, operations) in paths {
        for (method, operation) in operations.as_object().context("operations")? {
            let on_socket = operation["description"]
                .as_str()
                .is_some_and(|text| text.contains("control socket"));
            if !on_socket || path.ends_with("/stream") {
                continue;
            }
            let (to, body) = call(method, path);
            let (status, answer) = ask(socket, &method.to_uppercase(), &to, body)?;
            let at = format!("{method} {path}");
            if method == "delete" {
                // It has no connections, and may be gone before the next operation of the document asks for it.
                director.cli(&["server", "add", "web", "10.77.0.99:80", "--name", "web2"])?;
            }
            // What another node answers its own document says; tests/two_nodes.rs asks some.
            let passed_on = path.starts_with("/v1/nodes/{");
            if path == "/metrics" {
                ensure!(status == 200, "{at}: {status}");
                continue;
            }
            let answer: Value =
                serde_json::from_str(&answer).with_context(|| format!("{at}: {answer}"))?;
            if !passed_on {
                ensure!(status == 200, "{at}: {status} {answer}");
                let schema =
                    &operation["responses"]["200"]["content"]["application/json"]["schema"];
                ensure!(!schema.is_null(), "{at} has no schema");
                conforms(&answer, schema, schemas, &at)?;
                asked += 1;
            }
            // And what it refuses, where it has something to refuse.
            if path.contains('{') {
                let (status, answer) = ask(
                    socket,
                    &method.to_uppercase(),
                    &path.replace('{', "no-").replace('}', ""),
                    body,
                )?;
                ensure!(status == 404, "{at}: {status}");
                let problem = &operation["responses"]["default"]["content"]["application/problem+json"]
                    ["schema"];
                conforms(&serde_json::from_str(&answer)?, problem, schemas, &at)?;
            }
        }
    }
    ensure!(asked >= 18, "only {asked} operations were asked for");
    // A configuration that is invalid is a problem, too, with the diagnostics' codes.
    let (status, answer) = ask(socket, "POST", "/v1/plan", "services: {web: {lisen: x}}\n")?;
    ensure!(status == 422, "{status} {answer}");
    let problem: Value = serde_json::from_str(&answer)?;
    conforms(&problem, &schemas["Problem"], schemas, "plan")?;
    let codes: Vec<_> =
        problem["diagnostics"].as_array().into_iter().flatten().map(|one| &one["code"]).collect();
    ensure!(codes.contains(&&Value::from("HF0201")), "{codes:?}");
    Ok(())
}

/// The path with real names in it, and a body that is taken.
fn call(method: &str, path: &str) -> (String, &'static str) {
    // The edge is given away and taken back, in the document's order: failover, release, resume.
    let filled =
        path.replace("{name}", "all").replace("{service}", "web").replace("{server}", "web2");
    let body = match (method, path.rsplit('/').next().unwrap_or_default()) {
        ("post", "servers") => r#"{"address": "10.77.0.98:80", "name": "web3"}"#,
        ("delete", _) => r#"{"timeout_ms": 600000}"#,
        ("post", "weight") => r#"{"percent": 50}"#,
        ("post", "drain") => r#"{"reason": "a test"}"#,
        ("post", "log") => r#"{"filter": "info"}"#,
        ("post", "plan") => CONFIG,
        _ => "",
    };
    (filled, body)
}

#[test]
fn events_are_streamed_from_where_a_reader_was() -> Result<()> {
    let (lab, _web, director) = start()?;
    let open = |request: &str| -> Result<BufReader<UnixStream>> {
        let mut stream = UnixStream::connect(director.socket())?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.write_all(request.as_bytes())?;
        Ok(BufReader::new(stream))
    };
    let mut stream = open("GET /v1/events/stream?since=1 HTTP/1.1\r\nHost: h\r\n\r\n")?;
    let mut read = |what: &str| -> Result<String> {
        let mut line = String::new();
        while !line.contains(what) {
            line.clear();
            ensure!(stream.read_line(&mut line)? > 0, "the stream ends before {what}");
        }
        Ok(line)
    };
    read("content-type: text/event-stream")?;
    // Replayed from the ring, but for the first.
    let first = read("id: ")?;
    assert_eq!(first.trim(), "id: 2");
    read("event: server.down")?;
    director.cli(&["server", "drain", "web", "web1", "--reason", "as it happens"])?;
    read("event: server.draining")?;
    let data = read("data: ")?;
    let event: Value = serde_json::from_str(data.trim_start_matches("data: "))?;
    assert_eq!(
        (&event["subject"], &event["reason"]),
        (&"web/web1".into(), &"as it happens".into())
    );
    let number = event["number"].as_u64().context("a number")?;
    // A browser that comes back says what it had last.
    let mut again = open(&format!(
        "GET /v1/events/stream HTTP/1.1\r\nHost: h\r\nLast-Event-ID: {}\r\n\r\n",
        number - 1
    ))?;
    let mut line = String::new();
    while !line.starts_with("id: ") {
        line.clear();
        ensure!(again.read_line(&mut line)? > 0, "no event");
    }
    assert_eq!(line.trim(), format!("id: {number}"));
    // So many at once, and no more: whoever comes too late is told.
    let mut more = (0..20)
        .map(|_| open("GET /v1/events/stream HTTP/1.1\r\nHost: h\r\n\r\n"))
        .collect::<Result<Vec<_>>>()?;
    let mut refused = 0;
    for one in &mut more {
        let mut line = String::new();
        one.read_line(&mut line)?;
        ensure!(line.starts_with("HTTP/1.1 200") || line.starts_with("HTTP/1.1 503"), "{line:?}");
        refused += usize::from(line.contains("503"));
    }
    assert_eq!(refused, 6, "16 streams in all, and two were there");
    // The command line follows by the same ring.
    let mut follow = Command::new("timeout")
        .args(["60", "sh", "-c", &format!("{} events -f -o json", director.command_line())])
        .stdout(Stdio::piped())
        .spawn()?;
    let lines = BufReader::new(follow.stdout.take().context("its output")?).lines();
    director.cli(&["server", "ready", "web", "web1"])?;
    let mut seen = false;
    for line in lines {
        let event: Value = serde_json::from_str(&line?)?;
        if event["kind"] == "server.ready" {
            seen = true;
            break;
        }
    }
    ensure!(seen, "`holdfast events -f` has not told it");
    follow.kill()?;
    follow.wait()?;
    drop(lab);
    Ok(())
}

#[test]
fn the_log_is_logfmt_and_its_level_changes_while_the_daemon_runs() -> Result<()> {
    let (_lab, _web, director) = start()?;
    let debug = |log: &str| log.lines().filter(|line| line.contains(" level=debug ")).count();
    assert_eq!(debug(&director.process().log()), 0);
    assert_eq!(director.cli(&["log", "level"])?, "info (logfmt)\n");
    assert_eq!(director.cli(&["log", "level", "debug"])?, "debug (logfmt)\n");
    // What is no HTTP is worth a word to who debugs.
    UnixStream::connect(director.socket())?.write_all(b"\0\0\0\r\n\r\n")?;
    wait_until(LIMIT, "lines of debugging", || {
        (debug(&director.process().log()) > 0).then_some(())
    })?;
    let (code, _, stderr) = director.try_cli(&["log", "level", "loud=very=much"])?;
    ensure!(code == 1 && stderr.contains("loud=very=much"), "{code}: {stderr}");
    // A slip would have the log silent.
    let (code, _, stderr) = director.try_cli(&["log", "level", "inof"])?;
    ensure!(code == 1 && stderr.contains("\"inof\" is no level: error, warn"), "{code}: {stderr}");
    assert_eq!(director.cli(&["log", "level"])?, "debug (logfmt)\n");
    let answer: Value =
        serde_json::from_str(&director.cli(&["log", "level", "info", "-o", "json"])?)?;
    assert_eq!((&answer["filter"], &answer["changed"]), (&"info".into(), &true.into()));
    for line in director.process().log().lines() {
        ensure!(
            line.starts_with("time=20") && line.contains(" level=") && line.contains(" msg=\""),
            "{line}"
        );
    }
    Ok(())
}

#[test]
fn metrics_are_what_promtool_takes_and_as_many_as_the_configuration_has_objects() -> Result<()> {
    let (_lab, _web, director) = start()?;
    let (status, text) = ask(director.socket(), "GET", "/metrics", "")?;
    assert_eq!(status, 200);
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("promtool")?;
    promtool.stdin.take().context("its input")?.write_all(text.as_bytes())?;
    let said = promtool.wait_with_output()?;
    ensure!(
        said.status.success() && said.stderr.is_empty(),
        "{}{}\n{text}",
        String::from_utf8_lossy(&said.stdout),
        String::from_utf8_lossy(&said.stderr)
    );
    for line in [
        r#"holdfast_vrrp_state{instance="edge",interface="eth0",vrid="51",family="ipv4",state="active"} 1"#,
        r#"holdfast_vrrp_priority{instance="edge",kind="configured"} 100"#,
        r#"holdfast_vrrp_holds_addresses{instance="edge6",interface="eth0",vrid="51",family="ipv6"} 1"#,
        r#"holdfast_service_servers{service="web",state="down"} 1"#,
        r#"holdfast_server_up{service="web",server="web2"} 0"#,
        r#"holdfast_server_admin_state{service="web",server="web1",state="ready"} 1"#,
        r#"holdfast_server_weight{service="web",server="web1",kind="configured"} 1"#,
        r#"holdfast_server_connections{service="web",server="web1",kind="active"} 0"#,
        r#"holdfast_server_connections{service="web",server="web1",kind="persistent"} 0"#,
        r#"holdfast_vip_announced{instance="edge",vip="10.77.0.10"} 1"#,
        r#"holdfast_vip_announced{instance="edge6",vip="fd00:77::10"} 1"#,
        r#"holdfast_vrrp_fate_up{instance="edge6",interface="eth0",vrid="51",family="ipv6"} 0"#,
        "holdfast_vrrp_fate_problems 0",
        "holdfast_config_last_reload_successful 1",
        r#"holdfast_task_panics_total{result="check"} 0"#,
    ] {
        ensure!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
    for (begin, least) in [
        (r#"holdfast_checks_total{result="passed",reason="L4OK"} "#, 1),
        (r#"holdfast_vrrp_adverts_total{instance="edge",direction="sent"} "#, 1),
        (
            r#"holdfast_vrrp_transitions_total{instance="edge",interface="eth0",vrid="51",family="ipv4",to="active"} "#,
            1,
        ),
        (
            r#"holdfast_vrrp_last_transition_timestamp_seconds{instance="edge",interface="eth0",vrid="51",family="ipv4"} "#,
            1_700_000_000,
        ),
        (r#"holdfast_server_new_connections_total{service="web",server="web1"} "#, 0),
        ("holdfast_check_duration_seconds_count ", 1),
    ] {
        let found = text
            .lines()
            .find(|line| line.starts_with(begin))
            .with_context(|| format!("{begin} in\n{text}"))?;
        let value: u64 =
            found.rsplit(' ').next().and_then(|value| value.parse().ok()).context("a number")?;
        ensure!(value >= least, "{found}");
    }
    // What happens adds no series: only objects do.
    let series = |text: &str| text.lines().filter(|line| !line.starts_with('#')).count();
    director.cli(&["server", "drain", "web", "web1"])?;
    director.cli(&["vrrp", "release", "all"])?;
    director.cli(&["vrrp", "resume", "all"])?;
    director.wait_instance("edge", "active", LIMIT)?;
    let (_, after) = ask(director.socket(), "GET", "/metrics", "")?;
    let (before, now) = (series(&text), series(&after));
    ensure!(now <= before + 4, "{before} series have become {now}:\n{after}");
    Ok(())
}

#[test]
fn doctor_finds_what_is_in_the_way_and_changes_nothing() -> Result<()> {
    let (lab, _web, mut director) = start()?;
    let file = lab.lb1().folder().join("holdfast.yaml");
    let doctor = |socket: &Path| -> Result<(i32, Value)> {
        let program = holdfast_integration::Programs::find()?.holdfast;
        let output = lab.lb1().try_run([
            program.as_os_str(),
            "--socket".as_ref(),
            socket.as_os_str(),
            "-o".as_ref(),
            "json".as_ref(),
            "doctor".as_ref(),
            "--node".as_ref(),
            "lb1".as_ref(),
            file.as_os_str(),
        ])?;
        let report = serde_json::from_str(&output.stdout).with_context(|| format!("{output:?}"))?;
        Ok((output.code, report))
    };
    let says = |report: &Value, grade: &str, word: &str| {
        let findings = report["findings"].as_array().cloned().unwrap_or_default();
        findings.iter().any(|one| {
            one["grade"] == grade && one["found"].as_str().is_some_and(|found| found.contains(word))
        })
    };
    let socket = director.socket().to_owned();
    let (code, report) = doctor(&socket)?;
    ensure!(says(&report, "ok", "holdfastd") && says(&report, "ok", "IPVS 1."), "{report:#}");
    ensure!(code == 0, "{report:#}");
    director.kill()?;
    // Without a daemon, with its port taken, a virtual address left behind, and keepalived's name in the table of processes.
    let node = lab.lb1();
    let taken =
        node.enter(|| ["10.77.0.11:9650", "0.0.0.0:112"].map(std::net::TcpListener::bind))?;
    ensure!(taken.iter().all(std::result::Result::is_ok), "{taken:?}");
    let keepalived = node.folder().join("keepalived");
    std::fs::copy("/bin/sleep", &keepalived)?;
    let rival = node.spawn("rival", [keepalived.as_os_str(), "600".as_ref()])?;
    let found = wait_until(LIMIT, "the rival to be found", || {
        let (code, report) = doctor(&socket).ok()?;
        says(&report, "fail", "keepalived runs").then_some((code, report))
    });
    let (code, report) = found?;
    assert_eq!(code, 1);
    ensure!(says(&report, "warn", "no holdfastd answers"), "{report:#}");
    ensure!(says(&report, "warn", "the virtual address 10.77.0.10 is on eth0"), "{report:#}");
    ensure!(says(&report, "fail", "listen on 10.77.0.11:9650"), "{report:#}");
    ensure!(says(&report, "warn", "another program has TCP port 112"), "{report:#}");
    // One that somebody else has put there.
    node.run(["ip", "address", "del", "10.77.0.10/24", "dev", "eth0"])?;
    node.run(["ip", "address", "add", "10.77.0.10/24", "dev", "eth0"])?;
    let (_, report) = doctor(&socket)?;
    ensure!(says(&report, "fail", "HF0715"), "{report:#}");
    let table = std::fs::read_to_string("/proc/self/status");
    drop((taken, rival, table));
    if report["healthy"] != false {
        bail!("{report:#}");
    }
    Ok(())
}
