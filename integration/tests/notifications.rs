//! Commands and webhooks that are told of events: in order, signed, tried again, and never in the way.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holdfast_integration::Director;
use holdfast_testkit::lab::{Lab, Node, Topology, wait_until};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(60);

const VRRP: &str = "vrrp: {instances: {edge: {interface: eth0, vrid: 51, interval: 200ms, addresses: [10.77.0.10/24]}}}\n";

/// A request that came.
#[derive(Clone, Debug)]
struct Posted {
    head: String,
    body: String,
}

impl Posted {
    fn header(&self, name: &str) -> Option<&str> {
        let of =
            |line: &'_ str| line.split_once(": ").map(|(key, _)| key.eq_ignore_ascii_case(name));
        let line = self.head.lines().find(|line| of(line) == Some(true))?;
        line.split_once(": ").map(|(_, value)| value)
    }

    fn event(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

/// A web server that answers with the statuses that it is told, and then with 204. It has one connection at a time.
#[derive(Clone)]
struct Receiver {
    address: SocketAddr,
    came: Arc<Mutex<Vec<Posted>>>,
}

fn receive(node: &Node, statuses: &[u16]) -> Result<Receiver> {
    let listener = node.enter(|| TcpListener::bind((node.ip4(), 0)))??;
    let (address, came) = (listener.local_addr()?, Arc::default());
    let receiver = Receiver { address, came: Arc::clone(&came) };
    let mut statuses: VecDeque<u16> = statuses.iter().copied().collect();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            let mut reader = BufReader::new(&stream);
            let (mut head, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).is_err() || line.trim().is_empty() {
                    break;
                }
                if let Some(value) = line.to_lowercase().strip_prefix("content-length: ") {
                    length = value.trim().parse().unwrap_or(0);
                }
                head.push_str(&line);
            }
            let mut body = vec![0; length];
            if head.is_empty() || reader.read_exact(&mut body).is_err() {
                continue;
            }
            let body = String::from_utf8_lossy(&body).into_owned();
            if let Ok(mut came) = came.lock() {
                came.push(Posted { head: head.replace("\r\n", "\n"), body });
            }
            let status = statuses.pop_front().unwrap_or(204);
            let answer =
                format!("HTTP/1.1 {status} x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            drop((&stream).write_all(answer.as_bytes()));
        }
    });
    Ok(receiver)
}

impl Receiver {
    fn came(&self) -> Vec<Posted> {
        self.came.lock().map(|came| came.clone()).unwrap_or_default()
    }

    fn wait(&self, what: &str, enough: impl Fn(&[Posted]) -> bool) -> Result<Vec<Posted>> {
        wait_until(LIMIT, what, || Some(self.came()).filter(|came| enough(came)))
            .with_context(|| format!("{:#?}", self.came()))
    }
}

fn counted(director: &Director, result: &str) -> Result<u64> {
    let output = Command::new("curl")
        .args(["-sS", "--unix-socket"])
        .arg(director.socket())
        .arg("http://holdfast/metrics")
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let begin = format!("holdfast_notifications_total{{result=\"{result}\"}} ");
    let count = text.lines().find_map(|line| line.strip_prefix(&begin)?.parse().ok());
    count.with_context(|| format!("{begin} in\n{text}"))
}

#[test]
fn a_webhook_is_signed_in_order_and_tried_again_until_it_is_taken() -> Result<()> {
    let lab = Lab::with(Topology::one_arm().webs(0))?;
    // The first two are refused for now, the third for good.
    let receiver = receive(lab.client(), &[503, 429, 200, 404])?;
    let secret = lab.lb1().write("secret", "key\n")?;
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600))?;
    let config = |more: &str| {
        format!(
            "daemon: {{notifications: {{ops: {{on: [vrrp, config], timeout: 30s, webhook: {{url: \"http://{}/hook/secret-token?a=b\", secret_file: {}}}}}{more}}}}}\n{VRRP}",
            receiver.address,
            secret.display()
        )
    };
    let mut director = Director::start(lab.lb1(), &config(""))?;
    let edge = |came: &[Posted]| -> Vec<String> {
        came.iter()
            .map(Posted::event)
            .filter(|event| event["subject"] == "edge")
            .map(|event| event["kind"].as_str().unwrap_or_default().to_owned())
            .collect()
    };
    // Each attempt is a POST: twice in vain, then taken; then the next event of the same object.
    let came = receiver.wait("backup, three times, and active", |came| edge(came).len() >= 4)?;
    assert_eq!(edge(&came)[..4], ["vrrp.backup", "vrrp.backup", "vrrp.backup", "vrrp.active"]);
    let first = &came[0];
    ensure!(first.head.starts_with("POST /hook/secret-token?a=b HTTP/1.1\n"), "{first:?}");
    assert_eq!(first.header("content-type"), Some("application/json"));
    assert_eq!(first.header("holdfast-event"), Some("vrrp.backup"));
    let deliveries: Vec<_> =
        came[..4].iter().map(|one| one.header("holdfast-delivery").unwrap_or_default()).collect();
    ensure!(deliveries[0] == deliveries[2] && deliveries[2] != deliveries[3], "{deliveries:?}");
    let event = first.event();
    assert_eq!((&event["version"], &event["node"]), (&1.into(), &"lb1".into()));
    // What openssl says of it.
    let signed = lab.client().write(
        "signed",
        &format!("{}.{}", first.header("holdfast-timestamp").context("a timestamp")?, first.body),
    )?;
    let digest =
        lab.client().sh(&format!("openssl dgst -sha256 -hmac key <{}", signed.display()))?.stdout;
    let digest = digest.trim().rsplit(' ').next().context("a digest")?.to_owned();
    assert_eq!(first.header("holdfast-signature"), Some(format!("sha256={digest}").as_str()));

    // A 404 is not tried again: `vrrp.active` was answered so, and counts as failed.
    wait_until(LIMIT, "the refusal to be counted", || {
        (counted(&director, "failed").ok()? == 1).then_some(())
    })?;
    assert_eq!(counted(&director, "retried")?, 2);
    // A reload is told, and the URL with its token is nowhere.
    lab.lb1().write(
        "holdfast.yaml",
        &config(", other: {on: ipvs, command: [/bin/true]}")
            .replace("timeout: 30s", "timeout: 29s")
            .replace("daemon: {", "daemon: {scripts: {user: nobody}, "),
    )?;
    let (_, stdout, stderr) = director.try_cli(&["plan"])?;
    let log = director.process().log();
    let status = director.cli(&["status", "-o", "json"])?;
    for text in [&stdout, &stderr, &log, &status] {
        ensure!(!text.contains("secret-token") && !text.contains("key\n"), "{text}");
    }
    director.stop()?;
    receiver
        .wait("the last word", |came| edge(came).last().is_some_and(|kind| kind == "vrrp.stop"))?;
    Ok(())
}

#[test]
fn one_that_is_dead_holds_up_neither_another_nor_the_daemon() -> Result<()> {
    let lab = Lab::with(Topology::one_arm().webs(0))?;
    // A listener that takes connections and never answers.
    let dead = lab.client().enter(|| TcpListener::bind((lab.client().ip4(), 0)))??;
    let alive = receive(lab.client(), &[])?;
    let said = lab.lb1().folder().join("said");
    fs::create_dir(&said)?;
    fs::set_permissions(&said, fs::Permissions::from_mode(0o777))?;
    let script = lab.lb1().write(
        "tell",
        &format!("#!/bin/sh\ncat >>{0}/json\necho \"$*\" >>{0}/words\n", said.display()),
    )?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    let config = format!(
        "daemon: {{scripts: {{user: nobody}}, notifications: {{dead: {{webhook: {{url: \"http://{}/\"}}, timeout: 1h}}, \
         alive: {{webhook: {{url: \"http://{}/\"}}}}, told: {{on: vrrp.active, command: [{}]}}}}}}\n{VRRP}",
        dead.local_addr()?,
        alive.address,
        script.display()
    );
    let mut director = Director::start(lab.lb1(), &config)?;
    director.wait_instance("edge", "active", LIMIT)?;
    alive.wait("both events", |came| came.len() >= 2)?;
    let words = wait_until(LIMIT, "the command", || {
        fs::read_to_string(said.join("words")).ok().filter(|words| words.ends_with('\n'))
    })?;
    assert_eq!(words, "vrrp.active edge\n");
    let json: Value = serde_json::from_str(&fs::read_to_string(said.join("json"))?)?;
    assert_eq!((&json["kind"], &json["node"]), (&"vrrp.active".into(), &"lb1".into()));
    // A stop waits for it no longer than is allowed: the harness allows a minute, and the webhook would take an hour.
    director.stop()?;
    ensure!(
        director.process().log().contains("notifications were not delivered in time"),
        "{}",
        director.process().log_tail()
    );
    alive.wait("the last word", |came| {
        came.last().is_some_and(|one| one.event()["kind"] == "vrrp.stop")
    })?;
    drop(dead);
    Ok(())
}
