//! A command as a process: started, read, awaited, and its whole group killed at the end.

use std::future::{Future, pending};
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use holdfast_net::confine::confine;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};

use super::Exec;
use super::confinement::{ControlGroup, confinement};
use super::identity::Identity;

/// So many bytes of a command's output are kept, the first ones; the rest is read and dropped.
pub const OUTPUT_LIMIT: usize = 4096;

/// So much is read at a time.
const CHUNK: usize = 8192;

/// After the end of a command, so much of what is still in its pipe is read: as much as a pipe holds.
const REST_LIMIT: usize = 64 * 1024;

/// The search path of every command.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A command that runs. Dropped, it is killed with all of its group.
#[derive(Debug)]
pub(super) struct Process {
    // The order of the fields is that of their end: the group dies before the child is given up to be reaped.
    group: Group,
    control: Option<ControlGroup>,
    child: Child,
    output: pipe::Receiver,
    kept: Vec<u8>,
    /// What the command has still to be given, and the way to it.
    input: Option<Input>,
}

/// The writing end of a command's standard input, and what goes in there.
#[derive(Debug)]
struct Input(pipe::Sender, Vec<u8>);

/// A process group of our own making.
#[derive(Debug)]
struct Group(Pid);

impl Group {
    /// Kills every member. A group that has none any more is no error.
    ///
    /// The leader's number could only be another's by now if all numbers had been given out since it was reaped, which is why
    /// this follows the reaping at once.
    fn kill(&self) {
        let _gone = killpg(self.0, Signal::SIGKILL);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Process {
    /// Starts `exec` as `identity`. Blocks until the kernel has loaded the program; needs a tokio runtime around it.
    ///
    /// Errors: what the kernel answered to the pipe, the fork, the change of user or the start of the program.
    pub(super) fn start(exec: &Exec, identity: Identity, timeout: Duration) -> io::Result<Self> {
        let (program, arguments) = exec.command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let (reader, writer) = io::pipe()?;
        let output = pipe::Receiver::from_owned_fd(reader.into())?;
        let (stdin, input) = stdin(&exec.input)?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .env("PATH", PATH)
            .envs(exec.environment.iter().map(|(key, value)| (key, value)))
            .current_dir("/")
            .process_group(0)
            .stdin(stdin)
            .stdout(writer.try_clone()?)
            .stderr(writer);
        match identity {
            Identity::Other(uid, gid) => {
                command.uid(uid.as_raw()).gid(gid.as_raw());
            }
            Identity::Ourselves => {}
        }
        let (confinement, control) = confinement(timeout, exec.gains);
        confine(command.as_std_mut(), confinement);
        let child = command.spawn()?;
        let pid = child.id().and_then(|id| i32::try_from(id).ok());
        let group = Group(Pid::from_raw(pid.ok_or(io::ErrorKind::NotFound)?));
        // `command` holds the pipe's other end: with it dropped here, the end of the output can be seen.
        Ok(Self { group, control, child, output, kept: Vec::new(), input })
    }

    /// Waits for the end of the command, not of its children; gives it its input and reads its output meanwhile, so that it never
    /// blocks on us.
    /// When it has ended, what it left in its group is killed.
    pub(super) async fn finish(&mut self) -> io::Result<ExitStatus> {
        let status = tokio::select! {
            status = self.child.wait() => status?,
            never = drain(&self.output, &mut self.kept) => match never {},
            never = feed(self.input.take()) => match never {},
        };
        self.kill();
        self.read_rest();
        Ok(status)
    }

    /// Kills the group, and what has left it where the kernel knows.
    pub(super) fn kill(&self) {
        self.group.kill();
        if let Some(control) = &self.control {
            control.kill();
        }
    }

    /// Waits until the command is gone, without reading.
    pub(super) fn gone(&mut self) -> impl Future<Output = io::Result<ExitStatus>> + '_ {
        self.child.wait()
    }

    /// The first bytes of the output.
    pub(super) fn kept(&self) -> &[u8] {
        &self.kept
    }

    /// Reads what is in the pipe and does not wait for more: a child that left the group may still hold it open.
    fn read_rest(&mut self) {
        let mut buffer = [0; CHUNK];
        let mut read = 0;
        while read < REST_LIMIT && self.kept.len() < OUTPUT_LIMIT {
            match self.output.try_read(&mut buffer) {
                Ok(0) | Err(_) => return,
                Ok(length) => {
                    read += length;
                    keep(&mut self.kept, buffer.get(..length).unwrap_or_default());
                }
            }
        }
    }
}

enum Never {}

/// A command's standard input: nothing, or a pipe and what goes into it.
fn stdin(input: &[u8]) -> io::Result<(Stdio, Option<Input>)> {
    if input.is_empty() {
        return Ok((Stdio::null(), None));
    }
    let (reader, writer) = io::pipe()?;
    let writer = pipe::Sender::from_owned_fd(writer.into())?;
    Ok((reader.into(), Some(Input(writer, input.to_vec()))))
}

/// Writes until everything is written or nobody reads any more, ends the input, then rests.
async fn feed(input: Option<Input>) -> Never {
    if let Some(Input(writer, input)) = input {
        let mut rest = input.as_slice();
        while !rest.is_empty() && writer.writable().await.is_ok() {
            match writer.try_write(rest) {
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // The command has closed its input, or never looked at it.
                Err(_nobody) => break,
            }
        }
    }
    pending().await
}

/// Reads until the pipe ends, then rests.
async fn drain(output: &pipe::Receiver, kept: &mut Vec<u8>) -> Never {
    let mut buffer = [0; CHUNK];
    loop {
        if output.readable().await.is_err() {
            return pending().await;
        }
        match output.try_read(&mut buffer) {
            Ok(0) => return pending().await,
            Ok(length) => keep(kept, buffer.get(..length).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_unreadable) => return pending().await,
        }
    }
}

fn keep(kept: &mut Vec<u8>, read: &[u8]) {
    let room = OUTPUT_LIMIT.saturating_sub(kept.len());
    kept.extend_from_slice(read.get(..room).unwrap_or(read));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_are_kept_and_no_more() {
        let mut kept = Vec::new();
        keep(&mut kept, b"first ");
        for _ in 0..1000 {
            keep(&mut kept, &[b'x'; CHUNK]);
        }
        assert_eq!(kept.len(), OUTPUT_LIMIT);
        assert!(kept.starts_with(b"first xxx"));
    }
}
