//! What the daemon may do, and whom it believes: capabilities, its own user, folders and files that others could write.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holdfast_control::Status;
use holdfast_integration::{Director, Programs};
use holdfast_testkit::lab::{Lab, Nginx, Node, Output, Process, Topology, wait_until};
use nix::unistd::User;

const LIMIT: Duration = Duration::from_secs(60);

/// CAP_NET_BIND_SERVICE, CAP_NET_ADMIN, CAP_NET_RAW of linux/capability.h.
const ALWAYS: u64 = 1 << 10 | 1 << 12 | 1 << 13;
/// CAP_KILL, CAP_SETGID, CAP_SETUID.
const FOR_COMMANDS: u64 = 1 << 5 | 1 << 6 | 1 << 7;
/// CAP_IPC_LOCK, CAP_SYS_NICE.
const FOR_INSTANCES: u64 = 1 << 14 | 1 << 23;

const INSTANCE: &str = "vrrp: {instances: {edge: {interface: eth0, vrid: 51, interval: 200ms, addresses: [10.77.0.10/24]}}}\n";

fn services(check: &str) -> String {
    format!(
        "services: {{web: {{listen: tcp 10.77.0.10:80, forward: nat, check: {{{check}, interval: 3s, fast_interval: 300ms, down_interval: 300ms, timeout: 2900ms, spread: 0s, rise: 1}}, real_servers: {{web1: 10.77.0.21:80}}}}}}\n"
    )
}

fn lab() -> Result<(Lab, Nginx)> {
    let lab = Lab::with(Topology::one_arm().webs(1))?;
    let web = Nginx::start(lab.web(1), 80)?;
    Ok((lab, web))
}

/// The sets of capabilities that any thread of a process has, by their names in /proc/PID/status.
fn sets(pid: impl std::fmt::Display) -> Result<BTreeSet<(String, u64)>> {
    let mut sets = BTreeSet::new();
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        // One that has ended since may do nothing.
        let Ok(status) = fs::read_to_string(thread?.path().join("status")) else { continue };
        for line in status.lines() {
            if let Some((name, bits)) =
                line.split_once(":\t").filter(|(name, _)| name.starts_with("Cap"))
            {
                sets.insert((name.to_owned(), u64::from_str_radix(bits, 16)?));
            }
        }
    }
    Ok(sets)
}

/// What all threads of a process may do, and no more.
fn ensure_confined(pid: impl std::fmt::Display, allowed: u64) -> Result<()> {
    let expected: BTreeSet<_> = [
        ("CapInh", 0),
        ("CapPrm", allowed),
        ("CapEff", allowed),
        ("CapBnd", allowed),
        ("CapAmb", 0),
    ]
    .map(|(name, bits)| (name.to_owned(), bits))
    .into();
    let found = sets(pid)?;
    ensure!(found == expected, "{found:#x?} instead of {expected:#x?}");
    Ok(())
}

#[test]
fn a_root_daemon_keeps_what_its_configuration_needs_in_every_thread_and_works_with_it() -> Result<()>
{
    let (lab, _web) = lab()?;
    let daemon = "daemon: {scripts: {user: nobody}}\n";
    let exec = services("exec: {command: [/bin/true]}");
    let director = Director::start(lab.lb1(), &format!("{daemon}{INSTANCE}{exec}"))?;
    director.wait_instance("edge", "active", LIMIT)?;
    director.wait_server("web", "web1", "up", LIMIT)?;
    ensure_confined(director.process().pid(), ALWAYS | FOR_COMMANDS | FOR_INSTANCES)?;
    Ok(())
}

#[test]
fn what_was_given_up_does_not_come_back_by_a_reload_and_the_reload_says_so() -> Result<()> {
    let (lab, _web) = lab()?;
    let director = Director::start(lab.lb1(), &services("tcp: {}"))?;
    director.wait_server("web", "web1", "up", LIMIT)?;
    ensure_confined(director.process().pid(), ALWAYS)?;
    let file = lab.lb1().folder().join("holdfast.yaml");
    fs::write(
        &file,
        format!(
            "daemon: {{scripts: {{user: nobody}}}}\n{}",
            services("exec: {command: [/bin/true]}")
        ),
    )?;
    let (code, _, stderr) = director.try_cli(&["reload"])?;
    assert_eq!(code, 1, "{stderr}");
    ensure!(
        stderr.contains("restart needed") && stderr.contains("to run commands as another user"),
        "{stderr}"
    );
    assert_eq!(director.status()?.daemon.configuration.generation, 1);
    // Another address needs nothing of the kind.
    fs::write(&file, services("tcp: {}").replace("rise: 1", "rise: 2"))?;
    director.cli(&["reload"])?;
    Ok(())
}

/// `daemon.scripts` says that commands are meant to come.
#[test]
fn a_daemon_with_the_key_for_scripts_takes_its_first_command_by_a_reload() -> Result<()> {
    let (lab, _web) = lab()?;
    let scripts = "daemon: {scripts: {user: nobody}}\n";
    let director = Director::start(lab.lb1(), &format!("{scripts}{}", services("tcp: {}")))?;
    director.wait_server("web", "web1", "up", LIMIT)?;
    ensure_confined(director.process().pid(), ALWAYS | FOR_COMMANDS)?;
    let exec = services("exec: {command: [/bin/false]}");
    director.node().write("holdfast.yaml", &format!("{scripts}{exec}"))?;
    director.cli(&["reload"])?;
    let down = director.wait_server("web", "web1", "down", LIMIT)?;
    assert_eq!(down.reason.code, "PROCERR");
    Ok(())
}

/// A daemon as its own user: `nobody` with some capabilities, in a folder of its own.
struct OwnUser {
    process: Process,
    socket: PathBuf,
}

fn own_user(node: &Node, config: &str) -> Result<OwnUser> {
    let user = User::from_name("nobody")?.context("Debian has this user")?;
    let folder = node.folder().join("own");
    fs::create_dir(&folder)?;
    // The build's folder need not be open to everybody.
    let program = node.folder().join("holdfastd");
    fs::copy(Programs::find()?.holdfastd, &program)?;
    let config = node.write(
        "own.yaml",
        &format!(
            "{config}daemon: {{state: {0}/state, scripts: {{user: nobody}}}}\n",
            folder.display()
        ),
    )?;
    for path in [&folder, &config] {
        fs::set_permissions(
            path,
            fs::Permissions::from_mode(if path.is_dir() { 0o750 } else { 0o640 }),
        )?;
        chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
    }
    let socket = folder.join("control.sock");
    let capabilities = "+net_admin,+net_raw,+net_bind_service";
    let argv = [
        "setpriv".into(),
        "--reuid=nobody".into(),
        "--regid=nogroup".into(),
        "--clear-groups".into(),
        format!("--inh-caps={capabilities}"),
        format!("--ambient-caps={capabilities}"),
        program.display().to_string(),
        "--node=lb1".into(),
        "--config".into(),
        config.display().to_string(),
        "--socket".into(),
        socket.display().to_string(),
    ];
    let process = node.spawn("own", argv)?;
    Ok(OwnUser { process, socket })
}

impl OwnUser {
    fn status(&self) -> Option<Status> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
        runtime.block_on(holdfast_control::Client::new(&self.socket).status()).ok()
    }
}

#[test]
fn it_works_as_its_own_user_and_its_commands_have_none_of_its_rights() -> Result<()> {
    let (lab, _web) = lab()?;
    let node = lab.lb1();
    let said = node.folder().join("said");
    fs::create_dir(&said)?;
    fs::set_permissions(&said, fs::Permissions::from_mode(0o777))?;
    let script = node.write(
        "rights",
        &format!(
            "#!/bin/sh\ngrep Cap /proc/self/status >{0}/new && mv {0}/new {0}/rights\n",
            said.display()
        ),
    )?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    let check = format!("exec: {{command: [{}]}}", script.display());
    let daemon = own_user(node, &format!("{INSTANCE}{}", services(&check)))?;
    let works = wait_until(LIMIT, "the daemon to be active and its server up", || {
        let status = daemon.status()?;
        let active = status
            .vrrp
            .iter()
            .all(|instance| instance.state == "active" && instance.holds_addresses);
        let up = status.services.iter().all(|service| service.up == 1);
        let synced =
            status.ipvs.is_some_and(|ipvs| ipvs.errors.is_empty() && ipvs.in_sync_s_ago.is_some());
        (active && up && synced).then_some(())
    });
    works.with_context(|| daemon.process.log_tail())?;
    let found = sets(daemon.process.pid())?;
    ensure!(
        found.contains(&("CapEff".to_owned(), ALWAYS)) && found.contains(&("CapAmb".to_owned(), 0)),
        "{found:#x?}"
    );
    let rights = fs::read_to_string(said.join("rights"))?;
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        ensure!(rights.contains(&format!("{set}:\t0000000000000000")), "{rights}");
    }
    let state = fs::metadata(node.folder().join("own/state"))?;
    assert_eq!(state.mode() & 0o7777, 0o750);
    Ok(())
}

#[test]
fn a_start_is_refused_where_others_could_write_the_file_or_the_state() -> Result<()> {
    let (lab, _web) = lab()?;
    let node = lab.lb1();
    let open = node.folder().join("open");
    fs::create_dir(&open)?;
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777))?;
    let state = format!("daemon: {{state: {}}}\n{}", open.display(), services("tcp: {}"));
    let refused = start(node, &node.write("state.yaml", &state)?)?;
    assert_eq!(refused.code, 1, "{refused:?}");
    ensure!(
        refused.stderr.contains("`daemon.state`")
            && refused.stderr.contains("writable by group or others"),
        "{refused:?}"
    );

    let config = node.write("holdfast.yaml", &services("tcp: {}"))?;
    fs::set_permissions(&config, fs::Permissions::from_mode(0o666))?;
    let refused = start(node, &config)?;
    assert_eq!(refused.code, 78, "{refused:?}");
    ensure!(refused.stderr.contains("error[HF0720]"), "{refused:?}");
    fs::set_permissions(&config, fs::Permissions::from_mode(0o644))?;
    // While it runs, the same is no reload.
    let mut director = Director::start(node, &services("tcp: {}"))?;
    fs::set_permissions(&config, fs::Permissions::from_mode(0o666))?;
    let (code, _, stderr) = director.try_cli(&["reload"])?;
    assert_eq!(code, 78, "{stderr}");
    ensure!(stderr.contains("HF0720"), "{stderr}");
    director.stop()
}

/// Runs the daemon until it ends, which it must do by itself.
fn start(node: &Node, config: &Path) -> Result<Output> {
    let program = Programs::find()?.holdfastd;
    node.try_run([
        program.as_os_str(),
        "--node=lb1".as_ref(),
        "--config".as_ref(),
        config.as_os_str(),
    ])
}

/// What systemd would hear: that it is ready, and while all loops turn, that it is alive.
#[test]
fn the_service_manager_hears_that_the_loops_turn() -> Result<()> {
    let (lab, _web) = lab()?;
    let node = lab.lb1();
    let config = node.write("holdfast.yaml", &format!("{INSTANCE}{}", services("tcp: {}")))?;
    let notify = node.folder().join("notify");
    let manager = UnixDatagram::bind(&notify)?;
    manager.set_read_timeout(Some(LIMIT))?;
    let mut command = node.command(Programs::find()?.holdfastd);
    command
        .args(["--node", "lb1", "--config"])
        .arg(&config)
        .arg("--socket")
        .arg(node.folder().join("control.sock"));
    // The socket's queue holds ten messages, and the daemon waits for nobody: so few come that none is lost to a slow test.
    command.env("NOTIFY_SOCKET", &notify).env("WATCHDOG_USEC", "2000000");
    let process = node.spawn_command("holdfastd", command)?;
    let heard = |word: &str| -> Result<()> {
        let mut buffer = [0; 4096];
        loop {
            let length = manager
                .recv(&mut buffer)
                .with_context(|| format!("{word}: {}", process.log_tail()))?;
            let text = String::from_utf8_lossy(&buffer[..length]);
            if text.lines().any(|line| line.starts_with(word)) {
                return Ok(());
            }
        }
    };
    heard("READY=1")?;
    for _ in 0..3 {
        heard("WATCHDOG=1")?;
    }
    process.kill(nix::sys::signal::Signal::SIGHUP)?;
    heard("RELOADING=1")?;
    heard("READY=1")?;
    heard("WATCHDOG=1")?;
    process.kill(nix::sys::signal::Signal::SIGTERM)?;
    heard("STOPPING=1")
}

#[test]
fn the_unit_is_one_that_systemd_understands() -> Result<()> {
    let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/packaging");
    let folder = tempfile::tempdir()?;
    // The programs of the unit need not be installed here.
    let unit = fs::read_to_string(packaging.join("holdfastd.service"))?;
    let unit = unit
        .replace("/usr/sbin/holdfastd", "/bin/true")
        .replace("/usr/bin/holdfast ", "/bin/true ");
    fs::write(folder.path().join("holdfastd.service"), unit)?;
    let drop_in = folder.path().join("holdfastd.service.d");
    // In tenths of systemd's rating, where 10 is a service without any hardening and what is below 5 is called OK: a directive that is lost
    // is seen. Versions of systemd rate a little differently.
    for (with_drop_in, exposure) in [(false, 38), (true, 32)] {
        if with_drop_in {
            fs::create_dir(&drop_in)?;
            fs::copy(packaging.join("own-user.conf"), drop_in.join("own-user.conf"))?;
        }
        let verified = Command::new("systemd-analyze")
            .args(["verify", "--man=no"])
            .arg(folder.path().join("holdfastd.service"))
            .output()
            .context("systemd-analyze")?;
        let said = String::from_utf8_lossy(&verified.stderr).into_owned();
        // systemd before 253 does not know it, and keeps the line before.
        let odd: Vec<&str> = said
            .lines()
            .filter(|line| {
                line.contains("holdfastd")
                    && !line.ends_with("Failed to parse service type, ignoring: notify-reload")
            })
            .collect();
        ensure!(verified.status.success() && odd.is_empty(), "{said}");
        let rated = Command::new("systemd-analyze")
            .args(["security", "--offline=true", "--no-pager"])
            .arg(format!("--threshold={exposure}"))
            .arg(folder.path().join("holdfastd.service"))
            .output()
            .context("systemd-analyze")?;
        let said = String::from_utf8_lossy(&rated.stdout).into_owned();
        ensure!(
            rated.status.success() && said.contains("Overall exposure level"),
            "{said}{rated:?}"
        );
    }
    Ok(())
}
