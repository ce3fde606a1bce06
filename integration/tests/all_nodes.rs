//! One command for all nodes: it is done on each, what was not done is said, and saying it again finishes it.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holdfast_control::{NodesReport, PeerNode, RuntimeChanges};
use holdfast_integration::Director;
use holdfast_testkit::lab::{Lab, Node, Topology, wait_until};

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

fn config(lab: &Lab, node: &Node) -> String {
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
        lab.lb1().ip4(),
        lab.lb2().ip4(),
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
    wait_peer(&lb1, "differs")?;
    let (code, report, _) = everywhere(&lb1, &words)?;
    assert_eq!((code, report.complete), (0, true));

    // A removal: where the server is not there any more it is done.
    lb2.cli(&["server", "rm", "web/web3", "--now"])?;
    let words = ["server", "rm", "web/web3", "--now"];
    let (code, report, stderr) = everywhere(&lb1, &words)?;
    assert_eq!((code, report.complete), (0, true), "{report:?} {stderr}");
    assert_eq!(outcomes(&report), [("lb1", true, true), ("lb2", true, false)]);
    let (code, ..) = everywhere(&lb1, &words)?;
    assert_eq!(code, 1, "nobody has it");
    wait_peer(&lb1, "equal")?;
    wait_peer(&lb2, "equal").map(drop)
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
