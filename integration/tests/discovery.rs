//! Servers that files name: they come and go as the files do, and no broken file empties a pool.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holdfast_integration::{Director, weights};
use holdfast_testkit::lab::{Lab, Topology, wait_until};

/// Nothing here takes longer.
const LIMIT: Duration = Duration::from_secs(60);

/// The service as ipvsadm names it.
const SERVICE: &str = "-t 10.77.0.10:80";

struct Files(PathBuf);

impl Files {
    /// Writes a file as a generator should: beside, and then renamed.
    fn write(&self, name: &str, text: &str) -> Result<()> {
        let fresh = self.0.join(format!(".{name}"));
        fs::write(&fresh, text)?;
        Ok(fs::rename(&fresh, self.0.join(name))?)
    }

    fn remove(&self, name: &str) -> Result<()> {
        Ok(fs::remove_file(self.0.join(name))?)
    }
}

/// A lab, and the directory of its service's files.
fn lab() -> Result<(Lab, Files)> {
    let lab = Lab::with(Topology::one_arm().webs(0))?;
    let directory = lab.lb1().folder().join("targets");
    fs::create_dir_all(&directory)?;
    Ok((lab, Files(directory)))
}

fn config(lab: &Lab, files: &Files, policy: &str) -> String {
    format!(
        "daemon: {{state: {}}}
services:
  web:
    listen: tcp 10.77.0.10:80
    scheduler: wrr
    forward: nat
    discover: {{directory: {}, debounce: 50ms{policy}}}
    real_servers: {{web1: 10.77.0.21:80}}
",
        lab.lb1().folder().join("state").display(),
        files.0.display()
    )
}

fn targets(hosts: impl IntoIterator<Item = u8>) -> String {
    let targets: Vec<String> =
        hosts.into_iter().map(|host| format!("\"10.77.0.{host}:80\"")).collect();
    format!("[{{\"targets\": [{}], \"labels\": {{\"job\": \"web\"}}}}]", targets.join(", "))
}

/// Waits until the kernel has the file's server and these besides, with a weight of 1.
fn wait_hosts(director: &Director, hosts: impl IntoIterator<Item = u8>) -> Result<()> {
    let hosts = hosts.into_iter().chain([21]).map(|host| (format!("10.77.0.{host}:80"), 1));
    let expected = hosts.collect();
    wait_until(LIMIT, &format!("the kernel to have {expected:?}"), || {
        (weights(director.node(), SERVICE).ok()? == expected).then_some(())
    })
    .with_context(|| director.process().log_tail())
}

/// Waits until the status has a problem of the files with these words.
fn wait_problem(director: &Director, words: &str) -> Result<()> {
    wait_until(LIMIT, &format!("a problem with {words:?}"), || {
        let discovery = director.service("web").ok()?.discovery?;
        discovery.problems.iter().any(|problem| problem.contains(words)).then_some(())
    })
    .with_context(|| format!("{:?}", director.service("web").map(|service| service.discovery)))
}

#[test]
fn servers_come_and_go_with_files_and_a_broken_one_changes_nothing() -> Result<()> {
    let (lab, files) = lab()?;
    let mut director = Director::start(lab.lb1(), &config(&lab, &files, ""))?;
    files.write("a.json", &targets(31..=34))?;
    files.write("b.yaml", "- targets: [10.77.0.41:80]\n  labels: {name: extra, weight: 1}\n")?;
    wait_hosts(&director, [31, 32, 33, 34, 41])?;
    let extra = director.server("web", "extra")?.context("extra")?;
    assert_eq!(extra.origin, "discovered");

    // Half a file, and none of what it said is lost; the other file goes on.
    fs::write(files.0.join("a.json"), "[{\"targets\": [\"10.77.0.31:80\"")?;
    files.write("b.yaml", "- targets: [10.77.0.42:80]\n")?;
    wait_hosts(&director, [31, 32, 33, 34, 42])?;
    wait_problem(&director, "a.json:1:")?;
    ensure!(director.cli(&["status"])?.contains("a.json:1:"), "the status");
    // Another daemon starts while it is broken.
    director.kill()?;
    director.restart()?;
    wait_problem(&director, "a.json:1:")?;
    wait_hosts(&director, [31, 32, 33, 34, 42])?;
    // The kernel has it all the while; the daemon has read the files by then.
    wait_until(LIMIT, "31 to be of the files", || {
        let found = director.server("web", "10.77.0.31-80").ok()??;
        (found.origin == "discovered").then_some(())
    })?;

    files.write("a.json", &targets(32..=34))?;
    wait_hosts(&director, [32, 33, 34, 42])?;
    files.remove("b.yaml")?;
    wait_hosts(&director, [32, 33, 34])?;
    assert_eq!(
        director.service("web")?.discovery.context("discovery")?.problems,
        Vec::<String>::new()
    );
    Ok(())
}

#[test]
fn what_takes_too_much_away_is_not_believed() -> Result<()> {
    let (lab, files) = lab()?;
    files.write("a.json", &targets(31..=36))?;
    let director = Director::start(lab.lb1(), &config(&lab, &files, ""))?;
    wait_hosts(&director, 31..=36)?;
    for (text, words) in [
        (targets([]), "name no server at all"),
        (targets(31..=32), "4 of 6 servers, more than 50 percent"),
        (targets([99]), "6 of 6 servers"),
        (targets([31, 32, 33, 34, 10]), "10.77.0.10"),
        ("[{targets: [web.example:80]}]".to_owned(), "web.example"),
        (String::new(), "empty"),
    ] {
        files.write("a.json", &text)?;
        wait_problem(&director, words)?;
        wait_hosts(&director, 31..=36)?;
    }
    files.remove("a.json")?;
    wait_problem(&director, "name no server at all")?;
    fs::rename(&files.0, files.0.with_extension("away"))?;
    wait_problem(&director, "no such file or directory")?;
    wait_hosts(&director, 31..=36)?;
    fs::create_dir(&files.0)?;
    // In steps it may go, and where the configuration allows it, at once.
    files.write("a.json", &targets(31..=33))?;
    wait_hosts(&director, 31..=33)?;
    let kinds: Vec<String> = serde_json::from_str::<serde_json::Value>(
        &director.cli(&["events", "-o", "json"])?,
    )?["events"]
        .as_array()
        .context("events")?
        .iter()
        .map(|event| event["kind"].to_string())
        .collect();
    ensure!(kinds.iter().any(|kind| kind.contains("discovery.refused")), "{kinds:?}");
    files.write("a.json", "[]")?;
    wait_problem(&director, "name no server at all")?;
    director.node().write("holdfast.yaml", &config(&lab, &files, ", allow_empty: true"))?;
    director.cli(&["reload"])?;
    wait_hosts(&director, [])
}

#[test]
fn commands_and_reloads_live_with_discovery() -> Result<()> {
    let (lab, files) = lab()?;
    files.write("a.json", &targets(31..=34))?;
    let mut director = Director::start(lab.lb1(), &config(&lab, &files, ""))?;
    wait_hosts(&director, 31..=34)?;
    director.cli(&["server", "rm", "web", "10.77.0.31-80", "--now"])?;
    director.cli(&["server", "drain", "web", "10.77.0.32-80"])?;
    wait_hosts(&director, [33, 34])?;
    files.write("a.json", &targets(31..=35))?;
    wait_hosts(&director, [33, 34, 35])?;
    director.kill()?;
    director.restart()?;
    wait_hosts(&director, [33, 34, 35])?;
    // The kernel has the others all the while; the daemon has read the files by then.
    wait_until(LIMIT, "32 to be of the files, and drained", || {
        let found = director.server("web", "10.77.0.32-80").ok()??;
        (found.admin == "drain" && found.origin == "discovered").then_some(())
    })?;
    let (code, text, notes) = director.try_cli(&["export"])?;
    ensure!(code == 0 && !text.contains("10.77.0.33"), "{text}");
    ensure!(notes.contains("servers that files name"), "{notes}");
    // Without `discover` its servers drain.
    let without = config(&lab, &files, "")
        .lines()
        .filter(|line| !line.contains("discover"))
        .collect::<Vec<_>>()
        .join("\n");
    director.node().write("holdfast.yaml", &without)?;
    director.cli(&["reload"])?;
    wait_hosts(&director, [])
}
