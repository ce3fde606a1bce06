//! Upgrade in place: another program takes the supervisor's place in the same process, with all that it has.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::str::FromStr;
use std::time::Duration;

use holdfast_net::{now, wait_until};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use super::{Keeper, PATIENCE, Worker, say};

/// How long a program may take to find out whether it could start.
const TRIAL: Duration = Duration::from_secs(10);

/// What a supervisor hands to the program that takes its place: `ESTATE,READER,WRITER,WORKER,RESTARTS`, and the
/// descriptors of its keepsakes, if it had any.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(super) estate: RawFd,
    pub(super) reader: RawFd,
    pub(super) writer: RawFd,
    pub(super) worker: i32,
    pub(super) restarts: u64,
    pub(super) keepsakes: Vec<RawFd>,
}

impl FromStr for Kept {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "five numbers or more are wanted".to_owned();
        let numbers: Option<Vec<i32>> = text.split(',').map(|part| part.parse().ok()).collect();
        let numbers = numbers.ok_or_else(wrong)?;
        let [estate, reader, writer, worker, restarts, keepsakes @ ..] = numbers.as_slice() else {
            return Err(wrong());
        };
        let restarts = u64::try_from(*restarts).map_err(|_negative| wrong())?;
        let (estate, reader, writer, worker) = (*estate, *reader, *writer, *worker);
        Ok(Self { estate, reader, writer, worker, restarts, keepsakes: keepsakes.to_vec() })
    }
}

impl Keeper {
    /// Makes place for the program that is now where this one was, if that could start.
    pub(super) fn give_place(&mut self) {
        let Some(Worker { pid, condemned: None, .. }) = self.worker else {
            say("there is no worker that another program could take over from");
            return;
        };
        let tried = self.try_program();
        // Nobody was watched meanwhile.
        self.excused_until = now() + PATIENCE;
        self.alive_at = self.alive_at.map(|_| now());
        if let Err(why) = tried {
            say(&format!("{} is not started in this one's place: {why}", self.program.display()));
            return;
        }
        let fds = [self.estate.as_fd(), self.reader.as_fd(), self.writer.as_fd()];
        let [estate, reader, writer] = fds.map(|fd| fd.as_raw_fd());
        let mut kept = format!("{estate},{reader},{writer},{pid},{}", self.restarts);
        // What the worker hands over after this waits in a queue that is handed over, too.
        self.keepsakes.look();
        for number in self.keepsakes.numbers() {
            kept.push_str(&format!(",{number}"));
        }
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).arg("--keep").arg(kept);
        let error = match self.leave_open(true) {
            // It does not come back.
            Ok(()) => command.exec(),
            Err(errno) => errno.into(),
        };
        let _as_before = self.leave_open(false);
        say(&format!(
            "{} could not be started in this one's place: {error}",
            self.program.display()
        ));
    }

    /// Lets the program find out whether it could start.
    fn try_program(&self) -> Result<(), String> {
        let mut command = self.command(&self.program);
        let refused = |error: io::Error| error.to_string();
        // It never reads. When it has ended, however that came, nobody has the other end of this any more.
        let (end, held) = io::pipe().map_err(refused)?;
        let mut child = command.arg("--only-try").stdin(held).spawn().map_err(refused)?;
        drop(command);
        let until = now() + TRIAL;
        let in_time = wait_until(&[end.as_fd()], Some(until)).map_err(|error| error.to_string())?;
        if !in_time.contains(&true) {
            drop(child.kill());
        }
        let status = child.wait().map_err(refused)?;
        match (status.success(), in_time.contains(&true)) {
            (true, _) => Ok(()),
            (false, true) => Err(format!("its trial ended with {status}")),
            (false, false) => Err(format!("its trial took longer than {TRIAL:?}")),
        }
    }

    /// Lets the program that takes this one's place inherit what only this process had, or nobody.
    fn leave_open(&self, open: bool) -> nix::Result<()> {
        let own = std::iter::once(self.reader.as_fd()).chain(self.keepsakes.descriptors());
        let workers_end = self.keepsakes.workers_end().as_raw_fd();
        for one in own.filter(|one| one.as_raw_fd() != workers_end) {
            close_on_exec(one, !open)?;
        }
        Ok(())
    }
}

pub(super) fn close_on_exec(descriptor: impl AsFd, closed: bool) -> nix::Result<()> {
    let flag = if closed { FdFlag::FD_CLOEXEC } else { FdFlag::empty() };
    fcntl(descriptor, FcntlArg::F_SETFD(flag)).map(drop)
}

/// What this process was started with, without what its predecessor has handed over.
pub(super) fn arguments() -> Vec<OsString> {
    let mut arguments = std::env::args_os().skip(1);
    let mut own = Vec::new();
    while let Some(argument) = arguments.next() {
        if argument == "--keep" {
            arguments.next();
        } else {
            own.push(argument);
        }
    }
    own
}
