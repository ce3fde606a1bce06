//! What a drain waits for. The kernel calls a connection inactive as soon as its client has closed its direction, and it may have
//! minutes of its download before it.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holdfast_control::Server;
use holdfast_integration::{Director, Downloads, weights};
use holdfast_testkit::lab::{Lab, Node, Topology, VIP4, wait_until};

/// Nothing here takes longer.
const LIMIT: Duration = Duration::from_secs(60);

/// A drain that overlooked its connection would be over after two counts; one that lost sight of it, after five seconds of silence.
const LONG_S: u64 = 9;

const SERVICE: &str = "-t 10.77.0.10:80";
const WEB1: &str = "10.77.0.21:80";

fn config(more: &str) -> String {
    format!(
        "services: {{web: {{listen: tcp {VIP4}:80, scheduler: rr, forward: direct, {more} real_servers: {{web1: {WEB1}}}}}}}\n"
    )
}

/// One real server that answers for the virtual address, which lb1 has.
fn lab() -> Result<Lab> {
    let lab = Lab::with(Topology::one_arm().webs(1))?;
    lab.web(1).hold_vip(VIP4.into())?;
    lab.lb1().sh(&format!("ip address add {VIP4}/24 dev eth0"))?;
    Ok(lab)
}

fn vip() -> SocketAddr {
    (VIP4, 80).into()
}

/// A server that sends to everybody, a little at a time, until it can't. Unlike nginx it does not take a client that has finished
/// its request for one that has gone.
fn serve(node: &Node) -> Result<()> {
    let listener = node.enter(|| TcpListener::bind("0.0.0.0:80"))?.context("listen on port 80")?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || send(stream));
        }
    });
    Ok(())
}

fn send(mut stream: TcpStream) {
    while stream.write_all(&[b'.'; 512]).is_ok() {
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Waits until the status shows web1 so.
fn wait_web1(director: &Director, what: &str, is: impl Fn(&Server) -> bool) -> Result<Server> {
    wait_until(LIMIT, what, || director.server("web", "web1").ok()?.filter(|server| is(server)))
        .with_context(|| format!("web1 is {:?}", director.server("web", "web1")))
}

#[test]
fn a_download_whose_client_has_closed_its_direction_is_waited_for() -> Result<()> {
    let lab = lab()?;
    serve(lab.web(1))?;
    let director = Director::start(lab.lb1(), &config(""))?;
    wait_web1(&director, "web1 to be up", |server| server.state == "up")?;
    wait_until(LIMIT, "web1 in the table", || {
        (weights(lab.lb1(), SERVICE).ok()?.get(WEB1) == Some(&1)).then_some(())
    })?;
    let mut downloads = Downloads::start(lab.client(), vip(), 0)?;
    downloads.add_half_closed(lab.client(), vip())?;
    wait_until(LIMIT, "the kernel to call it inactive", || {
        let listed = lab.lb1().run(["ipvsadm", "-Ln"]).ok()?.stdout;
        let line = listed.lines().find(|line| line.contains(WEB1))?;
        let counts: Vec<&str> = line.split_ascii_whitespace().rev().take(2).collect();
        (counts == ["1", "0"]).then_some(())
    })?;

    director.cli(&["server", "drain", "web", "web1", "--timeout", "10m"])?;
    let long = wait_web1(&director, "web1 to drain for long", |server| server.since_s >= LONG_S)?;
    assert_eq!((long.state.as_str(), long.effective_weight), ("draining", Some(0)));
    assert_eq!((long.active_connections, long.inactive_connections), (Some(0), Some(1)));
    let old = downloads.bytes();
    wait_until(LIMIT, "the download to go on", || {
        downloads.bytes().iter().zip(&old).all(|(new, old)| new > old).then_some(())
    })?;
    assert_eq!(downloads.broken(), 0);

    // The kernel remembers the connection for long; its silence says that it is over.
    drop(downloads);
    wait_web1(&director, "the end of the drain", |server| server.state == "drained")?;
    wait_until(LIMIT, "web1 to leave the table", || {
        weights(lab.lb1(), SERVICE).ok()?.is_empty().then_some(())
    })
}

#[test]
fn a_drain_under_persistence_says_when_remembered_clients_still_come() -> Result<()> {
    let lab = lab()?;
    let persistent = config("persistence: {},");
    let mut director = Director::start(lab.lb1(), &persistent)?;
    let said = director.cli(&["server", "drain", "web", "web1"])?;
    ensure!(!said.contains("expire_quiescent_template"), "{said}");
    director.stop()?;
    let keeps = persistent + "ipvs: {sysctls: {expire_quiescent_template: 0}}\n";
    let director = Director::start(lab.lb1(), &keeps)?;
    let said = director.cli(&["server", "drain", "web", "web1"])?;
    ensure!(said.contains("expire_quiescent_template"), "{said}");
    Ok(())
}
