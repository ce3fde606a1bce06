//! Run-time changes: they come back after a restart and a reload, those that shall not don't, and what was torn harms nothing.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holdfast_control::RuntimeChanges;
use holdfast_integration::{Director, weights};
use holdfast_testkit::lab::{Lab, Topology, wait_until};
use serde_json::Value;

/// Nothing here takes longer.
const LIMIT: Duration = Duration::from_secs(60);

/// The service as ipvsadm names it.
const SERVICE: &str = "-t 10.77.0.10:80";

/// A director with a service over two servers, neither of which is checked, and a state directory of its own.
fn config(lab: &Lab, servers: &str, more: &str) -> String {
    let state = state(lab);
    format!(
        "daemon: {{state: {}}}
services:
  web:
    listen: tcp 10.77.0.10:80
    scheduler: wrr
    forward: nat
    real_servers: {{{servers}}}
{more}",
        state.display()
    )
}

fn state(lab: &Lab) -> PathBuf {
    lab.lb1().folder().join("state")
}

const BOTH: &str = "web1: 10.77.0.21:80, web2: {address: 10.77.0.22:80, weight: 2}";

fn lab() -> Result<Lab> {
    Lab::with(Topology::one_arm().webs(0))
}

/// Waits until the kernel has exactly these destinations.
fn wait_weights(director: &Director, expected: &[(&str, u32)]) -> Result<()> {
    let expected = expected.iter().map(|(to, weight)| ((*to).to_owned(), *weight)).collect();
    wait_until(LIMIT, &format!("the kernel to have {expected:?}"), || {
        (weights(director.node(), SERVICE).ok()? == expected).then_some(())
    })
    .with_context(|| director.process().log_tail())
}

fn reload(director: &Director, config: &str) -> Result<String> {
    director.node().write("holdfast.yaml", config)?;
    director.cli(&["reload"])
}

/// What `holdfast diff` has: the server, what was changed of it, and whether it is ephemeral.
fn changes(director: &Director) -> Result<Vec<(String, String, bool)>> {
    let found: RuntimeChanges = serde_json::from_str(&director.cli(&["diff", "-o", "json"])?)?;
    ensure!(found.journal_problem.is_none(), "{found:?}");
    let change = |one: holdfast_control::RuntimeChange| {
        let to = one.to.map_or_else(String::new, |to| format!(" {to}"));
        (one.server, format!("{}{to}", one.kind), one.ephemeral)
    };
    Ok(found.changes.into_iter().map(change).collect())
}

/// Changes of every kind, in the order of servers.
fn change_everything(director: &Director) -> Result<()> {
    for words in [
        &["server", "weight", "web", "web1", "5", "--reason", "more memory"][..],
        &["server", "drain", "web", "web1", "--reason", "kernel upgrade"],
        &["server", "rm", "web", "web2", "--now"],
        &["server", "add", "web", "10.77.0.23:80", "--name", "web3", "--weight", "4"],
        &["server", "weight", "web", "web3", "50%"],
        &["server", "add", "web", "10.77.0.24:80", "--name", "web4", "--ephemeral"],
        &["server", "add", "web", "10.77.0.25:80", "--name", "web5"],
        &["server", "maint", "web", "web5"],
    ] {
        director.cli(words)?;
    }
    Ok(())
}

/// What outlives the daemon of them.
fn kept() -> Vec<(String, String, bool)> {
    [
        ("web1", "weight 5"),
        ("web1", "drain"),
        ("web2", "removed"),
        ("web3", "added weight 4"),
        ("web3", "weight 50% of 4"),
        ("web5", "added weight 1"),
        ("web5", "maint"),
    ]
    .map(|(server, what)| (server.to_owned(), what.to_owned(), false))
    .to_vec()
}

#[test]
fn changes_come_back_after_a_kill_and_after_a_stop_and_ephemeral_ones_do_not() -> Result<()> {
    let lab = lab()?;
    let mut director = Director::start(lab.lb1(), &config(&lab, BOTH, ""))?;
    assert_eq!(changes(&director)?, []);
    change_everything(&director)?;
    wait_weights(&director, &[("10.77.0.23:80", 2), ("10.77.0.24:80", 1), ("10.77.0.25:80", 0)])?;
    let (code, shown, _) = director.try_cli(&["diff", "--exit-code"])?;
    ensure!(code == 4 && shown.contains("by root \"kernel upgrade\""), "{code} {shown}");
    ensure!(shown.contains("+ web/web4") && shown.contains("(ephemeral)"), "{shown}");
    ensure!(director.cli(&["status"])?.contains("8 run-time changes"), "the status");

    director.kill()?;
    director.restart()?;
    assert_eq!(changes(&director)?, kept());
    // web4 is in the kernel and in nothing that the daemon knows: it drains. What has drained is not there to be drained again.
    wait_weights(&director, &[("10.77.0.23:80", 2), ("10.77.0.25:80", 0)])?;
    let web1 = director.wait_server("web", "web1", "drained", LIMIT)?;
    let order = web1.order.context("who drains it")?;
    assert_eq!(web1.weight, 5);
    assert_eq!(order.reason.as_deref(), Some("kernel upgrade"));
    assert_eq!(director.server("web", "web2")?, None);
    let web3 = director.server("web", "web3")?.context("web3")?;
    assert_eq!((web3.origin.as_str(), web3.share_percent), ("runtime", 50));
    ensure!(web3.changes.iter().all(|one| one.who.as_deref() == Some("root") && one.at > 0), "who");

    director.stop()?;
    director.restart()?;
    assert_eq!(changes(&director)?, kept());
    wait_weights(&director, &[("10.77.0.23:80", 2), ("10.77.0.25:80", 0)])?;
    // What is taken back leaves nothing.
    for words in [
        &["server", "weight", "web", "web1", "1"][..],
        &["server", "ready", "web", "web1"],
        &["server", "add", "web", "10.77.0.22:80", "--name", "web2", "--weight", "2"],
        &["server", "rm", "web", "web3", "--now"],
        &["server", "rm", "web", "web5", "--now"],
    ] {
        director.cli(words)?;
    }
    assert_eq!(changes(&director)?, []);
    director.kill()?;
    director.restart()?;
    assert_eq!(changes(&director)?, []);
    wait_weights(&director, &[("10.77.0.21:80", 1), ("10.77.0.22:80", 2)])
}

#[test]
fn changes_stand_over_reloads_and_a_file_that_names_them_makes_them_its_own() -> Result<()> {
    let lab = lab()?;
    let mut director = Director::start(lab.lb1(), &config(&lab, BOTH, ""))?;
    change_everything(&director)?;
    let other = "  more: {listen: tcp 10.77.0.11:80, forward: nat}\n";
    reload(&director, &config(&lab, BOTH, other))?;
    let after: Vec<_> = changes(&director)?.into_iter().filter(|one| !one.2).collect();
    assert_eq!(after, kept());
    // The service goes and comes back, and a restart between: nothing is forgotten, and `diff` says what can't be meanwhile.
    let without = format!("daemon: {{state: {}}}\nservices: {{}}\n", state(&lab).display());
    reload(&director, &without)?;
    director.kill()?;
    director.restart()?;
    let shown = director.cli(&["diff"])?;
    // The daemon knows of it from the one before, and lets it drain.
    let why = "! web/web3 does not hold: the configuration has service `web` no longer";
    ensure!(shown.contains(why), "{shown}");
    reload(&director, &config(&lab, BOTH, ""))?;
    assert_eq!(changes(&director)?, kept());
    wait_weights(&director, &[("10.77.0.23:80", 2), ("10.77.0.25:80", 0)])?;
    // The file has it now, weight and all.
    let three = "web1: {address: 10.77.0.21:80, weight: 7}, web2: {address: 10.77.0.22:80, weight: 2}, web3: {address: 10.77.0.23:80, weight: 9}";
    reload(&director, &config(&lab, three, ""))?;
    let expected: Vec<_> = kept()
        .into_iter()
        .filter(|(server, what, _)| server != "web3" && what != "weight 5")
        .collect();
    assert_eq!(changes(&director)?, expected);
    director.kill()?;
    director.restart()?;
    assert_eq!(changes(&director)?, expected);
    // A change that can't be is forgotten by hand: by its name, and by its address with and without the port.
    reload(&director, &without)?;
    let mut left = expected;
    for (server, word) in [("web5", "web5"), ("web2", "10.77.0.22:80"), ("web1", "10.77.0.21")] {
        ensure!(left.iter().any(|(other, ..)| other == server), "{server}: {left:?}");
        director.cli(&["server", "rm", "web", word])?;
        left.retain(|(other, ..)| other != server);
        assert_eq!(changes(&director)?, left, "{word}");
    }
    // Until it has drained there is the service, and a server that it has not is removed already.
    wait_until(LIMIT, "the service to be gone", || {
        director.status().ok()?.services.is_empty().then_some(())
    })?;
    let (code, _, said) = director.try_cli(&["server", "rm", "web", "10.77.0.99"])?;
    ensure!(code == 1 && said.contains("no service `web`"), "{code} {said}");
    Ok(())
}

#[test]
fn what_is_torn_or_foreign_is_set_aside_and_said_and_the_file_counts() -> Result<()> {
    let lab = lab()?;
    let mut director = Director::start(lab.lb1(), &config(&lab, BOTH, ""))?;
    director.cli(&["server", "weight", "web", "web1", "5"])?;
    let journal = state(&lab).join("runtime.state");
    let good = std::fs::read(&journal)?;
    let newer = String::from_utf8(good.clone())?.replacen("runtime 1 ", "runtime 2 ", 1);
    for bad in [&good[..good.len() - 5], b"{}", b"", newer.as_bytes()] {
        director.kill()?;
        std::fs::write(&journal, bad)?;
        director.restart()?;
        let status = director.status()?;
        let problem = status.daemon.journal_problem.context("the status says nothing")?;
        ensure!(problem.contains("runtime.set-aside"), "{problem}");
        ensure!(
            director.process().log().contains("run-time changes of an earlier daemon are lost"),
            "the log"
        );
        assert_eq!(std::fs::read(state(&lab).join("runtime.set-aside"))?, bad);
        assert_eq!(director.server("web", "web1")?.context("web1")?.weight, 1);
    }
    // It goes on as ever.
    director.cli(&["server", "weight", "web", "web1", "6"])?;
    assert_eq!(director.status()?.daemon.journal_problem, None);
    director.kill()?;
    director.restart()?;
    assert_eq!(changes(&director)?, [("web1".to_owned(), "weight 6".to_owned(), false)]);
    Ok(())
}

#[test]
fn where_nothing_can_be_kept_commands_work_and_say_so() -> Result<()> {
    let lab = lab()?;
    let director = Director::start(lab.lb1(), &config(&lab, BOTH, ""))?;
    std::fs::rename(state(&lab), state(&lab).with_extension("away"))?;
    std::fs::write(state(&lab), "in the way")?;
    let said = director.cli(&["server", "weight", "web", "web1", "5"])?;
    ensure!(said.contains("it ends with the daemon, because it can't be kept: write "), "{said}");
    wait_weights(&director, &[("10.77.0.21:80", 5), ("10.77.0.22:80", 2)])?;
    ensure!(director.cli(&["status"])?.contains("! run-time changes: write "), "the status");
    let (code, _, err) = director.try_cli(&["export"])?;
    // An export begins with the file as the daemon has read it, which it has kept there.
    ensure!(code == 1 && err.contains("last-good.state: Not a directory"), "{code} {err}");
    Ok(())
}

/// Said again when the disk has room again, a command that changes nothing of the pool writes what could not be written.
#[test]
fn a_command_said_again_is_answered_when_it_is_kept_and_tries_again() -> Result<()> {
    let lab = lab()?;
    let mut director = Director::start(lab.lb1(), &config(&lab, BOTH, ""))?;
    let away = state(&lab).with_extension("away");
    director.cli(&["server", "add", "web", "10.77.0.23:80", "--name", "web3"])?;
    let without = format!("daemon: {{state: {}}}\nservices: {{}}\n", state(&lab).display());
    reload(&director, &without)?;
    wait_until(LIMIT, "the service to be gone", || {
        director.status().ok()?.services.is_empty().then_some(())
    })?;
    std::fs::rename(state(&lab), &away)?;
    std::fs::write(state(&lab), "in the way")?;
    let (unkept, same) = ("because it can't be kept: write ", "because they can't be kept: write ");
    // What does not hold is forgotten, and that is answered like any other change.
    let said = director.cli(&["server", "rm", "web", "web3"])?;
    ensure!(said.contains("that is forgotten") && said.contains(unkept), "{said}");
    reload(&director, &config(&lab, BOTH, ""))?;
    let drain = ["server", "drain", "web", "web1"];
    ensure!(director.cli(&drain)?.contains(unkept), "the drain");
    for again in [&drain[..], &["server", "rm", "web", "web3"]] {
        let said = director.cli(again)?;
        ensure!(said.contains(same), "{again:?}: {said}");
    }
    std::fs::remove_file(state(&lab))?;
    std::fs::rename(&away, state(&lab))?;
    let said = director.cli(&drain)?;
    ensure!(!said.contains("be kept"), "{said}");
    assert_eq!(director.status()?.daemon.journal_problem, None);
    director.kill()?;
    director.restart()?;
    assert_eq!(changes(&director)?, [("web1".to_owned(), "drain".to_owned(), false)]);
    Ok(())
}

/// A server that a command has removed gets another name in the file, and is taken back by its address: the removal is over for good.
#[test]
fn a_removal_that_was_taken_back_under_another_name_does_not_strike_again() -> Result<()> {
    let lab = lab()?;
    let mut director = Director::start(lab.lb1(), &config(&lab, BOTH, ""))?;
    let both = [("10.77.0.21:80", 1), ("10.77.0.22:80", 2)];
    wait_weights(&director, &both)?;
    for ephemeral in [false, true] {
        reload(&director, &config(&lab, BOTH, ""))?;
        director.cli(&["server", "rm", "web", "web1", "--now"])?;
        let renamed = "web1b: 10.77.0.21:80, web2: {address: 10.77.0.22:80, weight: 2}";
        reload(&director, &config(&lab, renamed, ""))?;
        wait_weights(&director, &both[1..])?;
        let mut add = vec!["server", "add", "web", "10.77.0.21:80"];
        add.extend(ephemeral.then_some("--ephemeral"));
        director.cli(&add)?;
        let other = "  more: {listen: tcp 10.77.0.11:80, forward: nat}\n";
        reload(&director, &config(&lab, renamed, other))?;
        let web1b = director.server("web", "web1b")?.context("web1b")?;
        ensure!(web1b.state != "draining" && web1b.order.is_none(), "{web1b:?}");
        wait_weights(&director, &both)?;
        assert_eq!(changes(&director)?, []);
        director.kill()?;
        director.restart()?;
        let is_removed = director.server("web", "web1b")?.is_none_or(|one| one.order.is_some());
        assert_eq!(is_removed, ephemeral, "that was for this daemon's life");
    }
    director.cli(&["server", "add", "web", "10.77.0.21:80"])?;
    wait_weights(&director, &both)?;
    assert_eq!(changes(&director)?, []);
    Ok(())
}

/// The configuration that `holdfast export` prints is valid, and a daemon that gets it has what this one has.
#[test]
fn an_export_is_a_file_that_makes_changes_its_own() -> Result<()> {
    let lab = lab()?;
    let more = format!("include: {}/conf.d/*.yaml\n", lab.lb1().folder().display());
    std::fs::create_dir_all(lab.lb1().folder().join("conf.d"))?;
    lab.lb1()
        .write("conf.d/dns.yaml", "services: {dns: {listen: udp 10.77.0.10:53, forward: nat}}\n")?;
    let director = Director::start(lab.lb1(), &config(&lab, BOTH, &more))?;
    change_everything(&director)?;
    director.wait_server("web", "web1", "drained", LIMIT)?;
    let (code, text, notes) = director.try_cli(&["export"])?;
    ensure!(code == 0 && !text.contains("include"), "{code} {text}");
    for note in
        ["web/web1 drain: a file has no such state", "web/web4 added: it ends with the daemon"]
    {
        ensure!(notes.contains(note), "no {note:?} in {notes}");
    }
    let before = director.status()?.services;
    director.node().write("exported.yaml", &text)?;
    let file = director.node().folder().join("exported.yaml");
    let file = file.to_string_lossy();
    director.cli(&["check", "--offline", "--node", "lb1", &file])?;
    let planned = director.cli(&["plan", &file])?;
    for line in ["+ server  web/web3", "- server  web/web2", "~ server  web/web1"] {
        ensure!(planned.contains(line), "no {line:?} in {planned}");
    }
    reload(&director, &text)?;
    let left: Vec<String> = changes(&director)?
        .into_iter()
        .filter(|one| !one.2)
        .map(|(name, what, _)| format!("{name} {what}"))
        .collect();
    assert_eq!(left, ["web1 drain", "web5 maint"], "what no file can say");
    let shape = |services: &[holdfast_control::Service]| -> Vec<String> {
        let servers = services.iter().flat_map(|service| &service.servers);
        servers.map(|s| format!("{} {} {}", s.name, s.address, s.state)).collect()
    };
    wait_until(LIMIT, "the same servers in the same states", || {
        (shape(&director.status().ok()?.services) == shape(&before)).then_some(())
    })
    .with_context(|| {
        format!("{:?}, not {:?}", director.status().map(|now| shape(&now.services)), shape(&before))
    })
}

#[test]
fn a_lease_is_renewed_by_repetition_and_its_end_is_a_drain() -> Result<()> {
    let lab = lab()?;
    let mut director = Director::start(lab.lb1(), &config(&lab, BOTH, ""))?;
    let add =
        ["server", "add", "web", "10.77.0.23:80", "--name", "web3", "--ttl", "6s", "-o", "json"];
    let changed = |words: &[&str]| -> Result<Value> {
        Ok(serde_json::from_str::<Value>(&director.cli(words)?)?["changed"].clone())
    };
    assert_eq!((changed(&add)?, changed(&add)?), (true.into(), false.into()));
    let web3 = director.server("web", "web3")?.context("web3")?;
    assert_eq!((web3.origin.as_str(), web3.lease_ms), ("lease", Some(6000)));
    // It registers as its boot script would, for longer than its lease.
    let began = std::time::Instant::now();
    while began.elapsed() < Duration::from_secs(8) {
        assert_eq!(changed(&add)?, false);
        std::thread::sleep(Duration::from_millis(200));
    }
    // Another daemon gives it its whole time again.
    director.kill()?;
    director.restart()?;
    let web3 = director.server("web", "web3")?.context("web3")?;
    assert_eq!((web3.origin.as_str(), web3.state.as_str()), ("lease", "up"));
    wait_until(LIMIT, "the server to be gone", || {
        director.server("web", "web3").ok()?.is_none().then_some(())
    })?;
    wait_weights(&director, &[("10.77.0.21:80", 1), ("10.77.0.22:80", 2)])?;
    ensure!(director.process().log().contains("the lease of a real server has ended"), "the log");
    wait_until(LIMIT, "no change to be left", || {
        changes(&director).ok()?.is_empty().then_some(())
    })?;
    director.kill()?;
    director.restart()?;
    assert_eq!(director.server("web", "web3")?, None);
    let (code, _, err) =
        director.try_cli(&["server", "add", "web", "10.77.0.23:80", "--ttl", "10ms"])?;
    ensure!(code == 1 && err.contains("a lease is 1s to 7 days"), "{code} {err}");
    Ok(())
}

/// Many at once: each is answered when it is on the disk, and the next daemon has them all.
#[test]
fn changes_that_come_together_are_all_kept() -> Result<()> {
    let lab = lab()?;
    let mut director = Director::start(lab.lb1(), &config(&lab, BOTH, ""))?;
    std::thread::scope(|scope| {
        let adders: Vec<_> = (0..4)
            .map(|block| {
                let director = &director;
                scope.spawn(move || -> Result<()> {
                    for host in 1..=10 {
                        let address = format!("10.77.{}.{host}:80", 10 + block);
                        director.cli(&["server", "add", "web", &address])?;
                    }
                    Ok(())
                })
            })
            .collect();
        adders.into_iter().try_for_each(|adder| {
            adder.join().map_err(|_panic| anyhow::anyhow!("an adder panicked"))?
        })
    })?;
    director.kill()?;
    director.restart()?;
    assert_eq!(director.service("web")?.servers.len(), 42);
    assert_eq!(changes(&director)?.len(), 40);
    Ok(())
}

/// What a command has removed of the file's is the file's again when its address is added: with its name, its weight and its checks, over reloads and
/// restarts.
#[test]
fn a_server_of_the_file_that_is_added_again_is_the_files_again() -> Result<()> {
    let lab = lab()?;
    let servers = "web1: 10.77.0.21:80, web2: {address: 10.77.0.22:80, weight: 2, check: {tcp: {}, interval: 1h}}";
    let six = "  six:
    listen: 'tcp [fd00:77::10]:80'
    forward: nat
    real_servers: {a: {address: '[fd00:77::21]:80', weight: 7}}
";
    let text = config(&lab, servers, six);
    let mut director = Director::start(lab.lb1(), &text)?;
    let is_back = |director: &Director| -> Result<()> {
        for (service, name, weight, checks) in [("web", "web2", 2, 1), ("six", "a", 7, 0)] {
            let found = director.server(service, name)?;
            let found = found.with_context(|| format!("{service} has no {name}"))?;
            assert_eq!((found.origin.as_str(), found.weight), ("config", weight), "{found:?}");
            assert_eq!(found.checks.len(), checks, "{found:?}");
            ensure!(found.state != "draining", "{found:?}");
        }
        assert_eq!(changes(director)?, []);
        Ok(())
    };
    let remove = |director: &Director, more: &[&str]| -> Result<()> {
        for server in ["web/web2", "six/a"] {
            director.cli(&[&["server", "rm", server], more].concat())?;
        }
        Ok(())
    };
    let add = |director: &Director| -> Result<()> {
        director.cli(&["server", "add", "web", "10.77.0.22:80"])?;
        director.cli(&["server", "add", "six", "[fd00:77::21]:80"]).map(drop)
    };
    remove(&director, &["--now"])?;
    assert_eq!(director.server("web", "web2")?.map(|one| one.name), None);
    // By another name it would be two servers at one address, for whoever reads the file.
    let other = ["server", "add", "web", "10.77.0.22:80", "--name", "other"];
    let (code, _, said) = director.try_cli(&other)?;
    ensure!(code == 1 && said.contains("`web2`") && said.contains("without a name"), "{said}");
    add(&director)?;
    is_back(&director)?;
    reload(&director, &text.replace("weight: 7", "weight: 7, upper_threshold: 9"))?;
    is_back(&director)?;
    director.kill()?;
    director.restart()?;
    is_back(&director)?;
    // A server is known by its address, too.
    let said = director.cli(&["server", "drain", "web", "10.77.0.22:80"])?;
    ensure!(said.starts_with("web/web2 "), "{said}");
    director.cli(&["server", "ready", "web/10.77.0.22:80"])?;
    director.cli(&["server", "weight", "six", "[fd00:77::21]:80", "9"])?;
    director.cli(&["server", "weight", "six/[fd00:77::21]:80", "7"])?;
    is_back(&director)?;
    let (code, _, said) = director.try_cli(&["server", "drain", "web", "10.77.0.99:80"])?;
    ensure!(code == 1 && said.contains("`web` has no server at 10.77.0.99:80"), "{said}");
    // What nobody has is removed, as with a name.
    for address in
        ["web/10.77.0.99:80", "web/10.77.0.99", "six/[fd00:77::99]:80", "six/fd00:77::99"]
    {
        let said = director.cli(&["server", "rm", address])?;
        ensure!(said.contains("and nothing was removed"), "{said}");
    }
    // While it drains to be removed, too. Who takes the last one out is told.
    let said = director.cli(&["server", "maint", "six", "a"])?;
    ensure!(said.contains("no server of the service takes new connections now"), "{said}");
    let said = director.cli(&["server", "ready", "six", "a"])?;
    ensure!(!said.contains("no server of the service"), "{said}");
    remove(&director, &[])?;
    add(&director)?;
    is_back(&director)
}

/// Where another server of the service has it, too, the port is asked for.
#[test]
fn a_server_is_meant_by_its_address_alone_where_no_other_has_it() -> Result<()> {
    let lab = lab()?;
    let six = "  six: {listen: 'tcp [fd00:77::10]:80', forward: nat, real_servers: {a: '[fd00:77::21]:80'}}\n";
    let director = Director::start(lab.lb1(), &config(&lab, BOTH, six))?;
    director.cli(&["server", "add", "web", "10.77.0.22:8080", "--name", "other"])?;
    for verb in ["drain", "rm"] {
        let (code, _, said) = director.try_cli(&["server", verb, "web", "10.77.0.22"])?;
        ensure!(code == 1 && said.contains("have 10.77.0.22: say the port"), "{code} {said}");
    }
    director.cli(&["server", "rm", "web", "10.77.0.22:8080", "--now"])?;
    let said = director.cli(&["server", "maint", "web", "10.77.0.22"])?;
    ensure!(said.starts_with("web/web2 maint"), "{said}");
    let run = director.cli(&["check-run", "six", "[fd00:77::21]"])?;
    ensure!(run.starts_with("six/a ([fd00:77::21]:80), run by the daemon"), "{run}");
    for (service, name, address) in [("web", "web1", "10.77.0.21"), ("six", "a", "fd00:77::21")] {
        director.cli(&["server", "rm", service, address, "--now"])?;
        assert_eq!(director.server(service, name)?.map(|one| one.name), None);
        // Said again it is still known of whom.
        let said = director.cli(&["server", "rm", service, address])?;
        ensure!(said.starts_with(&format!("{service}/{name} is not there")), "{said}");
    }
    // As from `server add` without a port, whose name the daemon makes.
    director.cli(&["server", "add", "web", "10.77.0.23:80"])?;
    director.cli(&["server", "rm", "web/10.77.0.23", "--now"])?;
    wait_weights(&director, &[("10.77.0.22:80", 0)])
}
