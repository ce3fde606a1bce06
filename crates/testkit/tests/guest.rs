//! The guest runner: what goes in comes out, and nothing stays.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers as well")]

use std::{
    ffi::OsString,
    fs,
    io::{self, BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    sync::mpsc::{SyncSender, sync_channel},
    time::Duration,
};

use holdfast_testkit::{
    guest::{Guest, Kernel, Outcome, enter},
    lab::wait_until,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

const LIMIT: Duration = Duration::from_secs(60);

/// Runs a line of shell in a guest; its outcome, standard output and standard error.
fn sh(base: &Path, script: &str) -> (Outcome, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let outcome = Guest::new(["sh", "-c", script]).base(base).run(&mut out, &mut err).unwrap();
    (outcome, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

/// The processes of guests whose run folders are in `base`: their command lines name it. A process that has ended, but
/// was not collected yet, has none.
fn processes(base: &Path) -> Vec<String> {
    let base = base.to_str().unwrap();
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter(|entry| entry.path() != Path::new("/proc").join(std::process::id().to_string()))
        .filter_map(|entry| fs::read_to_string(entry.path().join("cmdline")).ok())
        .filter(|line| line.contains(base))
        .filter(|line| line.contains("linux.uml") || line.contains("qemu-system"))
        .collect()
}

fn run_folders(base: &Path) -> usize {
    fs::read_dir(base).unwrap().count()
}

#[test]
fn statuses_and_signals_are_passed_on() {
    let base = tempfile::tempdir().unwrap();
    for (script, code) in [("exit 0", 0), ("exit 7", 7), ("exit 255", 255), ("kill -9 $$", 137)] {
        let (outcome, out, err) = sh(base.path(), script);
        assert_eq!(
            (outcome, out.as_str(), err.as_str()),
            (Outcome::Exited(code), "", ""),
            "{script}"
        );
    }
    assert_eq!(sh(base.path(), "exec /no/such/program").0, Outcome::Exited(127));
    assert_eq!(run_folders(base.path()), 0);
}

#[test]
fn both_streams_come_whole_and_apart() {
    let base = tempfile::tempdir().unwrap();
    // Without a newline at the end, with one stream opened a second time, and more than a pipe holds.
    let (outcome, out, err) = sh(
        base.path(),
        "seq 100000; printf end; echo one >&2; echo two >/dev/stderr; printf three >&2",
    );
    assert_eq!(outcome, Outcome::Exited(0));
    let expected: String = (1..=100_000).map(|n| format!("{n}\n")).collect();
    assert!(out == expected + "end", "{} bytes came", out.len());
    assert_eq!(err, "one\ntwo\nthree");
}

/// A writer that hands on what it gets.
struct Channel(SyncSender<Vec<u8>>);

impl Write for Channel {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send(bytes.to_vec()).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn output_streams_while_the_command_runs() {
    let base = tempfile::tempdir().unwrap();
    let shared = tempfile::tempdir().unwrap();
    let go_on = shared.path().join("go-on");
    let (sender, receiver) = sync_channel(16);
    let script =
        format!("echo early; while ! [ -e {0} ]; do sleep 0.05; done; echo late", go_on.display());
    let guest = Guest::new(["sh", "-c", &script]).base(base.path()).writable(shared.path());
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| guest.run(&mut Channel(sender), &mut io::sink()).unwrap());
        assert_eq!(receiver.recv_timeout(LIMIT).unwrap(), b"early\n");
        assert!(!thread.is_finished());
        fs::write(&go_on, "").unwrap();
        assert_eq!(receiver.recv_timeout(LIMIT).unwrap(), b"late\n");
        assert_eq!(thread.join().unwrap(), Outcome::Exited(0));
    });
}

#[test]
fn the_host_s_tree_is_read_only_but_for_named_folders() {
    let base = tempfile::tempdir().unwrap();
    let (open, closed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(closed.path().join("old"), "old").unwrap();
    let script = format!(
        "set -e; echo new >{0}/new; echo new >{0}/old; rm /etc/hostname; echo x >/etc/x; cat {0}/old; echo kept >{1}/kept",
        closed.path().display(),
        open.path().display()
    );
    let mut out = Vec::new();
    let outcome = Guest::new(["sh", "-c", &script])
        .base(base.path())
        .writable(open.path())
        .run(&mut out, &mut io::stderr())
        .unwrap();
    assert_eq!(outcome, Outcome::Exited(0));
    assert_eq!(out, b"new\n");
    assert_eq!(fs::read_to_string(closed.path().join("old")).unwrap(), "old");
    assert!(!closed.path().join("new").exists() && !Path::new("/etc/x").exists());
    assert!(Path::new("/etc/hostname").exists());
    assert_eq!(fs::read_to_string(open.path().join("kept")).unwrap(), "kept\n");
}

#[test]
fn folder_and_environment_are_the_caller_s() {
    let base = tempfile::tempdir().unwrap();
    let cwd = tempfile::tempdir().unwrap();
    let mut out = Vec::new();
    Guest::new([
        "sh",
        "-c",
        "pwd; echo \"$GIVEN\"; id -u; test -w /proc/sys/net/ipv4/ip_forward && echo rw",
    ])
    .base(base.path())
    .cwd(cwd.path())
    .env("GIVEN", "it's \"this\"\nand $that")
    .run(&mut out, &mut io::sink())
    .unwrap();
    let expected = format!("{}\nit's \"this\"\nand $that\n0\nrw\n", cwd.path().display());
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn the_kernel_has_what_the_lab_needs() {
    let base = tempfile::tempdir().unwrap();
    let script = "set -e
        for s in rr wrr lc wlc lblc lblcr dh sh mh sed nq fo ovf; do
            ipvsadm -A -t 192.0.2.1:80 -s $s && ipvsadm -D -t 192.0.2.1:80 || echo no scheduler $s
        done
        ip netns add a
        ip -n a link add veth0 type veth peer name veth1
        ip netns del a
        for type in bridge dummy ifb 'ipip local 192.0.2.1 remote 192.0.2.2' 'vrf table 5'; do
            ip link add name link0 type $type
            ip link del link0
        done
        ip link add name dummy7 type dummy
        ip link add name macvlan7 link dummy7 type macvlan mode private
        tc qdisc add dev dummy7 root netem loss 1%
        ip -6 address show lo | grep -q ::1";
    let (outcome, out, err) = sh(base.path(), script);
    assert_eq!((outcome, out.as_str(), err.as_str()), (Outcome::Exited(0), "", ""));
}

/// All in one boot, which takes long.
#[test]
fn the_stock_kernel_has_nftables_and_ipvs_and_its_guest_is_as_the_other() {
    let (base, open) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let script = "set -e
        nft add table inet both
        ipvsadm -A -t 192.0.2.1:80 -s rr
        for type in veth macvlan bridge fou ip_gre ip6_gre ipip sit ip6_tunnel; do modprobe $type; done
        uname -r; printf end
        echo error >&2
        echo gone >/etc/holdfast-gone; echo kept >kept
        exit 7";
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let outcome = Guest::new(["sh", "-c", script])
        .kernel(Kernel::Stock)
        .base(base.path())
        .cwd(open.path())
        .writable(open.path())
        .run(&mut out, &mut err)
        .unwrap();
    let (out, err) = (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap());
    assert_eq!((outcome, err.as_str()), (Outcome::Exited(7), "error\n"));
    assert!(out.ends_with("-amd64\nend"), "{out}");
    assert_eq!(fs::read_to_string(open.path().join("kept")).unwrap(), "kept\n");
    assert!(!Path::new("/etc/holdfast-gone").exists());
    assert_eq!((processes(base.path()), run_folders(base.path())), (Vec::new(), 0));
}

#[test]
fn the_time_limit_kills_the_guest() {
    let base = tempfile::tempdir().unwrap();
    let mut out = Vec::new();
    let outcome = Guest::new([
        "sh",
        "-c",
        "echo started; trap '' TERM INT; sleep 1000 & while :; do :; done",
    ])
    .base(base.path())
    .timeout(Duration::from_secs(10))
    .run(&mut out, &mut io::sink())
    .unwrap();
    assert_eq!((outcome, outcome.code()), (Outcome::TimedOut, 124));
    assert_eq!(out, b"started\n");
    wait_until(LIMIT, "the guest's processes to go", || {
        processes(base.path()).is_empty().then_some(())
    })
    .unwrap();
    assert_eq!(run_folders(base.path()), 0);
}

#[test]
fn guests_at_the_same_time_share_nothing() {
    let base = tempfile::tempdir().unwrap();
    let shared = tempfile::tempdir().unwrap();
    // Each waits for the other's mark, so that they run at the same time or not at all.
    let run = |this: &'static str, other: &'static str| {
        let script = format!(
            "cd {}; ipvsadm -A -t 192.0.2.{this}:80; : >{this}; while ! [ -e {other} ]; do sleep 0.05; done; \
             ipvsadm -Sn; ls /run/netns; ip netns add same; touch /tmp/{this}; ls /tmp/[12] ",
            shared.path().display()
        );
        let (mut out, guest) = (Vec::new(), Guest::new(["sh", "-c", &script]));
        let guest = guest.base(base.path()).writable(shared.path()).timeout(LIMIT);
        let outcome = guest.run(&mut out, &mut io::stderr()).unwrap();
        let expected = format!("-A -t 192.0.2.{this}:80 -s wlc\n/tmp/{this}\n");
        assert_eq!((outcome, String::from_utf8(out).unwrap()), (Outcome::Exited(0), expected));
    };
    std::thread::scope(|scope| {
        scope.spawn(|| run("1", "2"));
        scope.spawn(|| run("2", "1"));
    });
}

#[test]
fn a_guest_that_dies_says_so_and_shows_its_log() {
    let base = tempfile::tempdir().unwrap();
    let error = Guest::new(["sh", "-c", "echo c >/proc/sysrq-trigger; sleep 1000"])
        .base(base.path())
        .run(&mut io::sink(), &mut io::sink())
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("the guest died under the command\nthe kernel's log is kept in "),
        "{error}"
    );
    assert!(error.contains("panic"), "{error}");
    let kept = error.split("kept in ").nth(1).unwrap().split(';').next().unwrap();
    assert!(Path::new(kept).exists(), "{kept}");
    wait_until(LIMIT, "the guest's processes to go", || {
        processes(base.path()).is_empty().then_some(())
    })
    .unwrap();
}

#[test]
fn a_guest_without_the_memory_to_boot_says_so() {
    let base = tempfile::tempdir().unwrap();
    let error = Guest::new(["true"])
        .base(base.path())
        .memory(16)
        .run(&mut io::sink(), &mut io::sink())
        .unwrap_err();
    assert!(error.to_string().starts_with("the guest did not boot\n"), "{error}");
}

#[test]
fn nothing_outlives_a_killed_runner() {
    for signal in [Signal::SIGKILL, Signal::SIGINT, Signal::SIGTERM] {
        let base = tempfile::tempdir().unwrap();
        let mut runner = Command::new(env!("CARGO_BIN_EXE_testkit-hold"))
            .arg("guest")
            .arg(base.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        wait_until(LIMIT, "the guest to run", || {
            let booted = fs::read_dir(base.path()).unwrap().flatten().next()?.path().join("stdout");
            fs::read_to_string(booted).ok().filter(|out| out == "up\n")
        })
        .unwrap();
        assert!(processes(base.path()).len() > 3);
        kill(Pid::from_raw(i32::try_from(runner.id()).unwrap()), signal).unwrap();
        runner.wait().unwrap();
        wait_until(LIMIT, "the guest's processes to go", || {
            processes(base.path()).is_empty().then_some(())
        })
        .unwrap();
        // What it left on disk goes with the next guest.
        assert_eq!(run_folders(base.path()), 1);
        sh(base.path(), "exit 0");
        assert_eq!(run_folders(base.path()), 0);
    }
}

#[test]
fn nothing_outlives_a_killed_guard() {
    let base = tempfile::tempdir().unwrap();
    let guest = Guest::new(["sh", "-c", "echo up; sleep 1000"]).base(base.path());
    let (sender, receiver) = sync_channel(16);
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| guest.run(&mut Channel(sender), &mut io::sink()));
        receiver.recv_timeout(LIMIT).unwrap();
        let guard = fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .find(|entry| {
                fs::read_to_string(entry.path().join("cmdline")).is_ok_and(|line| {
                    line.starts_with("/bin/sh\0") && line.contains(base.path().to_str().unwrap())
                })
            })
            .unwrap();
        let pid = guard.file_name().to_str().unwrap().parse().unwrap();
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
        let error = thread.join().unwrap().unwrap_err().to_string();
        assert!(error.starts_with("the guest died under the command\n"), "{error}");
    });
    wait_until(LIMIT, "the guest's processes to go", || {
        processes(base.path()).is_empty().then_some(())
    })
    .unwrap();
}

#[test]
fn a_guest_that_was_left_up_can_be_entered() {
    let base = tempfile::tempdir().unwrap();
    let enter = |script: &str| {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let argv = ["sh", "-c", script].map(OsString::from);
        let status = enter(&argv, Some(base.path()), &mut out, &mut err)?;
        Ok::<_, anyhow::Error>((status, String::from_utf8(out)?, String::from_utf8(err)?))
    };
    let nobody = enter("true").unwrap_err().to_string();
    assert!(nobody.starts_with("no guest was left up"), "{nobody}");
    let mut holder = Command::new(env!("CARGO_BIN_EXE_testkit-hold"))
        .arg("kept")
        .arg(base.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "kept\n");
    for (script, status, out, err) in [
        ("cat /run/mark; exit 5", 5, "left\n", ""),
        ("echo new >/run/mark; echo no >&2; kill -9 $$", 137, "", "no\n"),
        ("cat /run/mark; ipvsadm -Sn", 0, "new\n", ""),
    ] {
        assert_eq!(enter(script).unwrap(), (status, out.to_owned(), err.to_owned()), "{script}");
    }
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert!(enter("true").unwrap_err().to_string().starts_with("no guest was left up"));
}
