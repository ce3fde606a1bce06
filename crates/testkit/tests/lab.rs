//! The lab itself: it connects what it should, separates what it should, and leaves nothing behind.
//!
//! ```text
//!  client .1   lb1 .11   lb2 .12
//!     │           │         │
//!  ═══╧═══════════╧═════════╧═══ br0   10.77.0.0/24  fd00:77::/64
//!     │           │         │
//!  web1 .21    web2 .22  web3 .23
//! ```

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers as well")]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{IpAddr, SocketAddr, TcpStream},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use holdfast_testkit::lab::{self, Keepalived, Lab, Nginx, Node, Topology, wait_until};
use nix::sys::signal::Signal;

const LIMIT: Duration = Duration::from_secs(60);

fn get(from: &Node, to: SocketAddr, path: &str) -> String {
    from.enter(|| {
        let mut stream = TcpStream::connect_timeout(&to, LIMIT).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    })
    .unwrap()
}

/// Whether there is an answer within half a second: what is not reached is known by that.
fn answers_soon(from: &Node, to: IpAddr) -> bool {
    answers_within(from, to, Duration::from_millis(500))
}

/// Whether there is an answer to the first packet, which on a busy machine may take its time.
fn reaches(from: &Node, to: IpAddr) -> bool {
    answers_within(from, to, Duration::from_secs(20))
}

fn answers_within(from: &Node, to: IpAddr, limit: Duration) -> bool {
    let to = SocketAddr::new(to, 9);
    from.enter(|| {
        // Refused means that the other end answered.
        match TcpStream::connect_timeout(&to, limit) {
            Ok(_) => true,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionRefused,
        }
    })
    .unwrap()
}

/// Waits until it does: a neighbour that was asked for in vain is asked for again only after a second.
fn will_reach(from: &Node, to: IpAddr) {
    wait_until(LIMIT, &format!("{} to reach {to}", from.name()), || {
        answers_soon(from, to).then_some(())
    })
    .unwrap();
}

fn namespaces_of(id: &str) -> Vec<String> {
    fs::read_dir("/run/netns")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().into_string().unwrap())
        .filter(|name| name.starts_with(id))
        .collect()
}

#[test]
fn every_node_reaches_every_other_in_both_families_at_once() {
    let lab = Lab::new().unwrap();
    for from in lab.nodes() {
        for to in lab.nodes() {
            assert!(reaches(from, to.ip4().into()), "{} to {}", from.name(), to.name());
            assert!(reaches(from, to.ip6().into()), "{} to {}", from.name(), to.name());
        }
    }
}

#[test]
fn inner_servers_are_out_of_the_client_s_reach_until_a_director_forwards() {
    let lab = Lab::with(Topology::nat().webs(1)).unwrap();
    let (client, lb1, web) = (lab.client(), lab.lb1(), lab.web(1));
    assert!(reaches(lb1, web.ip4().into()) && reaches(lb1, web.ip6().into()));
    assert!(!answers_soon(client, web.ip4().into()));
    for (vip, length) in [(IpAddr::from(lab::INNER_VIP4), 24), (lab::INNER_VIP6.into(), 64)] {
        lb1.sh(&format!("ip address add {vip}/{length} dev eth1 nodad")).unwrap();
    }
    client
        .sh("ip route add 10.78.0.0/24 via 10.77.0.11; ip route add fd00:78::/64 via fd00:77::11")
        .unwrap();
    will_reach(client, web.ip4().into());
    will_reach(client, web.ip6().into());
}

#[test]
fn a_cable_can_be_pulled_and_put_back() {
    let lab = Lab::with(Topology::one_arm().webs(0)).unwrap();
    let (client, lb1) = (lab.client(), lab.lb1());
    lab.link_down(lb1).unwrap();
    let state = lb1.run(["ip", "link", "show", "eth0"]).unwrap().stdout;
    assert!(state.contains("NO-CARRIER") && state.contains(",UP"), "{state}");
    assert!(!answers_soon(client, lb1.ip4().into()));
    lab.link_up(lb1).unwrap();
    will_reach(client, lb1.ip4().into());
    lb1.admin_down().unwrap();
    assert!(!answers_soon(client, lb1.ip6().into()));
    lb1.admin_up().unwrap();
    will_reach(client, lb1.ip6().into());
    will_reach(client, lb1.ip4().into());
}

#[test]
fn isolated_nodes_hear_others_but_not_each_other() {
    let lab = Lab::with(Topology::one_arm().webs(0)).unwrap();
    let (client, lb1, lb2) = (lab.client(), lab.lb1(), lab.lb2());
    lab.isolate(&[lb1, lb2]).unwrap();
    assert!(!answers_soon(lb1, lb2.ip4().into()));
    assert!(reaches(client, lb1.ip4().into()) && reaches(client, lb2.ip4().into()));
    lab.join(&[lb1, lb2]).unwrap();
    will_reach(lb1, lb2.ip4().into());
}

#[test]
fn a_held_vip_is_used_but_not_told() {
    let lab = Lab::with(Topology::one_arm().webs(1)).unwrap();
    let (client, web) = (lab.client(), lab.web(1));
    for vip in [IpAddr::from(lab::VIP4), lab::VIP6.into()] {
        web.hold_vip(vip).unwrap();
        assert!(web.has_address(vip).unwrap());
        assert!(!answers_soon(client, vip), "{vip} answers");
        // Who knows the way gets there.
        let family = if vip.is_ipv4() { "-4" } else { "-6" };
        client
            .run([
                "ip",
                family,
                "neighbour",
                "replace",
                &vip.to_string(),
                "lladdr",
                web.mac(),
                "dev",
                "eth0",
            ])
            .unwrap();
        will_reach(client, vip);
    }
}

#[test]
fn nginx_tells_its_name_and_its_health() {
    let lab = Lab::with(Topology::one_arm().webs(2)).unwrap();
    let servers: Vec<_> = lab.webs().map(|web| Nginx::start(web, 80).unwrap()).collect();
    for web in lab.webs() {
        for address in [IpAddr::from(web.ip4()), web.ip6().into()] {
            let answer = get(lab.client(), SocketAddr::new(address, 80), "/");
            assert!(answer.ends_with(&format!("\r\n\r\n{}\n", web.name())), "{answer}");
        }
    }
    let health = || {
        let answer = get(lab.client(), SocketAddr::new(lab.web(1).ip4().into(), 80), "/health");
        answer.split(' ').nth(1).unwrap().to_owned()
    };
    assert_eq!(health(), "200");
    servers[0].set_healthy(false).unwrap();
    assert_eq!(health(), "503");
    servers[0].set_healthy(true).unwrap();
    assert_eq!(health(), "200");
    for server in servers {
        assert!(server.stop().unwrap().success());
    }
    assert!(reaches(lab.client(), lab.web(1).ip4().into()));
}

#[test]
fn keepalived_takes_an_address_and_gives_it_back() {
    let lab = Lab::with(Topology::one_arm().webs(0)).unwrap();
    let config = format!(
        "vrrp_instance edge {{\n interface eth0\n virtual_router_id 51\n version 3\n priority 200\n advert_int 0.1\n \
         virtual_ipaddress {{ {}/24 }}\n}}\n",
        lab::VIP4
    );
    let keepalived = Keepalived::start(lab.lb1(), &config).unwrap();
    let vip = lab::VIP4.into();
    wait_until(LIMIT, "keepalived's address", || lab.lb1().has_address(vip).unwrap().then_some(()))
        .unwrap_or_else(|error| panic!("{error}\n{}", keepalived.process().log()));
    assert!(reaches(lab.client(), vip));
    assert!(keepalived.stop().unwrap().success());
    assert!(!lab.lb1().has_address(vip).unwrap());
}

#[test]
fn a_failed_command_is_told_with_its_words() {
    let lab = Lab::with(Topology::one_arm().webs(0)).unwrap();
    let error = lab.lb1().run(["sh", "-c", "echo because >&2; exit 3"]).unwrap_err();
    assert_eq!(
        format!("{error:#}"),
        "on lb1: sh -c echo because >&2; exit 3 ended with status 3: because"
    );
    assert_eq!(lab.lb1().try_run(["sh", "-c", "kill -9 $$"]).unwrap().code, 137);
}

#[test]
fn a_process_is_stopped_signalled_and_logged() {
    let lab = Lab::with(Topology::one_arm().webs(0)).unwrap();
    let mut sleeper =
        lab.lb1().spawn("sleeper", ["sh", "-c", "echo awake; exec sleep 1000"]).unwrap();
    wait_until(LIMIT, "the log", || sleeper.log().contains("awake").then_some(())).unwrap();
    assert!(sleeper.is_running());
    let error = sleeper.wait_listening(80, Duration::ZERO).unwrap_err();
    assert!(format!("{error:#}").contains("sleeper on lb1 to listen at port 80"), "{error:#}");
    sleeper.kill(Signal::SIGINT).unwrap();
    assert!(!sleeper.wait(LIMIT).unwrap().success());
    assert!(!sleeper.is_running());
}

#[test]
fn a_dropped_lab_takes_its_namespaces_processes_and_files() {
    let lab = Lab::with(Topology::one_arm().webs(1)).unwrap();
    let id = lab.id().to_owned();
    let folder = lab.folder().to_owned();
    // A daemon: in a session of its own, and nobody's child.
    let out = lab.lb1().sh("setsid sleep 1000 >/dev/null 2>&1 & echo $!").unwrap().stdout;
    let daemon = format!("/proc/{}/comm", out.trim());
    wait_until(LIMIT, "the daemon", || {
        fs::read_to_string(&daemon).ok().filter(|name| name == "sleep\n")
    })
    .unwrap();
    assert_eq!(namespaces_of(&id).len(), 5);
    drop(lab);
    assert_eq!(namespaces_of(&id), [""; 0]);
    assert!(!folder.exists());
    wait_until(LIMIT, "the daemon's end", || (!Path::new(&daemon).exists()).then_some(())).unwrap();
}

#[test]
fn a_killed_owner_leaves_nothing_behind() {
    for signal in [Signal::SIGKILL, Signal::SIGINT, Signal::SIGTERM] {
        let mut owner = Command::new(env!("CARGO_BIN_EXE_testkit-hold"))
            .arg("lab")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut id = String::new();
        BufReader::new(owner.stdout.take().unwrap()).read_line(&mut id).unwrap();
        let id = id.trim();
        assert_eq!(namespaces_of(id).len(), 7);
        let pid = nix::unistd::Pid::from_raw(i32::try_from(owner.id()).unwrap());
        nix::sys::signal::kill(pid, signal).unwrap();
        owner.wait().unwrap();
        wait_until(LIMIT, "the namespaces to go", || namespaces_of(id).is_empty().then_some(()))
            .unwrap();
        let folder = Path::new("/run/holdfast-lab").join(id);
        wait_until(LIMIT, "the folder to go", || (!folder.exists()).then_some(())).unwrap();
    }
}

#[test]
fn a_kept_lab_stays_until_it_is_removed() {
    let lab = Lab::with(Topology::one_arm().webs(0)).unwrap();
    let id = lab.id().to_owned();
    let sleeper = lab.lb1().spawn("sleeper", ["sleep", "1000"]).unwrap();
    let alive = Path::new("/proc").join(sleeper.pid().to_string());
    lab.keep().unwrap();
    drop(sleeper);
    // Another lab's sweep leaves it alone.
    drop(Lab::with(Topology::one_arm().webs(0)).unwrap());
    assert_eq!(namespaces_of(&id).len(), 4);
    assert!(fs::read(alive.join("cmdline")).unwrap().starts_with(b"sleep"));
    assert!(lab::remove_kept() >= 1);
    wait_until(LIMIT, "the process to go", || {
        fs::read(alive.join("cmdline")).map_or(true, |line| line.is_empty()).then_some(())
    })
    .unwrap();
    assert_eq!(namespaces_of(&id), [""; 0]);
}
