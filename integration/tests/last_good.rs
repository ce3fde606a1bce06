//! A configuration of several files, one that is broken at the start, and secrets that are nowhere to be seen.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holdfast_integration::{Director, Programs};
use holdfast_testkit::lab::{Lab, Nginx, Topology, VIP4, wait_until};

/// Nothing here takes longer.
const LIMIT: Duration = Duration::from_secs(60);

fn lab() -> Result<Lab> {
    Lab::with(Topology::one_arm().webs(0))
}

fn edge(more: &str) -> String {
    format!(
        "vrrp: {{instances: {{edge: {{interface: eth0, vrid: 51, addresses: [{VIP4}/24]{more}}}}}}}\n"
    )
}

fn daemon(lab: &Lab, more: &str) -> String {
    let state = lab.lb1().folder().join("state");
    format!("daemon: {{state: {}{more}}}\n", state.display())
}

/// Asks the director's HTTP listener; the status and the body.
fn http(lab: &Lab, path: &str) -> Result<(u16, String)> {
    let url = format!("http://127.0.0.1:9650{path}");
    let said = lab.lb1().sh(&format!("curl -s -w '\\n%{{http_code}}' {url}"))?.stdout;
    let (body, code) = said.rsplit_once('\n').context("a status")?;
    Ok((code.trim().parse()?, body.to_owned()))
}

#[test]
fn included_files_are_one_configuration_and_problems_name_their_own_lines() -> Result<()> {
    let lab = lab()?;
    let folder = lab.lb1().folder().to_owned();
    fs::create_dir_all(folder.join("conf.d"))?;
    let main = format!("include: conf.d/*.yaml\n{}", daemon(&lab, ""));
    lab.lb1().write("conf.d/10-edge.yaml", &edge(""))?;
    let director = Director::start(lab.lb1(), &main)?;
    let transitions = director.wait_instance("edge", "active", LIMIT)?.transitions;
    // Another file beside is a reload.
    lab.lb1().write("conf.d/20-more.yaml", "\nvrrp:\n  instances:\n    more: {interface: eth0, vrid: 52, addresses: [10.77.0.112/24]}\n")?;
    let said = director.cli(&["reload"])?;
    ensure!(said.contains("+ vrrp  more"), "{said}");
    director.wait_instance("more", "active", LIMIT)?;
    // A broken one refuses it, and the place is that of the file.
    lab.lb1().write("conf.d/30-bad.yaml", "# a comment\nvrrp:\n  instances:\n    more: {interface: eth0, vrid: 53, addresses: [10.77.0.113/24]}\n    bad: {interface: eth0, vrid: 0, addresses: [10.77.0.114/24]}\n")?;
    for verb in ["plan", "reload"] {
        let (code, _, err) = director.try_cli(&[verb])?;
        ensure!(code == 78, "{verb}: {code} {err}");
        for part in [
            "30-bad.yaml:4:5",
            "20-more.yaml:4:5",
            "30-bad.yaml:5:34",
            "`vrrp.instances.more` is in two files",
        ] {
            ensure!(err.contains(part), "{verb}: no {part:?} in {err}");
        }
    }
    let file = folder.join("holdfast.yaml");
    let (code, _, err) = director.try_cli(&["check", "--offline", &file.to_string_lossy()])?;
    ensure!(code == 78 && err.contains("30-bad.yaml:5:34"), "{code} {err}");
    fs::remove_file(folder.join("conf.d/30-bad.yaml"))?;
    director.cli(&["reload"])?;
    assert_eq!(director.instance("edge")?.transitions, transitions);
    Ok(())
}

#[test]
fn a_broken_file_at_the_start_is_refused_or_the_last_good_one_is_used_loudly() -> Result<()> {
    let lab = lab()?;
    let good = |policy: &str| {
        format!(
            "{}{}",
            daemon(&lab, &format!(", http: {{listen: '127.0.0.1:9650'}}{policy}")),
            edge("")
        )
    };
    let broken = |text: &str| text.replace("vrid: 51", "vrid: 512");
    let last_good = ", on_bad_config: last_good";
    let state = lab.lb1().folder().join("state/last-good.state");
    let wait_kept = |words: &str| {
        wait_until(LIMIT, "the configuration to be kept", || {
            fs::read_to_string(&state).ok()?.contains(words).then_some(())
        })
    };
    // Nothing is good yet.
    let refused = Director::refusal(lab.lb1(), &broken(&good(last_good)), &[])?;
    ensure!(refused.code == 78, "{refused:?}");
    let mut director = Director::start(lab.lb1(), &good(""))?;
    wait_kept("vrid: 51")?;
    director.stop()?;
    // What the last good one says counts.
    let refused = Director::refusal(lab.lb1(), &broken(&good(last_good)), &[])?;
    ensure!(refused.code == 78, "{refused:?}");

    director.node().write("holdfast.yaml", &good(""))?;
    director.restart()?;
    director.node().write("holdfast.yaml", &good(last_good))?;
    director.cli(&["reload"])?;
    wait_kept("last_good")?;
    director.wait_instance("edge", "active", LIMIT)?;
    for bad in [broken(&good(last_good)), "vrrp: [".to_owned(), String::new()] {
        director.kill()?;
        director.node().write("holdfast.yaml", &bad)?;
        director.restart()?;
        director.wait_instance("edge", "active", LIMIT)?;
        let instead = director.status()?.daemon.configuration.last_good.context("in use")?;
        ensure!(instead.error.contains("error[HF0"), "{instead:?}");
        ensure!(
            director.cli(&["status"])?.contains("! the configuration's file is not usable"),
            "the status"
        );
        let log = director.process().log();
        ensure!(log.contains("the daemon works with the last good one"), "{log}");
        let (code, body) = http(&lab, "/readyz")?;
        ensure!(code == 503 && body.contains("the last good one is used"), "{code} {body}");
        let (_, metrics) = http(&lab, "/metrics")?;
        ensure!(metrics.contains("holdfast_config_last_good_in_use 1"), "the metric");
    }
    // A reload that succeeds ends it.
    director.node().write("holdfast.yaml", &good(last_good))?;
    director.cli(&["reload"])?;
    assert_eq!(director.status()?.daemon.configuration.last_good, None);
    wait_until(LIMIT, "the daemon to be ready", || {
        (http(&lab, "/readyz").ok()?.0 == 200).then_some(())
    })?;
    let (_, metrics) = http(&lab, "/metrics")?;
    ensure!(metrics.contains("holdfast_config_last_good_in_use 0"), "the metric");
    Ok(())
}

/// Passwords, a header's token, and where each stands.
const SECRETS: [&str; 5] =
    ["hunter2x", "s3cr3tfi", "cr3dent1", "t0ken-of-a-header", "r3dis-password-of-a-check"];

/// A configuration in which each kind of secret stands where it may.
fn with_secrets(daemon: &str, vrid: u32, file: &Path) -> String {
    format!(
            "{}vrrp:
  instances:
    a: {{interface: eth0, vrid: {vrid}, version: 2, authentication: {{password: {}}}, addresses: [10.77.0.10/24]}}
    b: {{interface: eth0, vrid: 52, version: 2, authentication: {{password_file: {}}}, addresses: [10.77.0.112/24]}}
    c: {{interface: eth0, vrid: 53, version: 2, authentication: {{password_credential: vrrp}}, addresses: [10.77.0.113/24]}}
services:
  web:
    listen: tcp 10.77.0.10:80
    forward: nat
    checks:
      - {{http: {{headers: {{X-Token: {}}}}}, interval: 500ms, timeout: 400ms}}
      - {{redis: {{port: 80, password_credential: db}}, interval: 500ms, timeout: 400ms}}
    real_servers: {{web1: 10.77.0.21:80}}
",
            daemon,
            SECRETS[0],
            file.display(),
            SECRETS[3]
    )
}

/// Another node that has the passwords in its file hears this one, and stays Backup.
fn a_peer_with_the_same_passwords_hears(lab: &Lab) -> Result<()> {
    let other = format!(
        "vrrp:
  instances:
    b: {{interface: eth0, vrid: 52, version: 2, priority: 50, authentication: {{password: {}}}, addresses: [10.77.0.112/24]}}
    c: {{interface: eth0, vrid: 53, version: 2, priority: 50, authentication: {{password: {}}}, addresses: [10.77.0.113/24]}}
",
        SECRETS[1], SECRETS[2]
    );
    let peer = Director::start(lab.lb2(), &other)?;
    for name in ["b", "c"] {
        let what = format!("{name} to be heard");
        wait_until(LIMIT, &what, || (!peer.instance(name).ok()?.peers.is_empty()).then_some(()))
            .with_context(|| format!("{:?}", peer.instance(name)))?;
        assert_eq!(peer.instance(name)?.state, "backup");
    }
    Ok(())
}

/// What `holdfast check` says of the file in `folder`.
fn check(folder: &Path) -> Result<(i32, String, String)> {
    let output = std::process::Command::new(Programs::find()?.holdfast)
        .args(["check", "--node", "lb1"])
        .arg(folder.join("holdfast.yaml"))
        .output()?;
    Ok((0, String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?))
}

#[test]
fn secrets_are_in_no_output() -> Result<()> {
    let lab = Lab::with(Topology::one_arm().webs(1))?;
    let _web = Nginx::start(lab.web(1), 80)?;
    let folder = lab.lb1().folder().to_owned();
    let write = |name: &str, text: &str| -> Result<std::path::PathBuf> {
        let path = lab.lb1().write(name, text)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        Ok(path)
    };
    let file = write("secret", &format!("{}\n", SECRETS[1]))?;
    fs::create_dir_all(folder.join("credentials"))?;
    write("credentials/vrrp", &format!("{}\n", SECRETS[2]))?;
    write("credentials/db", &format!("{}\n", SECRETS[4]))?;
    let text =
        |vrid: u32| with_secrets(&daemon(&lab, ", http: {listen: '127.0.0.1:9650'}"), vrid, &file);
    // Without the service manager there is no credential, and without its password an instance would be alone.
    let refused = Director::refusal(lab.lb1(), &text(51), &[])?;
    ensure!(refused.code != 0 && refused.stderr.contains("the credential `vrrp`"), "{refused:?}");
    let credentials = format!("CREDENTIALS_DIRECTORY={}", folder.join("credentials").display());
    let by: Vec<OsString> = vec!["env".into(), credentials.into()];
    let director = Director::start_by(lab.lb1(), &text(51), &by)?;
    for name in ["a", "b", "c"] {
        director.wait_instance(name, "active", LIMIT)?;
    }
    a_peer_with_the_same_passwords_hears(&lab)?;
    let mut shown = Vec::new();
    let mut take = |what: &str, (_, out, err): (i32, String, String)| {
        shown.push((what.to_owned(), format!("{out}{err}")));
    };
    take("status", director.try_cli(&["status"])?);
    take("status json", director.try_cli(&["status", "-o", "json"])?);
    take("diff", director.try_cli(&["diff", "-o", "json"])?);
    take("export", director.try_cli(&["export"])?);
    // The login is said to a web server, which does not understand it.
    director.wait_server("web", "web1", "down", LIMIT)?;
    let tried = director.try_cli(&["check-run", "web/web1"])?;
    ensure!(tried.0 == 1 && tried.1.contains("(hidden)"), "{tried:?}");
    take("check-run", tried);
    take("events", director.try_cli(&["events", "-o", "json"])?);
    // Another password, a broken file, and a file that is no password: plans, reloads and their errors.
    fs::write(&file, format!("{}\n", &SECRETS[1][..7]))?;
    director.node().write("holdfast.yaml", &text(60))?;
    take("plan", director.try_cli(&["plan"])?);
    take("reload", director.try_cli(&["reload"])?);
    director.node().write("holdfast.yaml", &text(600))?;
    take("broken plan", director.try_cli(&["plan"])?);
    take("broken reload", director.try_cli(&["reload", "-o", "json"])?);
    director.node().write("holdfast.yaml", &format!("{}\n  x", text(51)))?;
    take("torn reload", director.try_cli(&["reload"])?);
    fs::write(&file, format!("{}-and-more\n", SECRETS[1]))?;
    director.node().write("holdfast.yaml", &text(51))?;
    take("long password", director.try_cli(&["reload"])?);
    take("check", check(&folder)?);
    for path in ["/v1/status", "/metrics"] {
        shown.push((path.to_owned(), http(&lab, path)?.1));
    }
    shown.push(("log".to_owned(), director.process().log()));
    for (what, text) in &shown {
        ensure!(!text.is_empty(), "{what} says nothing");
        for secret in SECRETS {
            // The file's password lost its last byte meanwhile.
            ensure!(!text.contains(&secret[..7]), "{what} has a secret: {text}");
        }
    }
    let exported = &shown.iter().find(|(what, _)| what == "export").context("export")?.1;
    ensure!(
        exported.contains("password_credential: vrrp") && exported.contains("********"),
        "{exported}"
    );
    // What is kept for the next start has it, and is for the daemon alone.
    let kept = folder.join("state/last-good.state");
    let mode =
        |path: &Path| -> Result<u32> { Ok(fs::metadata(path)?.permissions().mode() & 0o777) };
    assert_eq!((mode(&kept)?, mode(&folder.join("state"))? & 0o027), (0o600, 0));
    Ok(())
}
