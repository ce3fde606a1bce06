//! `holdfast ipvs`, and what this program is under the name `ipvsadm`: the kernel's IPVS table by ipvsadm's own command line, without
//! the daemon.
//!
//! The language is [`ipvs_ctl::rules`]; here are the kernel, the names of hosts and services, the streams and the exit codes. Under
//! the name `ipvsadm` a script sees ipvsadm 1.31, but for what docs/ipvs.md lists. As `holdfast ipvs` the same commands refuse what
//! makes no sense, say more about what the kernel refused, and there is more: JSON, `save`, `restore`, rule files that are read as a
//! whole before anything is done.

mod difference;
mod execute;
mod extra;
mod file;
mod help;
mod json;
mod list;
mod names;
mod open;
mod stream;
mod terms;
mod undone;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ipvs_ctl::rules::{self, Command, Refusal};

use self::execute::Session;
use self::extra::{Extra, Request};
use self::stream::{Streams, lossy};
use crate::args::Output;

/// How the program behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// As ipvsadm, called by this name.
    Ipvsadm(Vec<u8>),
    /// As `holdfast ipvs`, beside a daemon that may listen on this socket.
    Holdfast(PathBuf),
}

impl Manner {
    /// The program's name in hints.
    fn program(&self) -> &[u8] {
        match self {
            Self::Ipvsadm(name) => name,
            Self::Holdfast(_) => b"holdfast ipvs",
        }
    }

    const fn is_ipvsadm(&self) -> bool {
        matches!(self, Self::Ipvsadm(_))
    }
}

/// ipvsadm's exit codes, beside 0.
pub(crate) mod code {
    /// The kernel refused, or an option is none.
    pub(crate) const REFUSED: u8 = 255;
    /// The command line makes no sense, or there is no IPVS.
    pub(crate) const USAGE: u8 = 2;
    /// A listing failed; of `holdfast ipvs`, a rule file did.
    pub(crate) const FAILED: u8 = 1;
    /// The reader of the output went away: what a shell shows for a program that SIGPIPE ended.
    pub(crate) const NO_READER: u8 = 141;
}

/// What `holdfast help ipvs` prints; `holdfast ipvs -h` has the version before it.
pub(crate) fn help() -> String {
    help::text()
}

/// Whether the program was called `ipvsadm`, and if so by which word.
pub(crate) fn called_ipvsadm(program: &OsStr) -> Option<Manner> {
    let is = Path::new(program).file_name() == Some(OsStr::new("ipvsadm"));
    is.then(|| Manner::Ipvsadm(program.as_bytes().to_vec()))
}

/// Runs ipvsadm's command line. `output` counts for `holdfast ipvs` only.
pub(crate) fn run(manner: Manner, words: &[OsString], output: Output) -> ExitCode {
    let mut streams = Streams::default();
    let code = match dispatch(&manner, words, output, &mut streams) {
        Ok(()) => 0,
        Err(code) => code,
    };
    ExitCode::from(streams.finish().err().unwrap_or(code))
}

fn dispatch(
    manner: &Manner,
    words: &[OsString],
    output: Output,
    streams: &mut Streams,
) -> Result<(), u8> {
    let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    if manner.is_ipvsadm() {
        // ipvsadm looks for the kernel's IPVS before it looks at its arguments.
        let session = Session::open(manner, Output::Table, streams)?;
        return command_line(session, &words, streams);
    }
    let Extra { request, words, output } = extra::read(&words, output).map_err(|sentence| {
        streams.complain(&sentence);
        code::USAGE
    })?;
    match request {
        Request::Ipvsadm => {}
        Request::Save => return Session::open(manner, output, streams)?.save_all(streams),
        Request::Restore(options) => return difference::restore(manner, &options, streams),
        Request::File { go_on } => return file::run(manner, go_on, streams),
    }
    if let Some(Command::Help | Command::Version) = only_words(&words) {
        return help::print(manner, only_words(&words) == Some(Command::Help), streams);
    }
    let session = Session::open(manner, output, streams)?;
    command_line(session, &words, streams)
}

/// `-h` and `-v`, which need no kernel.
fn only_words(words: &[&[u8]]) -> Option<Command> {
    let parsed = rules::parse(words, false, &mut rules::Numbers).ok()?;
    Some(parsed.command).filter(|command| matches!(command, Command::Help | Command::Version))
}

fn command_line(
    mut session: Session<'_>,
    words: &[&[u8]],
    streams: &mut Streams,
) -> Result<(), u8> {
    if words.is_empty() {
        return session.list(&rules::List::all(false), streams);
    }
    let parsed = match session.parse(words) {
        Ok(parsed) => parsed,
        Err(refusal) => return Err(refuse(session.manner(), &refusal, streams)),
    };
    if let (Manner::Holdfast(_), Some(oddity)) = (session.manner(), parsed.oddities.first()) {
        streams.complain(&oddity.to_string());
        return Err(code::USAGE);
    }
    if !matches!(parsed.command, Command::List(_)) {
        extra::for_listings(session.output).map_err(|sentence| {
            streams.complain(&sentence);
            code::USAGE
        })?;
    }
    let also = session.also_changed(&parsed);
    session.execute(&parsed.command, streams)?;
    if let Some(sentence) = also {
        session.add(&sentence, streams);
    }
    session.changed.by(&parsed.command);
    session.warn(streams);
    Ok(())
}

/// Says why words are no command, and answers the exit code.
fn refuse(manner: &Manner, refusal: &Refusal, streams: &Streams) -> u8 {
    match refusal {
        Refusal::NoCommand => {
            let name = lossy(manner.program());
            let hint = format!("Try `{name} -h' or '{name} --help' for more information.");
            streams.error_line(hint.as_bytes());
            code::REFUSED
        }
        Refusal::Option(text) => {
            streams.error_line(text);
            code::REFUSED
        }
        Refusal::Usage(text) => {
            streams.error_line(text);
            code::USAGE
        }
    }
}
