//! The control socket and the read-only HTTP listener: who may speak, what is refused and how, and what a client that misbehaves
//! costs others.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holdfast_control::Problem;
use holdfast_integration::{Director, Programs, saved_table};
use holdfast_testkit::lab::{Lab, Node, Topology, wait_until};
use nix::sys::signal::Signal;
use serde_json::Value;

/// Nothing here takes longer.
const LIMIT: Duration = Duration::from_secs(60);

/// The longest body that is taken, in bytes (docs/architecture.md, "Limits").
const BODY_MAX: usize = 64 << 10;

const SERVICES: &str = "services: {web: {listen: tcp 10.77.0.10:80, forward: nat, real_servers: {web1: 10.77.0.21:80}}}\n";

/// An answer, as far as these tests look at it.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn read(mut stream: impl Read) -> Result<Self> {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).context("read the answer")?;
        let text = String::from_utf8_lossy(&bytes);
        let (head, body) = text.split_once("\r\n\r\n").with_context(|| format!("{text:?}"))?;
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
        let status = status.with_context(|| format!("no status in {head:?}"))?;
        Ok(Self { status, head: head.to_lowercase(), body: body.to_owned() })
    }

    /// The code of a refusal, which must be a problem of RFC 9457 that bears the answer's status and says something.
    fn problem(&self) -> Result<String> {
        ensure!(self.head.contains("content-type: application/problem+json"), "{self:?}");
        let problem: Problem = serde_json::from_str(&self.body)?;
        ensure!(problem.status == self.status, "{self:?}");
        ensure!(problem.detail.len() > 10 && !problem.title.is_empty(), "{self:?}");
        Ok(problem.code)
    }
}

/// Says `bytes` on the socket and reads until the daemon closes.
fn say(socket: &Path, bytes: &[u8]) -> Result<Answer> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    stream.write_all(bytes)?;
    Answer::read(stream)
}

fn request(method: &str, path: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: holdfast\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn start(services: &str) -> Result<(Lab, Director)> {
    let lab = Lab::with(Topology::one_arm().webs(0))?;
    let director = Director::start(lab.lb1(), services)?;
    Ok((lab, director))
}

/// Mode and group of a file.
fn rights(path: &Path) -> Result<(u32, u32)> {
    let metadata = std::fs::metadata(path)?;
    ensure!(metadata.file_type().is_socket(), "{} is no socket", path.display());
    Ok((metadata.mode() & 0o7777, metadata.gid()))
}

/// Runs `holdfast status` as the user `nobody` with this group: its exit status and standard error.
fn as_nobody(node: &Node, director: &Director, group: &str) -> Result<(i32, String)> {
    let programs = Programs::find()?;
    // The build's folder need not be open to everybody.
    let program = node.folder().join("holdfast");
    std::fs::copy(programs.holdfast, &program)?;
    let output = node.try_run([
        "setpriv".as_ref(),
        "--reuid=nobody".as_ref(),
        format!("--regid={group}").as_ref(),
        "--clear-groups".as_ref(),
        program.as_os_str(),
        "--socket".as_ref(),
        director.socket().as_os_str(),
        "status".as_ref(),
    ])?;
    Ok((output.code, output.stderr))
}

#[test]
fn without_a_group_the_socket_is_root_alone() -> Result<()> {
    let (lab, mut director) = start(SERVICES)?;
    assert_eq!(rights(director.socket())?, (0o600, 0));
    let (code, stderr) = as_nobody(lab.lb1(), &director, "nogroup")?;
    assert_eq!(code, 1, "{stderr}");
    ensure!(
        stderr.contains("not allowed: run as root or as a member of the socket's group"),
        "{stderr}"
    );
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    director.stop()?;
    ensure!(!director.socket().exists(), "the socket's file is left behind");
    Ok(())
}

#[test]
fn with_a_group_its_members_may_speak_and_others_not() -> Result<()> {
    let (lab, director) = start(&format!("daemon: {{control: {{group: operator}}}}\n{SERVICES}"))?;
    let operator = nix::unistd::Group::from_name("operator")?.context("Debian has this group")?;
    assert_eq!(rights(director.socket())?, (0o660, operator.gid.as_raw()));
    let (code, stderr) = as_nobody(lab.lb1(), &director, "operator")?;
    assert_eq!((code, stderr.as_str()), (0, ""));
    let (code, stderr) = as_nobody(lab.lb1(), &director, "nogroup")?;
    assert_eq!(code, 1, "{stderr}");
    Ok(())
}

/// Everybody may look, root may do everything, and the kernel says who is who.
#[test]
fn others_read_where_they_are_allowed_to_and_change_nothing() -> Result<()> {
    let (lab, director) = start(&format!("daemon: {{control: {{others: read}}}}\n{SERVICES}"))?;
    assert_eq!(rights(director.socket())?.0, 0o666);
    let (code, stderr) = as_nobody(lab.lb1(), &director, "nogroup")?;
    assert_eq!((code, stderr.as_str()), (0, ""));
    let ask = |method: &str, path: &str| -> Result<Answer> {
        let output = lab.lb1().run([
            "setpriv",
            "--reuid=nobody",
            "--regid=nogroup",
            "--clear-groups",
            "curl",
            "-sS",
            "-i",
            "-X",
            method,
            "--unix-socket",
            director.socket().to_str().context("UTF-8")?,
            &format!("http://holdfast{path}"),
        ])?;
        Answer::read(output.stdout.as_bytes())
    };
    for path in ["/v1/status", "/v1/events", "/v1/services/web", "/v1/openapi.json", "/metrics"] {
        assert_eq!(ask("GET", path)?.status, 200, "{path}");
    }
    for (method, path) in [
        ("GET", "/v1/plan"),
        ("POST", "/v1/plan"),
        ("POST", "/v1/reload"),
        ("POST", "/v1/log"),
        ("POST", "/v1/services/web/servers/web1/drain"),
        ("DELETE", "/v1/services/web/servers/web1?now=true"),
    ] {
        let answer = ask(method, path)?;
        assert_eq!(
            (answer.status, answer.problem()?.as_str()),
            (403, "not_allowed"),
            "{method} {path}"
        );
    }
    let service = director.service("web")?;
    assert_eq!((service.servers.len(), service.servers[0].admin.as_str()), (1, "ready"));
    // Whoever asks too often is told so, and costs others nothing: a hundred at once and twenty a second are allowed, and this is more
    // for as long as a question takes less than 40 ms.
    let storm = format!(
        "setpriv --reuid=nobody --regid=nogroup --clear-groups curl -sS -o /dev/null -w '%{{http_code}}\\n' --unix-socket {} 'http://holdfast/v1/events#[1-600]'",
        director.socket().display()
    );
    let codes = lab.lb1().sh(&storm)?.stdout;
    ensure!(
        codes.lines().any(|code| code == "200") && codes.lines().any(|code| code == "429"),
        "{codes}"
    );
    director.status()?;
    let metrics = say(director.socket(), &request("GET", "/metrics", b""))?.body;
    for result in ["too_fast", "not_allowed"] {
        let line = format!("holdfast_api_requests_total{{result=\"{result}\"}} ");
        let counted = metrics.lines().find_map(|found| found.strip_prefix(&line));
        ensure!(counted.is_some_and(|count| count != "0"), "{line}: {counted:?}");
    }
    Ok(())
}

#[test]
fn every_refusal_is_a_problem_with_a_code_and_changes_nothing() -> Result<()> {
    let (lab, director) = start(SERVICES)?;
    wait_until(LIMIT, "the table", || (saved_table(lab.lb1()).ok()?.len() == 2).then_some(()))?;
    let servers = "/v1/services/web/servers";
    let long = vec![b' '; BODY_MAX + 1];
    let cases: &[(&str, &str, &[u8], u16, &str)] = &[
        ("GET", "/", b"", 404, "no_such_path"),
        ("GET", "/v2/status", b"", 404, "no_such_path"),
        ("GET", "/v1/status/more", b"", 404, "no_such_path"),
        ("GET", "/healthz", b"", 404, "no_such_path"),
        ("POST", "/v1/log", br#"{"filter": "loud=very=much"}"#, 400, "bad_filter"),
        ("GET", "/v1/events/stream?since=x", b"", 400, "bad_query"),
        ("GET", "/v1/services/none", b"", 404, "no_such_service"),
        ("GET", "/v1/services/..%2f..", b"", 404, "no_such_service"),
        ("GET", "/v1/services/%ff", b"", 400, "bad_request"),
        ("POST", "/v1/status", b"", 405, "method_not_allowed"),
        ("DELETE", "/v1/services/web", b"", 405, "method_not_allowed"),
        ("BREW", "/v1/status", b"", 405, "method_not_allowed"),
        ("POST", servers, b"", 400, "bad_body"),
        ("POST", servers, b"\xff\xfe\x00", 400, "bad_body"),
        ("POST", servers, b"[1, 2]", 400, "bad_body"),
        ("POST", servers, br#"{"address": 80}"#, 400, "bad_body"),
        ("POST", servers, br#"{"address": "10.77.0.22:80", "wieght": 2}"#, 400, "bad_body"),
        ("POST", servers, br#"{"address": "10.77.0.22:80", "weight": -1}"#, 400, "bad_body"),
        ("POST", servers, br#"{"address": "10.77.0.22"}"#, 400, "bad_server"),
        ("POST", servers, br#"{"address": "10.77.0.22:80", "name": "web1"}"#, 409, "name_taken"),
        ("POST", servers, br#"{"address": "10.77.0.21:80", "name": "b"}"#, 409, "address_taken"),
        ("POST", servers, &long, 413, "body_too_large"),
        ("POST", "/v1/services/web/servers/web9/drain", b"", 404, "no_such_server"),
        ("POST", "/v1/services/web/servers/web1/drain", br#"{"timeout": "1s"}"#, 400, "bad_body"),
        ("DELETE", "/v1/services/web/servers/web1?now=perhaps", b"", 400, "bad_query"),
        ("DELETE", "/v1/services/web/servers/web1?nwo=true", b"", 400, "bad_query"),
    ];
    for (method, path, body, status, code) in cases {
        let answer = say(director.socket(), &request(method, path, body))
            .with_context(|| format!("{method} {path}"))?;
        assert_eq!(answer.status, *status, "{method} {path}: {answer:?}");
        assert_eq!(answer.problem()?, *code, "{method} {path}: {answer:?}");
    }
    let service = director.service("web")?;
    assert_eq!((service.servers.len(), service.servers[0].state.as_str()), (1, "up"));
    assert_eq!(saved_table(lab.lb1())?.len(), 2);
    // A body of just the longest is read: what is refused is what it says.
    let longest = vec![b' '; BODY_MAX];
    let answer = say(director.socket(), &request("POST", servers, &longest))?;
    assert_eq!((answer.status, answer.problem()?.as_str()), (400, "bad_body"));
    Ok(())
}

/// What is no HTTP costs its own connection.
#[test]
fn garbage_is_answered_or_dropped_and_the_daemon_works_on() -> Result<()> {
    let (_lab, director) = start(SERVICES)?;
    let endless = [b"GET / HTTP/1.1\r\nX: ".to_vec(), vec![b'a'; 2 << 20]].concat();
    let many = [b"GET / HTTP/1.1\r\n".to_vec(), b"A: b\r\n".repeat(10_000)].concat();
    let garbage: [&[u8]; 8] = [
        b"\0\0\0\0\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET /v1/status HTTP/9.9\r\n\r\n",
        b"POST /v1/services/web/servers HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/services/web/servers HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
        &endless,
        &many,
    ];
    for bytes in garbage {
        let mut stream = UnixStream::connect(director.socket())?;
        stream.set_read_timeout(Some(LIMIT))?;
        // The daemon may close before all of it is written.
        drop(stream.write_all(bytes));
        drop(stream.shutdown(std::net::Shutdown::Write));
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        let shown = String::from_utf8_lossy(bytes.get(..40).unwrap_or(bytes)).into_owned();
        ensure!(
            !matches!(&read, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock),
            "{shown:?}: it waits"
        );
        ensure!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"), "{shown:?}: {answer:?}");
        director.status().with_context(|| format!("after {shown:?}"))?;
    }
    Ok(())
}

/// More silent connections than are served at once: they are dropped one round after the other, and the operator's turn comes.
#[test]
fn signals_that_mean_nothing_here_are_logged_and_do_not_end_the_daemon() -> Result<()> {
    let (_lab, mut director) = start(SERVICES)?;
    for signal in [Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGALRM] {
        director.process().kill(signal)?;
        let name = signal.as_str();
        wait_until(LIMIT, &format!("a word about {name}"), || {
            director.process().log().contains(name).then_some(())
        })?;
    }
    director.status()?;
    director.stop()
}

#[test]
fn a_log_that_cannot_be_written_does_not_end_the_daemon() -> Result<()> {
    let lab = Lab::with(Topology::one_arm().webs(0))?;
    let programs = Programs::find()?;
    let config = lab.lb1().write("holdfast.yaml", SERVICES)?;
    let socket = lab.lb1().folder().join("full.sock");
    let script = format!(
        "exec {} --config {} --socket {} 2>/dev/full",
        programs.holdfastd.display(),
        config.display(),
        socket.display()
    );
    let mut process = lab.lb1().spawn("full", ["sh", "-c", &script])?;
    let status = request("GET", "/v1/status", b"");
    wait_until(LIMIT, "an answer", || say(&socket, &status).ok())?;
    process.kill(Signal::SIGTERM)?;
    let ended = process.wait(LIMIT)?;
    ensure!(ended.success(), "{ended}");
    Ok(())
}

#[test]
fn silent_and_slow_clients_are_dropped_and_do_not_keep_the_operator_out() -> Result<()> {
    let (_lab, director) = start(SERVICES)?;
    let silent = (0..100)
        .map(|number| {
            let mut stream = UnixStream::connect(director.socket())?;
            stream.set_read_timeout(Some(LIMIT))?;
            // Every other one begins to speak and never comes to its end.
            if number % 2 == 0 {
                stream.write_all(b"GET /v1/status HTTP/1.1\r\nHost: ")?;
            }
            Ok(stream)
        })
        .collect::<Result<Vec<_>>>()?;
    let said = director.cli(&["status"])?;
    ensure!(said.contains("SERVICE web"), "{said}");
    for mut stream in silent {
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        ensure!(
            !matches!(&read, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock),
            "a silent connection is still open"
        );
    }
    Ok(())
}

/// Asks the read-only listener from the client's side of the network.
fn ask_http(lab: &Lab, bytes: &[u8]) -> Result<Answer> {
    let address = SocketAddr::new(lab.lb1().ip4().into(), 9650);
    lab.client().enter(|| {
        let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.write_all(bytes)?;
        Answer::read(stream)
    })?
}

#[test]
fn metrics_health_and_status_are_read_by_http_and_nothing_is_changed_there() -> Result<()> {
    let (lab, director) =
        start(&format!("daemon: {{http: {{listen: \"10.77.0.11:9650\"}}}}\n{SERVICES}"))?;
    wait_until(LIMIT, "the daemon to be ready", || {
        let ready = ask_http(&lab, &request("GET", "/readyz", b"")).ok()?;
        (ready.status == 200 && ready.body == "ready\n").then_some(())
    })?;
    let health = ask_http(&lab, &request("GET", "/healthz", b""))?;
    assert_eq!((health.status, health.body.as_str()), (200, "ok\n"));
    let metrics = ask_http(&lab, &request("GET", "/metrics", b""))?;
    assert_eq!(metrics.status, 200);
    ensure!(metrics.head.contains("content-type: text/plain; version=0.0.4"), "{}", metrics.head);
    for line in [
        r#"holdfast_server_up{service="web",server="web1"} 1"#,
        r#"holdfast_server_weight{service="web",server="web1",kind="effective"} 1"#,
        r#"holdfast_service_servers_up{service="web"} 1"#,
        "holdfast_ipvs_drift_repairs_total 0",
        "holdfast_ipvs_operations_total 2",
    ] {
        ensure!(metrics.body.lines().any(|found| found == line), "{line} in\n{}", metrics.body);
    }
    let open = b"GET /metrics HTTP/1.1\r\nHost: h\r\nAccept: application/openmetrics-text\r\nConnection: close\r\n\r\n";
    let open = ask_http(&lab, open)?;
    ensure!(open.head.contains("content-type: application/openmetrics-text"), "{}", open.head);
    ensure!(open.body.ends_with("# EOF\n"), "{}", open.body);
    let status: Value =
        serde_json::from_str(&ask_http(&lab, &request("GET", "/v1/status", b""))?.body)?;
    assert_eq!(status["services"][0]["name"], "web");

    for (method, path, body) in [
        ("POST", "/v1/services/web/servers", br#"{"address": "10.77.0.22:80"}"#.as_slice()),
        ("POST", "/v1/services/web/servers/web1/drain", b""),
        ("DELETE", "/v1/services/web/servers/web1?now=true", b""),
        ("POST", "/v1/status", b""),
        ("POST", "/metrics", b""),
    ] {
        let answer = ask_http(&lab, &request(method, path, body))?;
        ensure!([404, 405].contains(&answer.status), "{method} {path}: {answer:?}");
        answer.problem()?;
    }
    let service = director.service("web")?;
    assert_eq!((service.servers.len(), service.servers[0].state.as_str()), (1, "up"));
    Ok(())
}

/// An IPv6 server of an IPv4 service, by tunnel: the kernel refuses it while its sync daemon runs. The daemon works on, says what
/// it could not do wherever it is asked, and does it when it can be done.
#[test]
fn not_ready_while_the_table_is_not_as_it_should_be() -> Result<()> {
    let lab = Lab::with(Topology::one_arm().webs(0))?;
    lab.lb1().run(["ipvsadm", "--start-daemon", "master", "--mcast-interface", "eth0"])?;
    let director = Director::start(
        lab.lb1(),
        "daemon: {http: {listen: \"10.77.0.11:9650\"}}\nipvs: {poll: 250ms}\n\
         services: {far: {listen: tcp 10.77.0.10:80, forward: tunnel, real_servers: {web1: \"[fd00:77::21]:80\"}}}\n",
    )?;
    let error = wait_until(LIMIT, "the error to show", || {
        director.status().ok()?.ipvs?.errors.first().cloned()
    })?;
    for part in ["[fd00:77::21]:80", "EINVAL", "sync daemon"] {
        ensure!(error.contains(part), "{part:?} is not in {error:?}");
    }
    let shown = director.cli(&["status"])?;
    ensure!(shown.contains(&format!("! {error}")), "{shown}");
    let ready = ask_http(&lab, &request("GET", "/readyz", b""))?;
    assert_eq!(ready.status, 503, "{ready:?}");
    ensure!(ready.body.contains(&error), "{ready:?}");
    assert_eq!(ask_http(&lab, &request("GET", "/healthz", b""))?.status, 200);

    lab.lb1().run(["ipvsadm", "--stop-daemon", "master"])?;
    wait_until(LIMIT, "the daemon to be ready", || {
        (ask_http(&lab, &request("GET", "/readyz", b"")).ok()?.status == 200).then_some(())
    })?;
    assert_eq!(saved_table(lab.lb1())?.len(), 2);
    assert_eq!(director.status()?.ipvs.context("the table")?.errors, Vec::<String>::new());
    let said =
        director.process().log().matches("the kernel's table is not as it should be").count();
    assert_eq!(said, 1, "the same error is said once");
    Ok(())
}
