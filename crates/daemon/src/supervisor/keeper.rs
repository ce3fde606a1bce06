//! The supervisor's loop: signals, the worker's words, its end, its silence; then it sleeps until one of them has something new.

mod speaking;
mod upgrade;

use std::ffi::OsString;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use holdfast_net::{inherited, now, realtime, wait_until};
use holdfast_telemetry::service_manager;
use holdfast_time::Instant;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

pub(crate) use self::upgrade::Kept;
use self::upgrade::{arguments, close_on_exec};
use super::backoff::Backoff;
use super::estate::Estate;
use super::keepsakes::Keepsakes;
use super::lifeline::Handles;
use super::messages::{Messages, says};
use crate::failure::Failure;

/// Above the VRRP thread's, which it has to get the better of, should that one spin.
const PRIORITY: u8 = 3;

/// A VRRP thread that has slept for so much longer than it said it would is hung.
const PATIENCE: Duration = Duration::from_secs(1);

/// So long the director may be silent that has once said that it is alive.
const DIRECTOR_PATIENCE: Duration = Duration::from_secs(10);

/// Who seems to hang is looked at again after this: it may have been this process that stood still.
const SECOND_LOOK: Duration = Duration::from_millis(50);

/// A supervisor that is late by so much itself has no right to call others late.
const LATE: Duration = Duration::from_millis(100);

/// How often the service manager's watchdog is told that all is well, in the time that it allows.
const PINGS: u32 = 3;

/// Why a worker was ended whose program is to be replaced.
const MADE_PLACE: &str = "made place for another program";

/// The worker that lives.
#[derive(Clone, Copy, Debug)]
struct Worker {
    pid: Pid,
    begun: Instant,
    /// It was killed because it hung, or to make place for another program.
    condemned: Option<&'static str>,
}

/// How a worker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Exit(i32),
    Signal(Signal),
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exit(code) => write!(f, "exit status {code}"),
            Self::Signal(signal) => write!(f, "killed by {signal}"),
        }
    }
}

/// The supervisor.
#[derive(Debug)]
pub(super) struct Keeper {
    /// The program, where it was when this process began.
    program: PathBuf,
    arguments: Vec<OsString>,
    estate: Estate,
    signals: SignalFd,
    reader: PipeReader,
    writer: PipeWriter,
    messages: Messages,
    keepsakes: Keepsakes,
    worker: Option<Worker>,
    backoff: Backoff,
    restarts: u64,
    last_end: Option<String>,
    /// When the next worker is started.
    start_at: Option<Instant>,
    /// When somebody has to speak for a worker that does not.
    speak_at: Option<Instant>,
    /// Some worker was ready once.
    was_ready: bool,
    /// It was told to stop.
    stops: bool,
    /// When the director was heard of last; none before it was once.
    alive_at: Option<Instant>,
    /// What is believed of the worker, and since when.
    suspicion: Option<(&'static str, Instant)>,
    /// Nobody is called late before.
    excused_until: Instant,
    /// How often the service manager wants to hear that all is well, and when it is told next.
    pings: Option<(Duration, Instant)>,
}

impl Keeper {
    /// The supervisor of a worker that is to be started, or of the one of `kept`, in whose place another is to be started.
    ///
    /// # Errors
    /// The kernel gives no descriptor.
    pub(super) fn open(kept: Option<&Kept>) -> Result<Self, Failure> {
        let failed = |error: io::Error| Failure::new("start the supervisor", error);
        let signals = catch_signals().map_err(|errno| failed(errno.into()))?;
        let keepsakes =
            kept.map_or_else(Keepsakes::new, |kept| Keepsakes::inherited(&kept.keepsakes));
        let keepsakes = keepsakes.map_err(failed)?;
        let (estate, reader, writer) = match kept {
            None => {
                let (reader, writer) = io::pipe().map_err(failed)?;
                (Estate::create().map_err(failed)?, reader, writer)
            }
            Some(Kept { estate, reader, writer, .. }) => {
                let take = |number: &_| inherited::take(*number).map_err(failed);
                (Estate::behind(take(estate)?), take(reader)?.into(), take(writer)?.into())
            }
        };
        for end in [reader.as_fd(), writer.as_fd()] {
            fcntl(end, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(|no| failed(no.into()))?;
        }
        // A worker inherits them.
        for handed in [estate.as_fd(), writer.as_fd(), keepsakes.workers_end()] {
            close_on_exec(handed, false).map_err(|errno| failed(errno.into()))?;
        }
        let at = now();
        let condemned = Some(MADE_PLACE);
        let worker =
            kept.map(|kept| Worker { pid: Pid::from_raw(kept.worker), begun: at, condemned });
        let interval = service_manager::watchdog().map(|allowed| allowed / PINGS);
        Ok(Self {
            program: std::env::current_exe().map_err(failed)?,
            arguments: arguments(),
            estate,
            signals,
            reader,
            writer,
            messages: Messages::default(),
            keepsakes,
            start_at: worker.is_none().then_some(at),
            worker,
            backoff: Backoff::default(),
            restarts: kept.map_or(0, |kept| kept.restarts),
            last_end: None,
            speak_at: None,
            was_ready: kept.is_some(),
            stops: false,
            alive_at: None,
            suspicion: None,
            excused_until: at,
            pings: interval.map(|interval| (interval, at)),
        })
    }

    /// Works until the worker has stopped for good; the answer is this process's exit status.
    ///
    /// # Errors
    /// No worker can be started at all.
    pub(super) fn run(mut self) -> Result<ExitCode, Failure> {
        // Neither is needed, and the worker says what to do about it.
        let (_late, _paged) = (realtime::enter(PRIORITY), realtime::lock_memory());
        if let Some(Worker { pid, .. }) = self.worker {
            let _ended_before = kill(pid, Signal::SIGKILL);
        }
        loop {
            let code = self.take_signals();
            self.hear();
            self.keepsakes.look();
            if let Some(code) = code.or_else(|| self.reap()) {
                // What it held has been given up: nobody need hear of a death.
                self.keepsakes.look();
                self.keepsakes.say_goodbye();
                return Ok(ExitCode::from(code));
            }
            self.end_silence();
            self.start_if_due()?;
            self.speak_if_due();
            self.ping();
            self.sleep();
        }
    }

    /// Takes the signals that have come; the exit status if there is nothing left to stop.
    fn take_signals(&mut self) -> Option<u8> {
        while let Ok(Some(caught)) = self.signals.read_signal() {
            let number = i32::try_from(caught.ssi_signo).unwrap_or_default();
            match Signal::try_from(number) {
                Ok(Signal::SIGUSR2) => self.give_place(),
                Ok(signal @ (Signal::SIGTERM | Signal::SIGINT | Signal::SIGQUIT)) => {
                    self.stops = true;
                    if self.worker.is_none() {
                        self.speak_for(true);
                        return Some(0);
                    }
                    self.pass_on(signal);
                }
                // They would end a worker that does not know them yet; it reads its configuration anyway.
                Ok(signal @ (Signal::SIGHUP | Signal::SIGUSR1 | Signal::SIGALRM))
                    if self.estate.last_beat().is_some() =>
                {
                    self.pass_on(signal);
                }
                Ok(_) | Err(_) => {}
            }
        }
        None
    }

    fn pass_on(&self, signal: Signal) {
        if let Some(Worker { pid, .. }) = self.worker {
            let _ended_before = kill(pid, signal);
        }
    }

    /// Passes on to the service manager what the worker says.
    fn hear(&mut self) {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = self.reader.read(&mut buffer) {
            for message in self.messages.take(buffer.get(..length).unwrap_or_default()) {
                if says(&message, "WATCHDOG=1") {
                    self.alive_at = Some(now());
                    continue;
                }
                self.was_ready |= says(&message, "READY=1");
                tell(&message);
            }
        }
    }

    /// Takes note of the worker's end; the exit status if it is this process's, too.
    fn reap(&mut self) -> Option<u8> {
        let worker = self.worker?;
        let end = match waitpid(worker.pid, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(_, code)) => End::Exit(code),
            Ok(WaitStatus::Signaled(_, signal, _)) => End::Signal(signal),
            // It is somebody else's child, or none: this can only be a fault of ours.
            Err(Errno::ECHILD) => End::Exit(1),
            Ok(_) | Err(_) => return None,
        };
        self.hear();
        self.messages.forget();
        (self.worker, self.alive_at, self.suspicion) = (None, None, None);
        if let Err(error) = self.estate.forget_beat() {
            say(&format!("the beat of a dead worker stays: {error}"));
        }
        let code = match end {
            End::Exit(0) => Some(0),
            // A usage or a configuration that is refused would be refused again.
            End::Exit(code @ (2 | 78)) => u8::try_from(code).ok(),
            End::Exit(1) if !self.was_ready => Some(1),
            // It had not begun yet.
            End::Signal(Signal::SIGTERM | Signal::SIGINT | Signal::SIGQUIT) if self.stops => {
                Some(0)
            }
            _ if self.stops => Some(1),
            End::Exit(_) | End::Signal(_) => None,
        };
        if let Some(code) = code {
            self.speak_for(true);
            return Some(code);
        }
        self.mourn(worker, end);
        None
    }

    /// Has the next worker started when it is time.
    fn mourn(&mut self, worker: Worker, end: End) {
        let at = now();
        self.speak_at = self.next_to_speak_for();
        if worker.condemned == Some(MADE_PLACE) {
            self.start_at = Some(at);
            return;
        }
        let how = worker.condemned.map_or_else(|| end.to_string(), str::to_owned);
        let pause = self.backoff.after(worker.begun, at);
        self.restarts = self.restarts.saturating_add(1);
        self.start_at = Some(at + pause);
        let what = if self.backoff.loops() {
            let deaths = self.backoff.deaths();
            format!(
                "{deaths} workers in a row died, the last one: {how}; the next one is started in {pause:?}"
            )
        } else {
            format!("the worker died: {how}; the next one is started in {pause:?}")
        };
        say(&what);
        tell(&format!("STATUS={what}"));
        self.last_end = Some(how);
    }

    /// Ends a worker whose loops don't turn.
    fn end_silence(&mut self) {
        let at = now();
        let (beat, alive) = (self.estate.last_beat(), self.alive_at);
        let Some(worker) = self.worker.as_mut().filter(|worker| worker.condemned.is_none()) else {
            return;
        };
        let silent = |since: Option<Instant>, patience| {
            since.is_some_and(|since| at.saturating_since(since) > patience)
        };
        let why = if at < self.excused_until {
            None
        } else if silent(beat, PATIENCE) {
            Some("its VRRP thread hung")
        } else {
            silent(alive, DIRECTOR_PATIENCE).then_some("its director hung")
        };
        let Some(why) = why else {
            self.suspicion = None;
            return;
        };
        let since = self.suspicion.filter(|(before, _)| *before == why).map(|(_, since)| since);
        let looked = since.map(|since| at.saturating_since(since));
        match looked {
            Some(looked) if looked < SECOND_LOOK => return,
            Some(looked) if looked < SECOND_LOOK + LATE => {}
            Some(_) | None => {
                self.suspicion = Some((why, at));
                return;
            }
        }
        self.suspicion = None;
        worker.condemned = Some(why);
        let _ended_before = kill(worker.pid, Signal::SIGKILL);
    }

    fn start_if_due(&mut self) -> Result<(), Failure> {
        let at = now();
        if self.start_at.is_none_or(|due| at < due) {
            return Ok(());
        }
        self.start_at = None;
        self.keepsakes.hand_down();
        let pid = match self.spawn() {
            Ok(pid) => pid,
            Err(error) if !self.was_ready => {
                return Err(Failure::new("start the worker", error));
            }
            Err(error) => {
                let pause = self.backoff.after(at, at);
                say(&format!("no worker can be started: {error}; it is tried again in {pause:?}"));
                self.start_at = Some(at + pause);
                return Ok(());
            }
        };
        self.worker = Some(Worker { pid, begun: at, condemned: None });
        Ok(())
    }

    fn spawn(&self) -> io::Result<Pid> {
        let handles = Handles {
            estate: self.estate.as_fd().as_raw_fd(),
            pipe: self.writer.as_raw_fd(),
            supervisor: std::process::id(),
            keepsakes: self.keepsakes.workers_end().as_raw_fd(),
        };
        let mut command = self.command(&self.running_program());
        command.arg("--worker").arg(handles.to_string());
        if self.restarts > 0 {
            command.arg("--restarts").arg(self.restarts.to_string());
        }
        if let Some(end) = &self.last_end {
            command.arg("--last-end").arg(end);
        }
        // The worker's watchdog is this process.
        let micros = DIRECTOR_PATIENCE.as_micros().to_string();
        let child = command.env("WATCHDOG_USEC", micros).spawn()?;
        Ok(Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX)))
    }

    fn command(&self, program: &PathBuf) -> Command {
        let mut command = Command::new(program);
        command.args(&self.arguments);
        command.env_remove("NOTIFY_SOCKET").env_remove("WATCHDOG_PID").env_remove("WATCHDOG_USEC");
        command
    }

    /// The program that this process runs: a worker that dies while another version is being installed is followed by one of its own.
    fn running_program(&self) -> PathBuf {
        use std::os::unix::fs::MetadataExt;
        let own = PathBuf::from("/proc/self/exe");
        let file = |path| std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
        if file(&own) == file(&self.program) { self.program.clone() } else { own }
    }

    /// Tells the service manager that this process works, which sees to it that the worker does.
    fn ping(&mut self) {
        let at = now();
        if let Some((interval, due)) = &mut self.pings
            && *due <= at
        {
            *due = at + *interval;
            tell("WATCHDOG=1");
        }
    }

    fn sleep(&mut self) {
        let living = self.worker.filter(|worker| worker.condemned.is_none());
        let beat = living.and_then(|_| self.estate.last_beat()).map(|beat| beat + PATIENCE);
        let alive = living.and(self.alive_at).map(|at| at + DIRECTOR_PATIENCE);
        let silence = beat.into_iter().chain(alive).min().map(|at| at.max(self.excused_until));
        let silence = self.suspicion.map(|(_, since)| since + SECOND_LOOK).or(silence);
        let ping = self.pings.map(|(_, due)| due);
        let due = [silence, self.start_at, self.speak_at, ping].into_iter().flatten().min();
        // Beyond the moment itself, so that what is due is over.
        let due = due.map(|due| due + Duration::from_millis(1));
        let mut descriptors: Vec<BorrowedFd<'_>> = vec![self.signals.as_fd(), self.reader.as_fd()];
        descriptors.extend(self.keepsakes.waits_for());
        if let Err(error) = wait_until(&descriptors, due) {
            say(&format!("it could not sleep: {error}"));
            std::thread::sleep(Duration::from_millis(10));
        }
        let at = now();
        if due.is_some_and(|due| at.saturating_since(due) > LATE) {
            // This host stood still, and the worker with it.
            self.excused_until = at + PATIENCE;
            self.alive_at = self.alive_at.map(|_| at);
        }
    }
}

/// All signals that a daemon knows, to be read from a descriptor.
fn catch_signals() -> nix::Result<SignalFd> {
    let caught = [
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGQUIT,
        Signal::SIGHUP,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGALRM,
        Signal::SIGCHLD,
    ];
    let set: SigSet = caught.into_iter().collect();
    set.thread_block()?;
    SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
}

/// A line to standard error. This process has no thread that could write a log (a second one only waits while the service
/// manager does not read); its workers say the same in the log's form.
fn say(what: &str) {
    drop(writeln!(io::stderr(), "holdfastd: supervisor: {what}"));
}

/// Tells the service manager, where there is one.
fn tell(message: &str) {
    if let Err(error) = service_manager::pass_on(message) {
        say(&format!("the service manager could not be told: {error}"));
    }
}
