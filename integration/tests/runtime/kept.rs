//! What commands have changed outlives the daemon, and a disk that fails harms nothing.

use anyhow::{Context, Result, ensure};
use holdfast_integration::Director;
use holdfast_testkit::lab::wait_until;

use crate::{BOTH, LIMIT, SERVICE, change_everything, changes, config, kept, lab, state};

#[test]
fn changes_come_back_after_a_kill_and_after_a_stop_and_ephemeral_ones_do_not() -> Result<()> {
    let lab = lab()?;
    let mut director = Director::start(lab.lb1(), &config(&lab, BOTH, ""))?;
    assert_eq!(changes(&director)?, []);
    change_everything(&director)?;
    director.wait_weights(
        SERVICE,
        &[("10.77.0.23:80", 2), ("10.77.0.24:80", 1), ("10.77.0.25:80", 0)],
    )?;
    let (code, shown, _) = director.try_cli(&["diff", "--exit-code"])?;
    ensure!(code == 4 && shown.contains("by root \"kernel upgrade\""), "{code} {shown}");
    ensure!(shown.contains("+ web/web4") && shown.contains("(ephemeral)"), "{shown}");
    ensure!(director.cli(&["status"])?.contains("8 run-time changes"), "the status");

    director.kill()?;
    director.restart()?;
    assert_eq!(changes(&director)?, kept());
    // web4 is in the kernel and in nothing that the daemon knows: it drains. What has drained is not there to be drained again.
    director.wait_weights(SERVICE, &[("10.77.0.23:80", 2), ("10.77.0.25:80", 0)])?;
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
    director.wait_weights(SERVICE, &[("10.77.0.23:80", 2), ("10.77.0.25:80", 0)])?;
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
    director.wait_weights(SERVICE, &[("10.77.0.21:80", 1), ("10.77.0.22:80", 2)])
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
    director.wait_weights(SERVICE, &[("10.77.0.21:80", 5), ("10.77.0.22:80", 2)])?;
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
    director.reload(&without)?;
    wait_until(LIMIT, "the service to be gone", || {
        director.status().ok()?.services.is_empty().then_some(())
    })?;
    std::fs::rename(state(&lab), &away)?;
    std::fs::write(state(&lab), "in the way")?;
    let (unkept, same) = ("because it can't be kept: write ", "because they can't be kept: write ");
    // What does not hold is forgotten, and that is answered like any other change.
    let said = director.cli(&["server", "rm", "web", "web3"])?;
    ensure!(said.contains("that is forgotten") && said.contains(unkept), "{said}");
    director.reload(&config(&lab, BOTH, ""))?;
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
