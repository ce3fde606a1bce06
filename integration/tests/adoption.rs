//! The kernel's table outlives the daemon: what it finds at its start it adopts, what others change it undoes, what is not its own
//! it leaves alone. One director without VRRP, which has the virtual address from its administrator.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holdfast_control::Ipvs;
use holdfast_integration::family::Family;
use holdfast_integration::{Director, Downloads, ask, saved_table, weights};
use holdfast_testkit::lab::{Lab, Nginx, Node, Topology, wait_until};
use nix::sys::signal::Signal;

/// Nothing here takes longer.
const LIMIT: Duration = Duration::from_secs(60);

/// The service of IPv4 as ipvsadm names it.
const SERVICE: &str = "-t 10.77.0.10:80";

const WEB1: &str = "10.77.0.21:80";
const WEB2: &str = "10.77.0.22:80";

/// web1 and web2.
fn webs(family: Family) -> [&'static str; 2] {
    match family {
        Family::V4 => [WEB1, WEB2],
        Family::V6 => ["[fd00:77::21]:80", "[fd00:77::22]:80"],
    }
}

/// `web` by direct routing over web1 and web2.
fn config(check: &str, ipvs: &str) -> String {
    config_of(Family::V4, check, ipvs)
}

fn config_of(family: Family, check: &str, ipvs: &str) -> String {
    let (vip, [web1, web2]) = (vip_of(family), webs(family));
    format!(
        "ipvs: {{{ipvs}}}\nservices:\n  web:\n    listen: 'tcp {vip}'\n    scheduler: rr\n    forward: direct\n{check}\n    \
         real_servers: {{web1: '{web1}', web2: '{web2}'}}\n"
    )
}

const TCP: &str = "    check: {tcp: {}, interval: 3s, fast_interval: 500ms, down_interval: 500ms, timeout: 2900ms, spread: 0s, rise: 2, fall: 3}";

/// Two web servers that answer for the virtual address, which lb1 has.
fn lab() -> Result<(Lab, Vec<Nginx>)> {
    lab_of(Family::V4)
}

fn lab_of(family: Family) -> Result<(Lab, Vec<Nginx>)> {
    let (lab, vip) = (Lab::with(Topology::one_arm().webs(2))?, family.vip());
    for web in lab.webs() {
        web.hold_vip(vip)?;
    }
    let webs = lab.webs().map(|web| Nginx::start(web, 80)).collect::<Result<Vec<_>>>()?;
    // Deprecated, as one of VRRP's is: checks don't come from it, since servers hold it themselves.
    let address = if vip.is_ipv4() {
        format!("{vip}/24 dev eth0")
    } else {
        format!("{vip}/64 dev eth0 nodad preferred_lft 0")
    };
    lab.lb1().sh(&format!("ip address add {address}"))?;
    Ok((lab, webs))
}

fn vip() -> SocketAddr {
    vip_of(Family::V4)
}

fn vip_of(family: Family) -> SocketAddr {
    (family.vip(), 80).into()
}

fn table(web1: u32, web2: u32) -> BTreeMap<String, u32> {
    table_of(Family::V4, web1, web2)
}

fn table_of(family: Family, web1: u32, web2: u32) -> BTreeMap<String, u32> {
    webs(family).map(str::to_owned).into_iter().zip([web1, web2]).collect()
}

/// Waits until the service has these servers with these weights; of which family it is they say.
fn wait_table(node: &Node, expected: &BTreeMap<String, u32>) -> Result<()> {
    let ipv6 = expected.keys().any(|server| server.starts_with('['));
    let service = format!("-t {}", vip_of(if ipv6 { Family::V6 } else { Family::V4 }));
    wait_until(LIMIT, &format!("the kernel to have {expected:?}"), || {
        (weights(node, &service).ok()? == *expected).then_some(())
    })
    .with_context(|| format!("it has {:?}", weights(node, &service)))
}

/// Waits until every download has brought more; none may be cut.
fn wait_downloads(downloads: &Downloads) -> Result<()> {
    let old = downloads.bytes();
    wait_until(LIMIT, "every download to go on", || {
        downloads.bytes().iter().zip(&old).all(|(new, old)| new > old).then_some(())
    })?;
    assert_eq!(downloads.broken(), 0);
    Ok(())
}

/// Waits until the table was compared so often since the daemon's start, and is in sync.
fn wait_compared(director: &Director, times: u64) -> Result<Ipvs> {
    wait_until(LIMIT, "the table to be compared", || {
        let ipvs = director.status().ok()?.ipvs?;
        (ipvs.reconciliations_total >= times && ipvs.in_sync_s_ago.is_some()).then_some(ipvs)
    })
}

/// Looks at the table again and again and remembers every state that it was seen in.
struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<BTreeSet<Vec<String>>>>,
}

impl Watch {
    fn start(node: &Node) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (node, ended) = (node.clone(), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let mut seen = BTreeSet::new();
            while !ended.load(Ordering::Relaxed) {
                seen.insert(saved_table(&node)?);
            }
            Ok(seen)
        });
        Self { stop, thread }
    }

    fn seen(self) -> Result<BTreeSet<Vec<String>>> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_panic| anyhow::anyhow!("the watch panicked"))?
    }
}

fn a_killed_daemon_comes_back(family: Family) -> Result<()> {
    let (lab, _webs) = lab_of(family)?;
    let mut director = Director::start(lab.lb1(), &config_of(family, TCP, "poll: 250ms"))?;
    wait_table(lab.lb1(), &table_of(family, 1, 1))?;
    let downloads = Downloads::start(lab.client(), vip_of(family), 4)?;
    let before = saved_table(lab.lb1())?;
    let watch = Watch::start(lab.lb1());
    director.kill()?;
    director.restart()?;
    // Both servers were adopted, have been checked since, and the table was compared after that.
    for web in ["web1", "web2"] {
        let server = director.wait_server("web", web, "up", LIMIT)?;
        ensure!(server.effective_weight == Some(1), "{server:?}");
        wait_until(LIMIT, &format!("a check of {web} to pass"), || {
            let server = director.server("web", web).ok()??;
            server.checks.iter().all(|check| check.reason.code == "L4OK").then_some(())
        })?;
    }
    let compared = director.status()?.ipvs.context("the table")?.reconciliations_total;
    let ipvs = wait_compared(&director, compared + 2)?;
    assert_eq!((ipvs.operations_total, ipvs.drift_repairs_total), (0, 0));
    assert_eq!(watch.seen()?, BTreeSet::from([before]), "the table never changed");
    wait_downloads(&downloads)?;
    ensure!(director.process().log().contains("adopted=1"), "{}", director.process().log_tail());
    Ok(())
}

#[test]
fn a_killed_daemon_comes_back_writes_nothing_and_breaks_no_connection() -> Result<()> {
    a_killed_daemon_comes_back(Family::V4)
}

#[test]
fn nor_does_one_break_a_connection_of_ipv6() -> Result<()> {
    a_killed_daemon_comes_back(Family::V6)
}

/// The worker is replaced by a new program, as a package's upgrade does it, and the table is none the wiser.
#[test]
fn an_upgrade_in_place_writes_nothing_and_breaks_no_connection_of_either_family() -> Result<()> {
    for family in [Family::V4, Family::V6] {
        let (lab, _webs) = lab_of(family)?;
        let config = config_of(family, TCP, "poll: 250ms");
        let director = Director::start_with(lab.lb1(), &config, &["--supervisor", "on"])?;
        wait_table(lab.lb1(), &table_of(family, 1, 1))?;
        let downloads = Downloads::start(lab.client(), vip_of(family), 4)?;
        let watch = Watch::start(lab.lb1());
        let before = saved_table(lab.lb1())?;
        director.process().kill(Signal::SIGUSR2)?;
        // Its counts begin anew with the next worker, which has compared the table by then.
        let ipvs = wait_until(LIMIT, "the next worker", || {
            let status = director.status().ok()?;
            let log = director.process().log();
            let begun = log.matches("the director works").count() == 2;
            let ipvs = status.ipvs.filter(|ipvs| ipvs.reconciliations_total >= 2);
            ipvs.filter(|_| begun)
        })
        .with_context(|| director.process().log_tail())?;
        assert_eq!((ipvs.operations_total, ipvs.drift_repairs_total), (0, 0));
        wait_downloads(&downloads)?;
        assert_eq!(watch.seen()?, BTreeSet::from([before]), "the table never changed");
    }
    Ok(())
}

/// The checks of the new daemon take their time: until then the servers keep what they have.
#[test]
fn adopted_servers_keep_their_weight_until_their_checks_say_otherwise() -> Result<()> {
    let lab = Lab::with(Topology::one_arm().webs(0))?;
    let lb1 = lab.lb1();
    let (go, fail) = (lb1.folder().join("go"), lb1.folder().join("fail"));
    let program = lb1.write(
        "check",
        &format!(
            "#!/bin/sh\nuntil test -e {}; do sleep 0.1; done\n! test -e {}\n",
            go.display(),
            fail.display()
        ),
    )?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    let check = format!(
        "    check: {{exec: {{command: [{}]}}, interval: 30s, timeout: 29s, rise: 1, fall: 1}}",
        program.display()
    );
    let config =
        format!("daemon: {{scripts: {{user: nobody}}}}\n{}", config(&check, "poll: 250ms"));
    fs::write(&go, "")?;
    let mut director = Director::start(lb1, &config)?;
    wait_table(lb1, &table(1, 1))?;

    director.kill()?;
    fs::remove_file(&go)?;
    director.restart()?;
    let ipvs = wait_compared(&director, 3)?;
    assert_eq!(ipvs.operations_total, 0);
    let web1 = director.server("web", "web1")?.context("web1")?;
    assert_eq!((web1.state.as_str(), web1.reason.code.as_str()), ("up", "ADOPTED"));
    assert_eq!(weights(lb1, SERVICE)?, table(1, 1));
    // The check ends, and what it says counts.
    fs::write(&fail, "")?;
    fs::write(&go, "")?;
    wait_table(lb1, &table(0, 0))?;
    assert_eq!(director.server("web", "web1")?.context("web1")?.state, "down");

    // What was down when the daemon died is not adopted as up.
    director.kill()?;
    fs::remove_file(&go)?;
    director.restart()?;
    let ipvs = wait_compared(&director, 3)?;
    assert_eq!(ipvs.operations_total, 0);
    assert_eq!(director.server("web", "web1")?.context("web1")?.state, "starting");
    assert_eq!(weights(lb1, SERVICE)?, table(0, 0));
    Ok(())
}

/// A web server dies while no daemon runs: the new one finds out, and changes that server alone.
#[test]
fn a_server_that_died_meanwhile_is_withdrawn_by_its_check() -> Result<()> {
    let (lab, webs) = lab()?;
    let mut director = Director::start(lab.lb1(), &config(TCP, "poll: 1h"))?;
    wait_table(lab.lb1(), &table(1, 1))?;
    director.kill()?;
    webs[1].process().kill_group(Signal::SIGKILL)?;
    director.restart()?;
    director.wait_server("web", "web2", "down", LIMIT)?;
    wait_table(lab.lb1(), &table(1, 0))?;
    // Of what it has done the daemon learns a moment after the kernel has it.
    let ipvs = wait_until(LIMIT, "the operation to be counted", || {
        director.status().ok()?.ipvs.filter(|ipvs| ipvs.operations_total > 0)
    })?;
    assert_eq!((ipvs.operations_total, ipvs.drift_repairs_total), (1, 0));
    assert_eq!(director.server("web", "web1")?.context("web1")?.state, "up");
    Ok(())
}

/// ipvsadm made the table: what fits stays, what differs is changed, and no connection suffers.
#[test]
fn a_table_of_another_program_is_adopted_and_brought_into_line() -> Result<()> {
    let (lab, _webs) = lab()?;
    let lb1 = lab.lb1();
    lb1.sh(&format!(
        "ipvsadm -A {SERVICE} -s wlc; ipvsadm -a {SERVICE} -r {WEB1} -g -w 5; ipvsadm -a {SERVICE} -r 10.77.0.99:80 -g -w 0\n\
         ipvsadm -A -t 10.77.0.10:9999 -s sh; ipvsadm -a -t 10.77.0.10:9999 -r 10.77.0.98:1 -m"
    ))?;
    let downloads = Downloads::start(lab.client(), vip(), 2)?;
    let director = Director::start(lb1, &config(TCP, "poll: 250ms"))?;
    let web1 = director.server("web", "web1")?.context("web1")?;
    assert_eq!((web1.state.as_str(), web1.effective_weight), ("up", Some(1)), "adopted");
    wait_table(lb1, &table(1, 1))?;
    let lines = saved_table(lb1)?;
    ensure!(lines.contains(&format!("-A {SERVICE} -s rr")), "{lines:?}");
    ensure!(lines.iter().filter(|line| line.contains(":9999")).count() == 2, "foreign: {lines:?}");
    wait_downloads(&downloads)?;
    assert_eq!(director.status()?.ipvs.context("the table")?.drift_repairs_total, 0);
    Ok(())
}

/// What is in the kernel's table and in nothing that the daemon knows is not cut: it drains, and then it goes.
#[test]
fn a_server_that_only_the_kernel_has_finishes_its_downloads_and_is_removed() -> Result<()> {
    let (lab, _webs) = lab()?;
    let config = config(TCP, "poll: 250ms").replace(&format!(", web2: '{WEB2}'"), "");
    let mut director = Director::start(lab.lb1(), &config)?;
    let add = ["server", "add", "web", WEB2, "--name", "extra", "--weight", "2", "--ephemeral"];
    let said = director.cli(&[&add[..], &["--wait", "30s"]].concat())?;
    ensure!(said.contains("it ends with the daemon"), "{said}");
    wait_table(lab.lb1(), &table(1, 2))?;
    let downloads = Downloads::start(lab.client(), vip(), 4)?;
    ensure!(downloads.served_by(lab.lb1(), lab.web(2).ip4())? > 0);
    let watch = Watch::start(lab.lb1());
    director.kill()?;
    director.restart()?;
    let found = director.wait_server("web", "10.77.0.22-80", "draining", LIMIT)?;
    assert_eq!((found.origin.as_str(), found.admin.as_str()), ("kernel", "remove"));
    wait_table(lab.lb1(), &table(1, 0))?;
    wait_compared(&director, 4)?;
    wait_downloads(&downloads)?;
    let seen = watch.seen()?;
    ensure!(seen.iter().all(|lines| lines.iter().any(|line| line.contains(WEB2))), "{seen:?}");
    let log = director.process().log();
    ensure!(log.contains("is not in the configuration: it drains and is removed"), "{log}");
    drop(downloads);
    wait_table(lab.lb1(), &[(WEB1.to_owned(), 1)].into())?;
    wait_until(LIMIT, "the server to be forgotten", || {
        director.server("web", "10.77.0.22-80").ok()?.is_none().then_some(())
    })?;
    assert_eq!(director.status()?.ipvs.context("the table")?.drift_repairs_total, 0);
    Ok(())
}

/// What a command has added goes on with its connections, and nothing is written to the kernel.
#[test]
fn what_came_by_a_command_is_adopted_with_its_connections() -> Result<()> {
    let (lab, _webs) = lab()?;
    let config = config(TCP, "poll: 250ms").replace(&format!(", web2: '{WEB2}'"), "");
    let mut director = Director::start(lab.lb1(), &config)?;
    director.cli(&["server", "add", "web", WEB2, "--name", "extra", "--wait", "30s"])?;
    wait_table(lab.lb1(), &table(1, 1))?;
    let downloads = Downloads::start(lab.client(), vip(), 4)?;
    let before = saved_table(lab.lb1())?;
    let watch = Watch::start(lab.lb1());
    director.kill()?;
    director.restart()?;
    let extra = director.wait_server("web", "extra", "up", LIMIT)?;
    assert_eq!(extra.origin, "runtime");
    let ipvs = wait_compared(&director, 3)?;
    assert_eq!((ipvs.operations_total, ipvs.drift_repairs_total), (0, 0));
    assert_eq!(watch.seen()?, BTreeSet::from([before]), "the table never changed");
    assert_eq!(downloads.broken(), 0);
    Ok(())
}

#[test]
fn what_others_change_is_undone_and_counted_and_foreign_services_are_left_alone() -> Result<()> {
    let lab = Lab::with(Topology::one_arm().webs(0))?;
    let lb1 = lab.lb1();
    let foreign = "ipvsadm -A -t 10.77.0.10:9999 -s sh; ipvsadm -a -t 10.77.0.10:9999 -r 10.77.0.98:1 -m -w 9; \
                   ipvsadm -A -f 7 -s rr";
    let director = Director::start(lb1, &config("", "poll: 250ms"))?;
    wait_table(lb1, &table(1, 1))?;
    let ours = saved_table(lb1)?;
    lb1.sh(foreign)?;
    let all = saved_table(lb1)?;
    ensure!(all.len() == ours.len() + 3, "{all:?}");
    wait_compared(
        &director,
        director.status()?.ipvs.context("the table")?.reconciliations_total + 2,
    )?;
    assert_eq!(saved_table(lb1)?, all, "what is foreign stays");
    let mut repairs = director.status()?.ipvs.context("the table")?.drift_repairs_total;
    assert_eq!(repairs, 0);

    let changes = [
        ("a changed weight", format!("ipvsadm -e {SERVICE} -r {WEB1} -g -w 77"), 1, &all),
        ("another method", format!("ipvsadm -e {SERVICE} -r {WEB1} -m -w 1"), 1, &all),
        (
            "a server of theirs in our service",
            format!("ipvsadm -a {SERVICE} -r 10.77.0.97:80 -g"),
            1,
            &all,
        ),
        ("a deleted server", format!("ipvsadm -d {SERVICE} -r {WEB2}"), 1, &all),
        ("another scheduler", format!("ipvsadm -E {SERVICE} -s lc -p 60"), 1, &all),
        ("a deleted service", format!("ipvsadm -D {SERVICE}"), 3, &all),
        ("an empty table", "ipvsadm -C".to_owned(), 3, &ours),
    ];
    for (what, change, operations, expected) in changes {
        lb1.sh(&change).with_context(|| what.to_owned())?;
        repairs += operations;
        wait_until(LIMIT, &format!("{what} to be undone and counted"), || {
            let ipvs = director.status().ok()?.ipvs?;
            (ipvs.drift_repairs_total >= repairs && saved_table(lb1).ok()? == *expected)
                .then_some(())
        })
        .with_context(|| format!("the kernel has {:?}", saved_table(lb1)))?;
        let counted = director.status()?.ipvs.context("the table")?.drift_repairs_total;
        assert_eq!(counted, repairs, "operations after {what}");
    }
    let shown = director.cli(&["status"])?;
    ensure!(shown.contains(&format!("{repairs} changes by others undone")), "{shown}");
    let log = director.process().log();
    ensure!(log.contains("others changed the kernel's table"), "{log}");
    Ok(())
}

fn a_stop_leaves_the_table(family: Family) -> Result<()> {
    let (lab, _webs) = lab_of(family)?;
    let mut director = Director::start(lab.lb1(), &config_of(family, TCP, ""))?;
    wait_table(lab.lb1(), &table_of(family, 1, 1))?;
    let downloads = Downloads::start(lab.client(), vip_of(family), 2)?;
    let before = saved_table(lab.lb1())?;
    director.stop()?;
    assert_eq!(saved_table(lab.lb1())?, before);
    wait_downloads(&downloads)?;
    ensure!(!director.socket().exists(), "the control socket's file is left behind");
    Ok(())
}

#[test]
fn a_stop_leaves_the_table_and_traffic_goes_on() -> Result<()> {
    a_stop_leaves_the_table(Family::V4)
}

#[test]
fn so_it_does_with_ipv6() -> Result<()> {
    a_stop_leaves_the_table(Family::V6)
}

#[test]
fn a_stop_with_on_stop_remove_takes_ours_and_leaves_others() -> Result<()> {
    let lab = Lab::with(Topology::one_arm().webs(0))?;
    let lb1 = lab.lb1();
    lb1.sh("ipvsadm -A -t 10.77.0.10:9999 -s sh; ipvsadm -a -t 10.77.0.10:9999 -r 10.77.0.98:1 -m -w 9; ipvsadm -A -t [fd00:77::10]:9999 -s sh")?;
    let foreign = saved_table(lb1)?;
    for family in [Family::V4, Family::V6] {
        let mut director = Director::start(lb1, &config_of(family, "", "on_stop: remove"))?;
        wait_table(lb1, &table_of(family, 1, 1))?;
        director.stop()?;
        assert_eq!(saved_table(lb1)?, foreign);
    }
    Ok(())
}

fn a_stop_with_on_stop_drain(family: Family) -> Result<()> {
    let (lab, _webs) = lab_of(family)?;
    let lb1 = lab.lb1();
    let config = config_of(family, TCP, "on_stop: drain, drain_timeout: 1h");
    let mut director = Director::start(lb1, &config)?;
    wait_table(lb1, &table_of(family, 1, 1))?;
    let downloads = Downloads::start(lab.client(), vip_of(family), 2)?;
    director.process().kill(Signal::SIGTERM)?;
    wait_table(lb1, &table_of(family, 0, 0))?;
    ensure!(lab.client().enter(|| ask(vip_of(family)))?.is_err(), "a new connection was taken");
    wait_downloads(&downloads)?;
    // Its state can be seen meanwhile.
    let web1 = director.server("web", "web1")?.context("web1")?;
    assert_eq!(web1.state, "draining");

    drop(downloads);
    let status = director.wait_end(LIMIT)?;
    ensure!(status.success(), "{status}: {}", director.process().log_tail());
    assert_eq!(saved_table(lb1)?, [""; 0]);
    Ok(())
}

#[test]
fn a_stop_with_on_stop_drain_waits_for_what_is_under_way_and_takes_nothing_new() -> Result<()> {
    a_stop_with_on_stop_drain(Family::V4)
}

#[test]
fn so_does_one_of_ipv6() -> Result<()> {
    a_stop_with_on_stop_drain(Family::V6)
}

#[test]
fn a_second_signal_ends_the_wait_for_connections() -> Result<()> {
    let (lab, _webs) = lab()?;
    let lb1 = lab.lb1();
    let mut director = Director::start(lb1, &config("", "on_stop: drain, drain_timeout: 1h"))?;
    wait_table(lb1, &table(1, 1))?;
    let downloads = Downloads::start(lab.client(), vip(), 2)?;
    director.process().kill(Signal::SIGTERM)?;
    wait_table(lb1, &table(0, 0))?;
    assert_eq!(downloads.broken(), 0);
    director.stop()?;
    assert_eq!(saved_table(lb1)?, [""; 0]);
    ensure!(director.process().log().contains("a second signal ends the wait"));
    Ok(())
}
