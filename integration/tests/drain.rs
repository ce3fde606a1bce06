//! What a drain waits for. The kernel calls a connection inactive as soon as its client has closed its direction, and it may have
//! minutes of its download before it.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holdfast_control::Server;
use holdfast_integration::family::Family;
use holdfast_integration::{Director, Downloads, weights};
use holdfast_testkit::lab::{Lab, Node, Topology, wait_until};

/// Nothing here takes longer.
const LIMIT: Duration = Duration::from_secs(60);

/// A drain that overlooked its connection would be over after two counts; one that lost sight of it, after five seconds of silence.
const LONG_S: u64 = 9;

/// A service of this transport with web1, which nobody checks.
fn config(family: Family, lab: &Lab, protocol: &str, port: u16, more: &str) -> String {
    format!(
        "services: {{web: {{listen: '{protocol} {}', scheduler: rr, forward: direct, {more} real_servers: {}}}}}\n",
        SocketAddr::new(family.vip(), port),
        family.real_servers(lab, port)
    )
}

/// One real server that answers for the virtual address, which lb1 has.
fn lab(family: Family) -> Result<Lab> {
    let (lab, vip) = (Lab::with(Topology::one_arm().webs(1))?, family.vip());
    lab.web(1).hold_vip(vip)?;
    let length = if vip.is_ipv4() { 24 } else { 64 };
    lab.lb1().sh(&format!("ip address add {vip}/{length} dev eth0 nodad"))?;
    Ok(lab)
}

/// A server that sends to everybody, a little at a time, until it can't. Unlike nginx it does not take a client that has finished
/// its request for one that has gone.
fn serve(node: &Node) -> Result<()> {
    let listener = node.enter(|| TcpListener::bind("[::]:80"))?.context("listen on port 80")?;
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

fn a_half_closed_download(family: Family) -> Result<()> {
    let lab = lab(family)?;
    serve(lab.web(1))?;
    let director = Director::start(lab.lb1(), &config(family, &lab, "tcp", 80, ""))?;
    wait_web1(&director, "web1 to be up", |server| server.state == "up")?;
    let vip = SocketAddr::new(family.vip(), 80);
    let (service, web1) =
        (format!("-t {vip}"), SocketAddr::new(family.of(lab.web(1)), 80).to_string());
    wait_until(LIMIT, "web1 in the table", || {
        (weights(lab.lb1(), &service).ok()?.get(&web1) == Some(&1)).then_some(())
    })?;
    let mut downloads = Downloads::start(lab.client(), vip, 0)?;
    downloads.add_half_closed(lab.client(), vip)?;
    wait_until(LIMIT, "the kernel to call it inactive", || {
        let listed = lab.lb1().run(["ipvsadm", "-Ln"]).ok()?.stdout;
        let line = listed.lines().find(|line| line.contains(&web1))?;
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
        weights(lab.lb1(), &service).ok()?.is_empty().then_some(())
    })
}

#[test]
fn a_download_whose_client_has_closed_its_direction_is_waited_for() -> Result<()> {
    a_half_closed_download(Family::V4)
}

#[test]
fn so_is_one_by_ipv6() -> Result<()> {
    a_half_closed_download(Family::V6)
}

#[test]
fn a_drain_under_persistence_says_when_remembered_clients_still_come() -> Result<()> {
    let lab = lab(Family::V4)?;
    let persistent = config(Family::V4, &lab, "tcp", 80, "persistence: {},");
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

/// A client that sends datagrams until it is told to stop.
struct Talker {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Talker {
    fn start(client: &Node, to: SocketAddr) -> Result<Self> {
        let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = client.enter(|| UdpSocket::bind(any))??;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                // Nobody has to answer: the kernel counts what comes.
                drop(socket.send_to(b"?", to));
                std::thread::sleep(Duration::from_millis(200));
            }
        });
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Talker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        drop(self.thread.take().map(std::thread::JoinHandle::join));
    }
}

/// A flow of UDP has no end that the kernel sees: it is over when its client was silent for `drain.idle`, and not before.
fn udp_drains_when_it_is_silent(family: Family) -> Result<()> {
    let lab = lab(family)?;
    let target = SocketAddr::new(family.vip(), 53);
    let director =
        Director::start(lab.lb1(), &config(family, &lab, "udp", 53, "drain: {idle: 4s},"))?;
    wait_web1(&director, "web1 to be up", |server| server.state == "up")?;
    let talker = Talker::start(lab.client(), target)?;
    wait_web1(&director, "its flow", |server| server.inactive_connections == Some(1))?;
    director.cli(&["server", "drain", "web", "web1", "--timeout", "10m"])?;
    let long = wait_web1(&director, "web1 to drain for long", |server| server.since_s >= LONG_S)?;
    assert_eq!((long.state.as_str(), long.inactive_connections), ("draining", Some(1)));
    drop(talker);
    wait_web1(&director, "the end of the drain", |server| server.state == "drained").map(drop)
}

#[test]
fn a_flow_of_udp_is_over_when_its_client_is_silent() -> Result<()> {
    udp_drains_when_it_is_silent(Family::V4)
}

#[test]
fn so_is_one_of_ipv6() -> Result<()> {
    udp_drains_when_it_is_silent(Family::V6)
}
