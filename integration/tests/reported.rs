//! Checks whose outcome is more than up or down, or not only one service's, and what the kernel has of them, in both families: a BFD
//! session, a command's exit status as a weight, HAProxy's agent-check text, and one check that counts for several services.

use std::io::Write;
use std::net::{Ipv6Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use holdfast_control::Server;
use holdfast_integration::family::Family;
use holdfast_integration::{Director, weights};
use holdfast_testkit::lab::{BfdPeer, BfdSpeech, Bird, Lab, Node, Topology, wait_until};

/// Nothing here takes longer.
const LIMIT: Duration = Duration::from_secs(60);

const FAMILIES: [(&str, Family); 2] = [("v4", Family::V4), ("v6", Family::V6)];

/// A service of one server, as the configuration has it.
fn service(name: &str, listen: SocketAddr, keys: &str, server: SocketAddr, weight: u32) -> String {
    format!(
        "  {name}: {{listen: 'tcp {listen}', scheduler: wrr, forward: direct, {keys}, \
         real_servers: {{web1: {{address: '{server}', weight: {weight}}}}}}}\n"
    )
}

/// The services `v4` and `v6` over web1, with the same check.
fn both(lab: &Lab, check: &str, weight: u32) -> String {
    let one = |(name, family): (&str, Family)| {
        let server = SocketAddr::new(family.of(lab.web(1)), 80);
        service(name, SocketAddr::new(family.vip(), 80), check, server, weight)
    };
    format!("services:\n{}", FAMILIES.map(one).concat())
}

/// Waits until the kernel has `weight` for the only server of the service at `listen`.
fn wait_weight(director: &Director, listen: SocketAddr, weight: u32) -> Result<()> {
    let mut last = None;
    wait_until(LIMIT, &format!("the server of {listen} to have the weight {weight}"), || {
        let found = weights(director.node(), &format!("-t {listen}")).ok()?;
        last = Some(found.clone());
        (found.len() == 1 && found.values().all(|has| *has == weight)).then_some(())
    })
    .with_context(|| format!("it has {last:?}: {}", director.process().log_tail()))
}

/// The same of both services of [`both`]; their servers, which are in `state` then.
fn wait_both(director: &Director, state: &str, weight: u32) -> Result<[Server; 2]> {
    for (_, family) in FAMILIES {
        wait_weight(director, SocketAddr::new(family.vip(), 80), weight)?;
    }
    let [v4, v6] = FAMILIES.map(|(name, _)| director.wait_server(name, "web1", state, LIMIT));
    Ok([v4?, v6?])
}

/// web1 has the session of IPv4, web2 that of IPv6.
fn bird(lab: &Lab, family: Family) -> Result<Bird> {
    let number = if family == Family::V4 { 1 } else { 2 };
    let speech = BfdSpeech {
        local: family.of(lab.web(number)),
        remote: family.of(lab.lb1()),
        interval_ms: 200,
        multiplier: 5,
        passive: false,
    };
    Bird::start(lab.web(number), &speech)
}

#[test]
fn a_server_whose_bfd_session_is_lost_loses_its_weight_and_has_it_back_with_the_session()
-> Result<()> {
    let lab = Lab::with(Topology::one_arm().webs(2))?;
    let mut trackers = "vrrp:\n  trackers:\n".to_owned();
    let mut services = "services:\n".to_owned();
    for ((name, family), number) in FAMILIES.into_iter().zip([1, 2]) {
        let (peer, source) = (family.of(lab.web(number)), family.of(lab.lb1()));
        trackers += &format!(
            "    way-{name}: {{bfd: {{peer: '{peer}', source: '{source}', min_tx: 200ms, min_rx: 200ms, multiplier: 5}}}}\n"
        );
        let check = format!("check: {{bfd: {{session: way-{name}}}}}");
        let listen = SocketAddr::new(family.vip(), 80);
        services += &service(name, listen, &check, SocketAddr::new(peer, 80), 3);
    }
    let birds = [bird(&lab, Family::V4)?, bird(&lab, Family::V6)?];
    let director = Director::start(lab.lb1(), &(trackers + &services))?;
    for up in wait_both(&director, "up", 3)? {
        assert_eq!(up.reason.code, "L4OK");
    }
    // Each session is its own: the other server keeps its weight.
    let [v4, v6] = birds;
    v4.process().kill_group(nix::sys::signal::Signal::SIGKILL)?;
    let down = director.wait_server("v4", "web1", "down", LIMIT)?;
    assert_eq!((down.reason.code.as_str(), down.checks.len()), ("L4CON", 1));
    wait_weight(&director, SocketAddr::new(Family::V4.vip(), 80), 0)?;
    wait_weight(&director, SocketAddr::new(Family::V6.vip(), 80), 3)?;
    v6.process().kill_group(nix::sys::signal::Signal::SIGKILL)?;
    wait_both(&director, "down", 0)?;
    drop((v4, v6));
    let _birds = [bird(&lab, Family::V4)?, bird(&lab, Family::V6)?];
    wait_both(&director, "up", 3)?;
    Ok(())
}

/// keepalived's `misc_dynamic`: 0 and 1 say nothing of the weight, 2 to 255 are a weight of 0 to 253.
#[test]
fn an_exit_status_is_a_weight() -> Result<()> {
    let lab = Lab::with(Topology::one_arm().webs(1))?;
    let (lb1, status) = (lab.lb1(), lab.lb1().folder().join("status"));
    let say = |number: u8| -> Result<()> {
        let draft = lb1.write("draft", &number.to_string())?;
        Ok(std::fs::rename(draft, &status)?)
    };
    say(0)?;
    let text = format!("#!/bin/sh\nread -r status <{}\nexit \"$status\"\n", status.display());
    let program = lb1.write("check", &text)?;
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755))?;
    let check = format!(
        "check: {{exec: {{command: [{}], weight: true}}, interval: 3s, fast_interval: 1s, down_interval: 1s, timeout: 2900ms, spread: 0s, rise: 1, fall: 2}}",
        program.display()
    );
    let config = format!("daemon: {{scripts: {{user: nobody}}}}\n{}", both(&lab, &check, 5));
    let director = Director::start(lb1, &config)?;
    for server in wait_both(&director, "up", 5)? {
        assert_eq!(server.advice, None, "0 says nothing of the weight");
    }
    for (said, state, weight) in [
        (42, "up", 40),
        (255, "up", 253),
        // It is up and shall have nothing new.
        (2, "up", 0),
        (9, "up", 7),
        (1, "down", 0),
        // The last weight holds.
        (0, "up", 7),
    ] {
        say(said)?;
        let servers =
            wait_both(&director, state, weight).with_context(|| format!("status {said}"))?;
        for server in servers {
            let advised = server.advice.context("a weight")?;
            let expected = if said > 1 { weight } else { 7 };
            assert_eq!(advised.weight, expected, "status {said}");
        }
    }
    Ok(())
}

/// A server that counts connections, answers each with the same words, and is gone with this value.
struct Answering {
    words: Arc<Mutex<String>>,
    /// How many connections there were, of IPv4 and of IPv6.
    counts: Arc<[AtomicUsize; 2]>,
    stop: Arc<std::sync::atomic::AtomicBool>,
    port: SocketAddr,
    node: Node,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Answering {
    /// Listens on all addresses of `node`.
    fn start(node: &Node, port: u16, words: &str) -> Result<Self> {
        // One socket for both families: IPv4 comes as ::ffff:10.77.0.11.
        let listener = node.enter(|| TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)))??;
        let words = Arc::new(Mutex::new(words.to_owned()));
        let counts = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let thread = std::thread::spawn({
            let (words, counts, stop) =
                (Arc::clone(&words), Arc::clone(&counts), Arc::clone(&stop));
            move || {
                loop {
                    // The peer as it was when it was taken: a check that ends with a reset may have gone by then.
                    let taken = listener.accept();
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let Ok((mut stream, SocketAddr::V6(peer))) = taken else { continue };
                    let peer = peer.ip();
                    let family = usize::from(peer.to_ipv4_mapped().is_none());
                    if let Some(count) = counts.get(family) {
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                    let words = words.lock().unwrap_or_else(PoisonError::into_inner).clone();
                    let _gone = stream.write_all(words.as_bytes());
                }
            }
        });
        let port = SocketAddr::new(node.ip4().into(), port);
        Ok(Self { words, counts, stop, port, node: node.clone(), thread: Some(thread) })
    }

    /// What it answers from now on, and waits until each family has heard it: a check is asked again only after its last answer
    /// was taken, so that the second connection from now proves the first.
    fn say(&self, words: &str) -> Result<()> {
        words.clone_into(&mut self.words.lock().unwrap_or_else(PoisonError::into_inner));
        let before = self.counts();
        wait_until(LIMIT, &format!("{words:?} to be heard"), || {
            let now = self.counts();
            now.iter().zip(&before).all(|(now, before)| *now >= before + 2).then_some(())
        })
    }

    /// How many connections there were, of IPv4 and of IPv6.
    fn counts(&self) -> [usize; 2] {
        let [v4, v6] = &*self.counts;
        [v4.load(Ordering::Relaxed), v6.load(Ordering::Relaxed)]
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // A connection of our own ends its waiting.
        drop(self.node.enter(|| std::net::TcpStream::connect(self.port)));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// HAProxy's agent-check text: a percentage holds until the next one, `drain` and `maint` until `ready`.
#[test]
fn an_agent_weighs_drains_and_takes_its_server_out() -> Result<()> {
    let lab = Lab::with(Topology::one_arm().webs(1))?;
    let agent = Answering::start(lab.web(1), 9777, "up\n")?;
    let check = "check: {agent: {port: 9777}, interval: 700ms, fast_interval: 300ms, down_interval: 300ms, timeout: 650ms, spread: 0s, rise: 1, fall: 2}";
    let director = Director::start(lab.lb1(), &both(&lab, check, 8))?;
    wait_both(&director, "up", 8)?;
    for (said, state, weight) in [
        ("75%\n", "up", 6),
        ("up 150%\n", "up", 12),
        ("drain\n", "up", 0),
        // What is not mentioned stays: it is still to be drained.
        ("50%\n", "up", 0),
        ("ready\n", "up", 4),
        ("maint\n", "up", 0),
        ("ready, up\n", "up", 4),
        ("down#why\n", "down", 0),
        ("up\n", "up", 4),
        ("100%\n", "up", 8),
        ("stopped\n", "down", 0),
        ("up\n", "up", 8),
    ] {
        agent.say(said)?;
        let mut servers =
            wait_both(&director, state, weight).with_context(|| format!("it said {said:?}"))?;
        if said.contains('#') {
            for server in &mut servers {
                assert_eq!(server.reason.code, "L7STS");
                ensure!(server.reason.sentence.contains("down: why"), "{:?}", server.reason);
            }
        }
    }
    // An agent that can't be asked is a check that fails.
    drop(agent);
    wait_both(&director, "down", 0)?;
    for (name, _) in FAMILIES {
        // One that it had still taken was cut instead of refused.
        wait_until(LIMIT, "the refusal to be the reason", || {
            let server = director.server(name, "web1").ok()??;
            (server.state == "down" && server.reason.code == "L4CON").then_some(())
        })?;
    }
    let _agent = Answering::start(lab.web(1), 9777, "up\n")?;
    wait_both(&director, "up", 8)?;
    Ok(())
}

/// Three services a family have the same server and the same check: the server is asked once an interval, and what it answers
/// counts for all.
#[test]
fn a_check_of_three_services_runs_once_and_counts_for_each() -> Result<()> {
    let lab = Lab::with(Topology::one_arm().webs(1))?;
    let web = Answering::start(lab.web(1), 80, "")?;
    let check = "check: {tcp: {}, interval: 500ms, timeout: 450ms, rise: 1, fall: 1}";
    let ports = [80, 81, 82];
    let mut config = "services:\n".to_owned();
    for (name, family) in FAMILIES {
        let server = SocketAddr::new(family.of(lab.web(1)), 80);
        for port in ports {
            let listen = SocketAddr::new(family.vip(), port);
            let one = service(&format!("{name}-{port}"), listen, check, server, 1);
            config += &one.replace("forward: direct", "forward: nat");
        }
    }
    let director = Director::start(lab.lb1(), &config)?;
    let all = |weight: u32| {
        FAMILIES.into_iter().try_for_each(|(_, family)| {
            let listen = |port: &u16| SocketAddr::new(family.vip(), *port);
            ports.iter().try_for_each(|port| wait_weight(&director, listen(port), weight))
        })
    };
    all(1)?;
    // So many more of each family. Three checks would take 4 s for them, the one check takes 12: a slow machine makes it longer.
    let (begun, before) = (Instant::now(), web.counts());
    wait_until(LIMIT, "the checks to go on", || {
        let now = web.counts();
        now.iter().zip(&before).all(|(now, before)| *now >= before + 24).then_some(())
    })?;
    let (now, took) = (web.counts(), begun.elapsed());
    let most = now.iter().zip(&before).map(|(now, before)| now - before).max();
    let most = u32::try_from(most.unwrap_or_default())?;
    ensure!(took > Duration::from_millis(300) * most, "{most} connections in {took:?}");
    drop(web);
    all(0)?;
    let _web = Answering::start(lab.web(1), 80, "")?;
    all(1)
}
