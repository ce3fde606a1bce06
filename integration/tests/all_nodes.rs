//! One command for all nodes: it is done on each, what was not done is said, and saying it again finishes it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holdfast_control::{NodesReport, PeerNode, RuntimeChanges};
use holdfast_integration::Director;
use holdfast_testkit::lab::{Lab, Node, Topology, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Nothing here takes longer.
const LIMIT: Duration = Duration::from_secs(60);

const DOCUMENT: &str = include_str!("../../docs/pair.md");

fn certificates(lab: &Lab) -> Result<()> {
    let commands = DOCUMENT.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next());
    let commands = commands.context("the commands of docs/pair.md")?;
    lab.lb1().sh(&format!("set -e; cd {}; {commands}", lab.folder().display()))?;
    for node in [lab.lb1(), lab.lb2()] {
        for end in ["pem", "key"] {
            let file = lab.folder().join(format!("{}.{end}", node.name()));
            fs::copy(file, node.folder().join(format!("node.{end}")))?;
        }
    }
    Ok(())
}

/// How the nodes reach each other.
#[derive(Clone, Copy, Debug)]
enum By {
    V4,
    V6,
}

fn config(lab: &Lab, node: &Node) -> String {
    config_by(lab, node, By::V4)
}

fn config_by(lab: &Lab, node: &Node, by: By) -> String {
    let address = |node: &Node| match by {
        By::V4 => node.ip4().to_string(),
        By::V6 => format!("\"[{}]:9651\"", node.ip6()),
    };
    format!(
        "daemon:
  pair:
    nodes: {{lb1: {}, lb2: {}}}
    certificate: {3}/node.pem
    key: {3}/node.key
    ca: {2}/ca.pem
    interval: 1s
services:
  web:
    listen: tcp 10.77.0.10:80
    forward: nat
    real_servers: {{web1: 10.77.0.21:80, web2: 10.77.0.22:80}}
",
        address(lab.lb1()),
        address(lab.lb2()),
        lab.folder().display(),
        node.folder().display()
    )
}

fn wait_peer(director: &Director, state: &str) -> Result<PeerNode> {
    let mut last = None;
    wait_until(LIMIT, &format!("{}: the other node is {state}", director.node().name()), || {
        last = director.status().ok()?.nodes.pop();
        last.clone().filter(|peer| peer.state == state)
    })
    .with_context(|| format!("{last:#?}\n{}", director.process().log_tail()))
}

/// What commands have changed: the server, what, and by whom.
fn changes(director: &Director) -> Result<Vec<(String, String, Option<String>)>> {
    let found: RuntimeChanges = serde_json::from_str(&director.cli(&["diff", "-o", "json"])?)?;
    Ok(found.changes.into_iter().map(|one| (one.server, one.kind, one.who)).collect())
}

/// Gives a command to all nodes: its exit status, the report, and standard error.
fn everywhere(director: &Director, words: &[&str]) -> Result<(i32, NodesReport, String)> {
    let words = [words, &["--all-nodes", "-o", "json"]].concat();
    let (code, stdout, stderr) = director.try_cli(&words)?;
    let report = serde_json::from_str(&stdout).with_context(|| format!("{stdout}{stderr}"))?;
    Ok((code, report, stderr))
}

fn outcomes(report: &NodesReport) -> Vec<(&str, bool, bool)> {
    report.nodes.iter().map(|node| (node.node.as_str(), node.applied, node.changed)).collect()
}

#[test]
fn a_change_is_made_on_all_nodes_and_what_is_missing_is_said_and_finished_by_saying_it_again()
-> Result<()> {
    let lab = Lab::with(Topology::one_arm().webs(0))?;
    certificates(&lab)?;
    let lb1 = Director::start(lab.lb1(), &config(&lab, lab.lb1()))?;
    let mut lb2 = Director::start(lab.lb2(), &config(&lab, lab.lb2()))?;
    wait_peer(&lb1, "equal")?;

    // Every verb, on both; who did it is recorded with the node where he did.
    for words in [
        &["server", "add", "web", "10.77.0.23:80", "--name", "web3"][..],
        &["server", "weight", "web", "web3", "5"],
        &["server", "maint", "web/web1", "--reason", "kernel upgrade"],
        &["server", "drain", "web/web2"],
    ] {
        let (code, report, stderr) = everywhere(&lb1, words)?;
        ensure!(code == 0 && report.complete, "{words:?}: {code} {report:?} {stderr}");
        assert_eq!(outcomes(&report), [("lb1", true, true), ("lb2", true, true)], "{words:?}");
        // Said again it changes nothing, and is no failure.
        let (code, report, _) = everywhere(&lb1, words)?;
        assert_eq!((code, report.complete), (0, true));
        assert_eq!(outcomes(&report), [("lb1", true, false), ("lb2", true, false)], "{words:?}");
    }
    let (own, other) = (changes(&lb1)?, changes(&lb2)?);
    let who = own[0].2.clone().context("somebody")?;
    ensure!(other.iter().all(|(.., by)| by.as_ref() == Some(&format!("lb1/{who}"))), "{other:?}");
    let what = |all: &[(String, String, Option<String>)]| -> Vec<(String, String)> {
        all.iter().map(|(server, kind, _)| (server.clone(), kind.clone())).collect()
    };
    assert_eq!(what(&own), what(&other));
    wait_peer(&lb1, "equal")?;
    // By the relay alone: what the command line does.
    let client = lb1.node().sh(&format!(
        "curl -sS --unix-socket {} http://holdfast/v1/nodes/lb2/v1/services/web",
        lb1.socket().display()
    ))?;
    ensure!(client.stdout.contains("\"name\":\"web3\""), "{client:?}");

    // On one node alone: that is a difference, by name.
    lb2.cli(&["server", "ready", "web/web1"])?;
    let found = wait_peer(&lb1, "differs")?.differs;
    assert_eq!((found.len(), found[0].part.as_str()), (1, "runtime_changes"));
    assert_eq!(found[0].names, ["web/web1"]);
    let said = lb1.cli(&["status"])?;
    ensure!(
        said.contains(
            "! lb2 differs in run-time changes (web/web1): compare `holdfast diff` of both"
        ),
        "{said}"
    );

    // A node is down: what was done where is said, the exit status tells, and saying it again finishes it.
    lb2.stop()?;
    let words = ["server", "ready", "web/web1"];
    let (code, report, stderr) = everywhere(&lb1, &words)?;
    assert_eq!((code, report.complete), (1, false), "{stderr}");
    assert_eq!(outcomes(&report), [("lb1", true, true), ("lb2", false, false)]);
    let why = report.nodes[1].error.as_deref().unwrap_or_default();
    ensure!(why.contains("connect to lb2") && why.contains("does holdfastd run there"), "{why}");
    ensure!(
        stderr.contains(
            "it was done on lb1 and not on lb2: when the reason is gone, say the same again"
        ),
        "{stderr}"
    );
    let (_, table, _) = lb1.try_cli(&["server", "ready", "web/web1", "--all-nodes"])?;
    ensure!(table.contains("lb2   NOT DONE    connect to lb2 ("), "{table}");
    lb2.restart()?;
    wait_peer(&lb1, "equal")?;
    let (code, report, _) = everywhere(&lb1, &words)?;
    assert_eq!((code, report.complete), (0, true));

    ensure_removals_are_idempotent(&lb1, &lb2)?;
    wait_peer(&lb1, "equal")?;
    wait_peer(&lb2, "equal").map(drop)
}

/// Where the server is not there any more its removal is done, and where nobody has it that is what was asked for.
fn ensure_removals_are_idempotent(lb1: &Director, lb2: &Director) -> Result<()> {
    lb2.cli(&["server", "rm", "web/web3", "--now"])?;
    let words = ["server", "rm", "web/web3", "--now"];
    let (code, report, stderr) = everywhere(lb1, &words)?;
    assert_eq!((code, report.complete), (0, true), "{report:?} {stderr}");
    assert_eq!(outcomes(&report), [("lb1", true, true), ("lb2", true, false)]);
    // Nobody has it any more: that is what was asked for, and each node says so.
    let (code, report, stderr) = everywhere(lb1, &words)?;
    assert_eq!((code, report.complete), (0, true), "{stderr}");
    assert_eq!(outcomes(&report), [("lb1", true, false), ("lb2", true, false)]);
    let table = lb1.cli(&["server", "rm", "web/web3", "--all-nodes"])?;
    ensure!(
        table.contains("lb2   already so  web/web3 is not there; service `web` has no server"),
        "{table}"
    );
    // A service that nobody has is a slip.
    let (code, report, _) = everywhere(lb1, &["server", "rm", "wbe/web3"])?;
    assert_eq!((code, report.complete), (1, false));
    let code = report.nodes.last().and_then(|node| node.code.as_deref());
    assert_eq!(code, Some("no_such_service"));
    Ok(())
}

/// The nodes speak over IPv6, and `--wait` waits on each node for itself.
#[test]
fn what_is_waited_for_is_waited_for_on_every_node_over_ipv6() -> Result<()> {
    let lab = Lab::with(Topology::one_arm().webs(0))?;
    certificates(&lab)?;
    let lb1 = Director::start(lab.lb1(), &config_by(&lab, lab.lb1(), By::V6))?;
    let lb2 = Director::start(lab.lb2(), &config_by(&lab, lab.lb2(), By::V6))?;
    let peer = wait_peer(&lb1, "equal")?;
    ensure!(peer.address == format!("[{}]:9651", lab.lb2().ip6()), "{peer:?}");

    // Without connections a drain is over at the second count.
    let words = ["server", "drain", "web/web1", "--wait", "30s"];
    let (code, report, stderr) = everywhere(&lb1, &words)?;
    assert_eq!((code, report.complete), (0, true), "{report:?} {stderr}");
    for (node, director) in report.nodes.iter().zip([&lb1, &lb2]) {
        let now = node.change.as_ref().and_then(|change| change.now.as_ref());
        assert_eq!(now.map(|server| server.state.as_str()), Some("drained"), "{report:?}");
        let there = director.server("web", "web1")?.context("web1")?;
        assert_eq!(there.state, "drained");
    }
    // The port on every address, and on one again: nobody is kept waiting by that, nor has to.
    for listen in ["\"[::]:9651\"", "\"0.0.0.0:9651\"", "\"[::]:9651\""] {
        let there = config_by(&lab, lab.lb2(), By::V6)
            .replace("    interval: 1s", &format!("    listen: {listen}\n    interval: 1s"));
        lb2.node().write("holdfast.yaml", &there)?;
        lb2.cli(&["reload"])?;
    }
    lb2.node().write("holdfast.yaml", &config_by(&lab, lab.lb2(), By::V6))?;
    lb2.cli(&["reload"])?;
    let (code, report, stderr) = everywhere(&lb1, &["server", "ready", "web/web1"])?;
    assert_eq!((code, report.complete), (0, true), "{report:?} {stderr}");
    // Nobody answers for the new server, which its check finds out.
    for director in [&lb1, &lb2] {
        let checked = config_by(&lab, director.node(), By::V6)
            .replace("forward: nat\n", "forward: nat\n    check: {tcp: {}, interval: 1s}\n");
        director.node().write("holdfast.yaml", &checked)?;
        director.cli(&["reload"])?;
    }
    let words = ["server", "add", "web", "10.77.0.29:80", "--name", "web9", "--wait", "300ms"];
    let (code, report, stderr) = everywhere(&lb1, &words)?;
    assert_eq!((code, report.complete), (3, false), "{report:?} {stderr}");
    assert_eq!(outcomes(&report), [("lb1", true, true), ("lb2", true, true)]);
    for node in &report.nodes {
        let why = node.error.as_deref().unwrap_or_default();
        ensure!(why.contains("web/web9 is not up after 300ms"), "{report:?}");
        ensure!(node.code.is_none() && !node.unknown, "{report:?}");
    }
    ensure!(stderr.contains("it holds on every node; what was waited for"), "{stderr}");
    wait_peer(&lb1, "equal").map(drop)
}

/// In lb2's place stands somebody with its certificate who takes a command and dies before an answer.
#[test]
fn a_command_whose_answer_is_lost_is_not_known_to_be_done_and_is_finished_by_saying_it_again()
-> Result<()> {
    let lab = Lab::with(Topology::one_arm().webs(0))?;
    certificates(&lab)?;
    let mut lb2 = Director::start(lab.lb2(), &config(&lab, lab.lb2()))?;
    // After the first time lb1 does not ask by itself what lb2 has.
    let rarely = config(&lab, lab.lb1()).replace("interval: 1s", "interval: 1h");
    let lb1 = Director::start(lab.lb1(), &rarely)?;
    wait_peer(&lb1, "equal")?;
    lb2.stop()?;

    let deaf = Deaf::start(&lab)?;
    let words = ["server", "maint", "web/web1"];
    let (code, report, stderr) = everywhere(&lb1, &words)?;
    ensure!(deaf.heard("POST /v1/services/web/servers/web1/maint"), "it was asked: {stderr}");
    drop(deaf);
    assert_eq!((code, report.complete), (1, false), "{report:?} {stderr}");
    assert_eq!(outcomes(&report), [("lb1", true, true), ("lb2", false, false)]);
    let silent = &report.nodes[1];
    assert_eq!((silent.unknown, silent.code.as_deref()), (true, Some("node_silent")), "{silent:?}");
    ensure!(
        stderr.contains("it was done on lb1; whether it was done on lb2 is not known")
            && stderr.contains("say the same again"),
        "{stderr}"
    );
    let (_, table, _) = {
        let _deaf = Deaf::start(&lab)?;
        lb1.try_cli(&["server", "maint", "web/web1", "--all-nodes"])?
    };
    ensure!(table.contains("lb2   UNKNOWN     speak with lb2 ("), "{table}");

    lb2.restart()?;
    let (code, report, stderr) = everywhere(&lb1, &words)?;
    assert_eq!((code, report.complete), (0, true), "{stderr}");
    assert_eq!(outcomes(&report), [("lb1", true, false), ("lb2", true, true)]);
    Ok(())
}

/// Who takes TLS connections with lb2's certificate, reads what comes, and dies with the first question.
struct Deaf {
    program: Child,
    heard: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Deaf {
    fn start(lab: &Lab) -> Result<Self> {
        let (folder, node) = (lab.folder().display(), lab.lb2().folder().display());
        let listen = format!(
            "openssl s_server -accept {}:9651 -cert {node}/node.pem -key {node}/node.key -CAfile {folder}/ca.pem -Verify 1 \
             -verify_return_error -tls1_3 -quiet 2>/dev/null",
            lab.lb2().ip4()
        );
        let mut command = lab.lb2().command("sh");
        command.args(["-c", &format!("exec {listen}")]);
        let mut program = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let output = program.stdout.take().context("its output")?;
        let heard = Arc::new(Mutex::new(String::new()));
        let (copy, pid) = (Arc::clone(&heard), Pid::from_raw(program.id().try_into()?));
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                copy.lock().unwrap_or_else(PoisonError::into_inner).push_str(&line);
                // The request's head is over: it was asked, and will not answer.
                if line.trim().is_empty() {
                    let _gone = kill(pid, Signal::SIGKILL);
                }
            }
        });
        wait_until(LIMIT, "somebody to listen in lb2's place", || {
            lab.lb2().sh("ss -Hltn sport = :9651 | grep -q .").ok()
        })?;
        Ok(Self { program, heard, reader: Some(reader) })
    }

    fn heard(&self, words: &str) -> bool {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).contains(words)
    }
}

impl Drop for Deaf {
    fn drop(&mut self) {
        drop(self.program.kill());
        drop(self.program.wait());
        drop(self.reader.take().map(JoinHandle::join));
    }
}

/// A node that asks too often is told so, and neither the control socket nor the node that it asks is kept from anything.
#[test]
fn a_node_that_asks_too_often_is_told_to_wait() -> Result<()> {
    let lab = Lab::with(Topology::one_arm().webs(0))?;
    certificates(&lab)?;
    let lb1 = Director::start(lab.lb1(), &config(&lab, lab.lb1()))?;
    let folder = lab.lb2().folder().display();
    let ask = format!(
        "curl -sS --cert {folder}/node.pem --key {folder}/node.key --cacert {}/ca.pem --resolve lb1:9651:{} -D - -o /dev/null \
         'https://lb1:9651/v1/nothing/[1-1000]'",
        lab.folder().display(),
        lab.lb1().ip4()
    );
    let said = wait_until(LIMIT, "to be told that it is too often", || {
        let said = lab.lb2().sh(&ask).ok()?.stdout;
        said.contains(" 429 ").then_some(said)
    })?;
    ensure!(said.contains("HTTP/1.1 403 ") && said.contains("retry-after: 1"), "{said}");
    let metrics = lb1.node().sh(&format!(
        "curl -sS --unix-socket {} http://holdfast/metrics",
        lb1.socket().display()
    ))?;
    let too_fast = "holdfast_api_requests_total{result=\"too_fast\"} ";
    let counted = metrics.stdout.lines().find_map(|line| line.strip_prefix(too_fast));
    ensure!(counted.is_some_and(|count| count != "0"), "{counted:?}");
    Ok(())
}

#[test]
fn without_a_pair_there_is_nobody_else_and_that_is_said() -> Result<()> {
    let lab = Lab::with(Topology::one_arm().webs(0))?;
    let services = "services: {web: {listen: tcp 10.77.0.10:80, forward: nat, real_servers: {web1: 10.77.0.21:80}}}\n";
    let lb1 = Director::start(lab.lb1(), services)?;
    let (code, stdout, stderr) = lb1.try_cli(&["server", "drain", "web/web1", "--all-nodes"])?;
    ensure!(code == 1 && stdout.is_empty(), "{code} {stdout}");
    ensure!(stderr.contains("lb1 knows no other node: `daemon.pair` names none"), "{stderr}");
    assert_eq!(changes(&lb1)?, [], "nothing was done");
    Ok(())
}
