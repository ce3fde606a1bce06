//! A server process and its folder.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use holdfast_health::{Code, Outcome, Verdict};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{Pid, User};
use tempfile::TempDir;

use crate::support::probe;

/// Long enough for any answer that comes at all.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// A database on a busy machine takes its time to start.
const START: Duration = Duration::from_secs(120);

/// A folder that belongs to the user that servers run as.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        own(folder.path());
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).expect("ours");
        Self(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file that only the server's user may read.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, text).expect("a file of ours");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a file of ours");
        own(&path);
        path
    }
}

/// Gives `path` to the user that servers run as.
fn own(path: &Path) {
    let nobody = User::from_name("nobody").expect("the users are known").expect("nobody exists");
    let (uid, gid) = (nobody.uid.as_raw(), nobody.gid.as_raw());
    chown(path, Some(uid), Some(gid)).expect("only root gives files away: run this test as root");
}

/// A port of the loopback that nobody has, in either family.
pub(crate) fn free_port() -> u16 {
    loop {
        let v4 = TcpListener::bind("127.0.0.1:0").expect("bind on the loopback");
        let port = v4.local_addr().expect("a bound socket has an address").port();
        if TcpListener::bind(("::1", port)).is_ok() {
            return port;
        }
    }
}

/// A command that runs as nobody and dies with the test.
pub(crate) fn unprivileged(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args([
        "--reuid=nobody",
        "--regid=nogroup",
        "--clear-groups",
        "--pdeathsig=KILL",
        program,
    ]);
    command
        .stdin(Stdio::null())
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C");
    command
}

/// A server that runs until this is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) folder: Folder,
}

impl Server {
    /// Starts `command`; what it prints goes into the file `output` of its folder.
    pub(crate) fn start(mut command: Command, folder: Folder) -> Self {
        let output = fs::File::create(folder.path().join("output")).expect("a file of ours");
        command.stdout(output.try_clone().expect("a file of ours")).stderr(output);
        let child = command.process_group(0).spawn().expect("setpriv (util-linux) starts");
        Self { child, folder }
    }

    /// Waits until `check` passes, and gives the outcome.
    pub(crate) async fn until_passes(&mut self, check: &str, address: SocketAddr) -> Outcome {
        let started = Instant::now();
        let mut pace = tokio::time::interval(Duration::from_millis(50));
        loop {
            pace.tick().await;
            let outcome = ask(check, address).await;
            if outcome.verdict == Verdict::Pass {
                return outcome;
            }
            let ended = self.child.try_wait().expect("a child of ours");
            let output = fs::read_to_string(self.folder.path().join("output")).unwrap_or_default();
            assert!(ended.is_none(), "the server has ended ({ended:?}):\n{output}");
            assert!(started.elapsed() < START, "{}\n{output}", outcome.reason);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a process id"));
        // SIGQUIT: a database leaves without tidying up.
        let _gone = kill(pid, Signal::SIGQUIT);
        for _ in 0..200 {
            if matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        // Its children in its group, should there be any left.
        let _gone = killpg(pid, Signal::SIGKILL);
        let _status = self.child.wait();
    }
}

/// Runs `check` once.
pub(crate) async fn ask(check: &str, address: SocketAddr) -> Outcome {
    probe(check, address).run(PATIENCE).await
}

/// Asserts what `check` finds, and that its sentence has `says` in it.
pub(crate) async fn finds(check: &str, address: SocketAddr, code: Code, says: &str) {
    let outcome = ask(check, address).await;
    assert_eq!(outcome.reason.code, code, "{check}: {}", outcome.reason);
    assert!(outcome.reason.sentence.contains(says), "{check}: {}", outcome.reason);
}

/// The loopback's addresses with `port`, in both families.
pub(crate) fn both(port: u16) -> [SocketAddr; 2] {
    ["127.0.0.1", "::1"].map(|ip| SocketAddr::new(ip.parse().expect("an address"), port))
}
