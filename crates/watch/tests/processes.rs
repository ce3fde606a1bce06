//! Processes as they begin, become another and end, heard from the kernel and read from /proc. Needs root.
#![expect(clippy::expect_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use holdfast_watch::{ProcessWatcher, Source};
use tempfile::TempDir;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(60);

/// A program with a name of its own: a copy of sleep(1).
struct Program(TempDir, String);

impl Program {
    fn new(name: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        install("/bin/sleep", &folder.path().join(name));
        Self(folder, name.to_owned())
    }

    fn path(&self) -> String {
        self.0.path().join(&self.1).to_str().expect("UTF-8").to_owned()
    }

    fn start(&self) -> Running {
        Running::of(Command::new(self.path()).arg("1000"))
    }
}

/// Copies by another process: were it this one, a command that another test starts at that moment would hold the copy open for
/// writing, and the kernel refuse to start it.
fn install(from: impl AsRef<Path>, to: &Path) {
    let status = Command::new("install").args(["-m", "755"]).arg(from.as_ref()).arg(to).status();
    assert!(status.expect("install (coreutils) starts").success());
}

/// A process that ends with the test.
struct Running(Child);

impl Running {
    fn of(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).spawn().expect("it starts"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

async fn watcher(name: &str, ask_the_kernel: bool) -> ProcessWatcher {
    let names = BTreeSet::from([name.to_owned()]);
    if !ask_the_kernel {
        return ProcessWatcher::scanning(names).await.expect("/proc");
    }
    let watcher = ProcessWatcher::open(names).await.expect("/proc");
    let source = watcher.source();
    assert_eq!(*source == Source::Kernel, kernel_tells(), "{source:?}; this test needs root");
    watcher
}

/// Whether this kernel has the connector (netlink protocol 11), and these are the namespaces that it is for: the first ones of the
/// host, whose numbers are fixed (linux/proc_ns.h).
fn kernel_tells() -> bool {
    let sockets = fs::read_to_string("/proc/net/netlink").expect("/proc");
    let connector =
        sockets.lines().any(|line| line.split_whitespace().skip(1).take(2).eq(["11", "0"]));
    let is = |kind: &str, number: &str| {
        let name = fs::read_link(format!("/proc/self/ns/{kind}")).expect("/proc");
        name.to_str() == Some(&format!("{kind}:[{number}]"))
    };
    connector && is("pid", "4026531836") && is("user", "4026531837")
}

/// Waits until there are so many. Others may be seen on the way: a fork has its parent's name until it runs a program.
async fn until(watcher: &mut ProcessWatcher, name: &str, count: u32) {
    let wait = async {
        loop {
            let counts = watcher.next().await.expect("/proc");
            if counts.get(name) == Some(&count) {
                return;
            }
        }
    };
    timeout(PATIENCE, wait).await.expect("the count comes");
}

async fn begin_and_end(kernel: bool) {
    let program = Program::new(if kernel { "hf-heard" } else { "hf-read" });
    let name = program.1.clone();
    let mut watcher = watcher(&name, kernel).await;
    until(&mut watcher, &name, 0).await;
    let first = program.start();
    until(&mut watcher, &name, 1).await;
    let second = program.start();
    until(&mut watcher, &name, 2).await;
    // Killed and not waited for: a zombie is no process any more.
    let mut second = second;
    second.0.kill().expect("it is ours");
    until(&mut watcher, &name, 1).await;
    drop(first);
    until(&mut watcher, &name, 0).await;
}

#[tokio::test]
async fn processes_begin_and_end_as_the_kernel_tells() {
    begin_and_end(true).await;
}

#[tokio::test]
async fn processes_begin_and_end_as_proc_says() {
    begin_and_end(false).await;
}

#[tokio::test]
async fn a_process_that_was_there_before_is_counted() {
    let program = Program::new("hf-before");
    let _running = program.start();
    let mut watcher = watcher("hf-before", true).await;
    until(&mut watcher, "hf-before", 1).await;
}

#[tokio::test]
async fn a_script_has_its_own_name_and_that_of_its_interpreter() {
    let folder = tempfile::tempdir().expect("a folder");
    let (script, interpreter) = (folder.path().join("hf-script"), folder.path().join("hf-shell"));
    install("/bin/sh", &interpreter);
    let text = format!("#!{}\nwhile :; do sleep 1000; done\n", interpreter.display());
    fs::write(folder.path().join("draft"), text).expect("a file of ours");
    install(folder.path().join("draft"), &script);
    for name in ["hf-script", "hf-shell"] {
        let mut watcher = watcher(name, true).await;
        until(&mut watcher, name, 0).await;
        let mut command = Command::new(&script);
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let running = Running::of(&mut command);
        until(&mut watcher, name, 1).await;
        let group = nix::unistd::Pid::from_raw(running.0.id().cast_signed());
        nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL).expect("it is ours");
        until(&mut watcher, name, 0).await;
    }
}

#[tokio::test]
async fn a_thousand_short_lives_leave_the_count_right() {
    let program = Program::new("hf-burst");
    let mut watcher = watcher("hf-burst", true).await;
    until(&mut watcher, "hf-burst", 0).await;
    let _stays = program.start();
    let burst = format!("i=0; while [ $i -lt 1000 ]; do '{}' 0; i=$((i+1)); done", program.path());
    let mut shell = Running::of(Command::new("sh").args(["-c", &burst]));
    // Not a word is read meanwhile: the queue fills.
    let ended = tokio::task::spawn_blocking(move || shell.0.wait().expect("it ends"));
    assert!(ended.await.expect("it ends").success());
    // What it says last counts: it may tell of some of them on the way.
    until(&mut watcher, "hf-burst", 1).await;
    let mut last = 1;
    while let Ok(counts) = timeout(Duration::from_millis(300), watcher.next()).await {
        last = counts.expect("/proc").get("hf-burst").copied().unwrap_or(last);
    }
    assert_eq!(last, 1);
}
