//! A command without a shell, as an unprivileged user, in a clean environment and a process group of its own: an exec check, a
//! tracker's script, a hook.
//!
//! At its timeout the whole group is killed by SIGKILL, at once: who is late has nothing to finish. When the command ends
//! by itself, what it left running in its group is killed, too: a check leaves nothing behind. A child that made a session of its
//! own escapes both where there are no control groups of our own ([`confinement`]); it holds neither the run nor its pipe's reader.

mod confinement;
mod identity;
mod process;
mod program;
mod stuck;
pub mod trust;

use std::fmt::Display;
use std::io;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use holdfast_config::Convention;
use holdfast_health::{Asked, Code, Feedback, Outcome};
use nix::errno::Errno;
use nix::sys::signal::Signal;
use tokio::sync::Semaphore;
use tokio::time::{timeout as within, timeout_at};

use crate::finding::{Finding, describe, first_line, is_own_shortage};
use crate::transcript;
use process::Process;
use stuck::{At, Place, Stuck};

pub use confinement::{has_control_groups, leave_no_control_groups};
pub use process::OUTPUT_LIMIT;

/// So many commands run at once in this process, those included that the kernel has not let go of after their death. A run that
/// gets no place within its timeout is inconclusive. A check that is stuck has one place: its next run does not begin.
pub const COMMANDS_AT_ONCE: usize = 256;

/// So many commands run at once besides those: trackers' scripts and hooks, which checks of servers must not keep waiting.
pub const COMMANDS_APART: usize = 128;

/// A killed command that the kernel does not let go of (it waits for a dead file server, say) delays its run by this much at most;
/// it keeps its place among [`COMMANDS_AT_ONCE`] until it is gone.
pub const REAP_GRACE: Duration = Duration::from_millis(250);

static PLACES: Semaphore = Semaphore::const_new(COMMANDS_AT_ONCE);
static PLACES_APART: Semaphore = Semaphore::const_new(COMMANDS_APART);
static STUCK: Stuck = Stuck::new();

/// A command to run: exit status 0 passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exec {
    /// The program's absolute path and its arguments.
    pub command: Vec<String>,
    /// The user that it runs as; not root.
    pub user: String,
    /// Its environment but for PATH, which is fixed.
    pub environment: Vec<(String, String)>,
    /// What it can read from its standard input; nothing = /dev/null. A command that does not read it misses nothing else.
    pub input: Vec<u8>,
    /// What its exit status means.
    pub convention: Convention,
    /// Whether it is a hook, to which programs with the set-user-ID bit may give their rights (`sudo`), and which has no limits.
    pub gains: bool,
}

impl Exec {
    /// `command` as `user`, told by its environment what it is run for: HOLDFAST_SERVICE, HOLDFAST_SERVER, HOLDFAST_ADDRESS and
    /// HOLDFAST_PORT.
    pub fn new(
        command: Vec<String>,
        user: impl Into<String>,
        service: &str,
        server: &str,
        address: SocketAddr,
    ) -> Self {
        let environment = [
            ("HOLDFAST_SERVICE", service.to_owned()),
            ("HOLDFAST_SERVER", server.to_owned()),
            ("HOLDFAST_ADDRESS", address.ip().to_string()),
            ("HOLDFAST_PORT", address.port().to_string()),
        ];
        let environment = environment.map(|(key, value)| (key.to_owned(), value)).to_vec();
        Self {
            command,
            user: user.into(),
            environment,
            input: Vec::new(),
            convention: Convention::Plain,
            gains: false,
        }
    }

    /// Runs it once, among [`COMMANDS_APART`]: for what is no check of a server. Needs a tokio runtime with IO and time.
    pub async fn run_apart(&self, timeout: Duration) -> Outcome {
        let started = std::time::Instant::now();
        let exec = self.clone();
        let found = self.run_among(&PLACES_APART, timeout, move || exec.start(timeout)).await;
        let Finding { verdict, reason, .. } = found.unwrap_or_else(|unstarted| unstarted);
        Outcome { verdict, reason, took: started.elapsed() }
    }

    /// The same of what is tried again and again: while an earlier run is stuck none begins.
    pub async fn try_apart(&self, timeout: Duration) -> Outcome {
        match STUCK.of(self) {
            Some(at) => {
                let Finding { verdict, reason, .. } = self.stuck(at);
                Outcome { verdict, reason, took: Duration::ZERO }
            }
            None => self.run_apart(timeout).await,
        }
    }

    pub(crate) fn program(&self) -> &str {
        self.command.first().map_or("", String::as_str)
    }

    /// Runs it once as a check of a server. One that was not started says nothing of the server: an upgrade that takes a script away, or
    /// a folder that somebody made writable, must not take all servers out at once.
    pub(crate) async fn run(&self, timeout: Duration) -> Finding {
        if let Some(at) = STUCK.of(self) {
            return self.stuck(at);
        }
        let exec = self.clone();
        let found = self.run_among(&PLACES, timeout, move || exec.start(timeout)).await;
        found.unwrap_or_else(|unstarted| Finding::ours(unstarted.reason.sentence))
    }

    /// What is found while an earlier run is stuck: what that one has found.
    fn stuck(&self, at: At) -> Finding {
        let program = self.program();
        match at {
            At::Start => {
                let why = "an earlier run waits for its start still: does its path answer?";
                Finding::ours(format!("start {program}: {why}"))
            }
            At::Death => {
                let why =
                    "an earlier run was late and killed, but the kernel does not let go of it";
                Finding::fail(Code::PROCTOUT, format!("{program}: {why}"))
            }
        }
    }

    /// Runs it once, by `start`, which may block; an error is what is found of a command that was not started.
    async fn run_among(
        &self,
        places: &'static Semaphore,
        timeout: Duration,
        start: impl FnOnce() -> Result<Process, Finding> + Send + 'static,
    ) -> Result<Finding, Finding> {
        transcript::note(|| format!("start {:?} as {}", self.command, self.user));
        // The time for the place and for the start is one.
        let begin = tokio::time::Instant::now();
        // The semaphore is never closed.
        let place: Option<Place> =
            within(timeout, places.acquire()).await.ok().map(|place| Arc::new(place.ok()));
        let unstarted = || {
            let why = format!("start {}: not started within {timeout:?}", self.program());
            Finding::ours(why)
        };
        let Some(place) = place else { return Err(unstarted()) };
        // Looking up users, examining files and starting programs all may block. The place goes along: a thread that is stuck
        // there keeps it.
        let started = {
            let place = Arc::clone(&place);
            tokio::task::spawn_blocking(move || {
                let _place = place;
                start()
            })
        };
        let mut process = match timeout_at(begin + timeout, started).await {
            Ok(Ok(Ok(process))) => process,
            Ok(Ok(Err(unstarted))) => return Err(unstarted),
            Ok(Err(_no_thread)) => {
                let program = self.program();
                return Err(Finding::ours(format!("start {program}: the daemon is stopping")));
            }
            Err(_elapsed) => {
                STUCK.note(self, At::Start, &place);
                return Err(unstarted());
            }
        };
        // It has its whole timeout, however long it has waited for its place and its start: that is none of the server's.
        Ok(match within(timeout, process.finish()).await {
            Ok(Ok(status)) => {
                transcript::received(process.kept());
                self.judge(status, process.kept())
            }
            Ok(Err(error)) => {
                Finding::ours(format!("wait for {}: {}", self.program(), describe(&error)))
            }
            Err(_elapsed) => self.kill(process, place, timeout).await,
        })
    }

    /// Starts the command, or says why not. Blocks.
    fn start(&self, timeout: Duration) -> Result<Process, Finding> {
        let program = self.program();
        if !Path::new(program).is_absolute() {
            return Err(Finding::ours(format!("start {program:?}: not an absolute path")));
        }
        let identity = identity::identity(&self.user)
            .map_err(|error| Finding::ours(format!("start {program}: {error}")))?;
        let path = Path::new(program);
        if identity::is_root() {
            trust::examine(path).map_err(|error| self.refused(&error, error.cause()))?;
        }
        program::inspect(path).map_err(|error| self.refused(&error, error.cause()))?;
        Process::start(self, identity, timeout).map_err(|error| self.not_started(&error))
    }

    /// What it says that the command was not even tried. `cause` is the kernel's answer where it gave one.
    fn refused(&self, error: &dyn Display, cause: Option<&io::Error>) -> Finding {
        let program = self.program();
        let error = error.to_string();
        // Most often the path in question is the program's own.
        let why = error.strip_prefix(&format!("{program}: ")).unwrap_or(&error);
        let Some(cause) = cause else {
            return Finding::fail(Code::PROCERR, format!("refused to start {program}: {why}"));
        };
        let sentence = format!("start {program}: {why}");
        if is_own_shortage(cause) {
            return Finding::ours(sentence);
        }
        Finding::fail(Code::PROCERR, sentence)
    }

    fn not_started(&self, error: &io::Error) -> Finding {
        // That the program itself is there has been looked at before.
        let hint = match error.raw_os_error() == Some(Errno::ENOENT as i32) {
            true => "; what its first line names is not there",
            false => "",
        };
        let why = describe(error);
        let sentence = format!("start {} as {}: {why}{hint}", self.program(), self.user);
        // ETXTBSY: somebody writes the file at this moment. EPERM: this process may not become the user.
        let ours = [Errno::ETXTBSY, Errno::EPERM].map(|errno| Some(errno as i32));
        if is_own_shortage(error) || ours.contains(&error.raw_os_error()) {
            return Finding::ours(sentence);
        }
        Finding::fail(Code::PROCERR, sentence)
    }

    fn judge(&self, status: ExitStatus, output: &[u8]) -> Finding {
        let said = first_line(output);
        let said = if said.is_empty() { said } else { format!(": {said}") };
        let program = self.program();
        if let Some(signal) = status.signal() {
            let name = Signal::try_from(signal)
                .map_or_else(|_unnamed| format!("signal {signal}"), |signal| signal.to_string());
            return Finding::fail(Code::PROCERR, format!("{program}: killed by {name}{said}"));
        }
        let code = status.code().unwrap_or_default();
        let sentence = format!("{program}: exit status {code}{said}");
        match (code, self.convention) {
            (0, _) | (1, Convention::Nagios) => Finding::pass(Code::PROCOK, sentence),
            // The plugin could not find out.
            (3, Convention::Nagios) => Finding::ours(sentence),
            (2..=255, Convention::Weight) => {
                let weight = code.unsigned_abs() - 2;
                let sentence = format!("{sentence} (weight {weight})");
                let weight = Some(Asked::Weight(weight));
                Finding::pass(Code::PROCOK, sentence).advising(Feedback { weight, wish: None })
            }
            _ => Finding::fail(Code::PROCERR, sentence),
        }
    }

    /// Kills a command that is late. Its place is free only when it is gone.
    async fn kill(&self, mut process: Process, place: Place, timeout: Duration) -> Finding {
        process.kill();
        transcript::received(process.kept());
        let said = first_line(process.kept());
        let said = if said.is_empty() { said } else { format!("; it said: {said}") };
        let program = self.program();
        let sentence = format!("{program}: still running after {timeout:?}, killed{said}");
        if within(REAP_GRACE, process.gone()).await.is_ok() {
            return Finding::fail(Code::PROCTOUT, sentence);
        }
        STUCK.note(self, At::Death, &place);
        tokio::spawn(async move {
            let _gone = process.gone().await;
            drop(place);
        });
        Finding::fail(Code::PROCTOUT, sentence + ", but the kernel does not let go of it")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// A thread that waits for a dead path keeps its place, and its check gets no other one however often it is tried. Others go on, and so does it
    /// when the path answers.
    #[tokio::test]
    async fn a_check_that_is_stuck_has_one_place() {
        static FEW: Semaphore = Semaphore::const_new(2);
        const SHORT: Duration = Duration::from_millis(50);
        let user = nix::unistd::User::from_name("nobody").unwrap().unwrap().name;
        let address = "127.0.0.1:1".parse().unwrap();
        let exec =
            |server| Exec::new(vec!["/bin/true".to_owned()], &user, "stuck", server, address);
        let (stuck, other) = (exec("web1"), exec("web2"));
        let (free, path) = std::sync::mpsc::sync_channel::<()>(0);
        let start = move || {
            let _answers = path.recv();
            Err(Finding::ours("late".to_owned()))
        };
        let unstarted = stuck.run_among(&FEW, SHORT, start).await.unwrap_err();
        assert_eq!(unstarted.reason.sentence, "start /bin/true: not started within 50ms");
        for _ in 0..5 {
            let finding = stuck.run(PATIENCE).await;
            let why =
                "start /bin/true: an earlier run waits for its start still: does its path answer?";
            assert_eq!((finding.reason.code, &*finding.reason.sentence), (Code::SOCKERR, why));
            assert_eq!(stuck.try_apart(PATIENCE).await.reason.sentence, why);
        }
        assert_eq!(FEW.available_permits(), 1);
        // The same command for another server, and an event's, are none of its.
        assert_eq!(other.try_apart(PATIENCE).await.reason.code, Code::PROCOK);
        assert_eq!(stuck.run_apart(PATIENCE).await.reason.code, Code::PROCOK);
        drop(free);
        // Both are free when the thread is.
        drop(FEW.acquire_many(2).await.unwrap());
        assert_eq!(stuck.try_apart(PATIENCE).await.reason.code, Code::PROCOK);
        let place: Place = Arc::new(None);
        STUCK.note(&stuck, At::Death, &place);
        assert_eq!(stuck.run(PATIENCE).await.reason.code, Code::PROCTOUT);
        drop(place);
        assert_eq!(stuck.try_apart(PATIENCE).await.reason.code, Code::PROCOK);
    }

    #[tokio::test]
    async fn a_command_that_finds_no_place_is_inconclusive_and_a_free_place_is_used() {
        let user = nix::unistd::User::from_name("nobody").unwrap().unwrap().name;
        let address = "127.0.0.1:1".parse().unwrap();
        let exec = Exec::new(vec!["/bin/true".to_owned()], user, "web", "web1", address);
        let all = PLACES.acquire_many(u32::try_from(COMMANDS_AT_ONCE).unwrap()).await.unwrap();
        let finding = exec.run(Duration::from_millis(50)).await;
        assert_eq!(finding.reason.code, Code::SOCKERR, "{finding:?}");
        assert_eq!(finding.reason.sentence, "start /bin/true: not started within 50ms");
        drop(all);
        let finding = exec.run(Duration::from_secs(10)).await;
        assert_eq!(finding.reason.code, Code::PROCOK, "{finding:?}");
        assert_eq!(PLACES.available_permits(), COMMANDS_AT_ONCE);
        // One that has waited for half of its time has it all when it has started.
        let all = PLACES.acquire_many(u32::try_from(COMMANDS_AT_ONCE).unwrap()).await.unwrap();
        let exec = Exec { command: vec!["/bin/sleep".to_owned(), "2.5".to_owned()], ..exec };
        let timeout = Duration::from_secs(4);
        let freed = async {
            tokio::time::sleep(timeout / 2).await;
            drop(all);
        };
        let (finding, ()) = tokio::join!(exec.run(timeout), freed);
        assert_eq!(finding.reason.code, Code::PROCOK, "{finding:?}");
    }
}
