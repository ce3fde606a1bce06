//! Commands, one after the other, as ipvsadm carries them out.

use std::env;
use std::io::{self, Read as _};

use ipvs_ctl::client::{Client, ClientError};
use ipvs_ctl::model::Info;
use ipvs_ctl::rules::lines::{Cutter, Line, words};
use ipvs_ctl::rules::{self, Command, Parsed, Refusal, changes, message};
use ipvs_ctl::wire::IpvsMessage;
use nix::errno::Errno;

use super::names::SystemNames;
use super::open::open;
use super::stream::Streams;
use super::terms::{Asked, errno_of, more, told};
use super::undone::Changed;
use super::{Manner, code, help, refuse};
use crate::args::Output;

/// How many bytes of a rule file are read at once; the commands in them go to the kernel together.
const PIECE: usize = 64 << 10;

/// An open way to the kernel and how to speak about it.
#[derive(Debug)]
pub(super) struct Session<'m> {
    manner: &'m Manner,
    pub(super) client: Client,
    pub(super) info: Info,
    pub(super) names: SystemNames,
    pub(super) output: Output,
    pub(super) changed: Changed,
    posix: bool,
}

impl<'m> Session<'m> {
    /// Opens the kernel's IPVS.
    ///
    /// # Errors
    /// There is none: the exit code, the sentence having been said.
    pub(super) fn open(manner: &'m Manner, output: Output, streams: &Streams) -> Result<Self, u8> {
        let (client, info) = open().map_err(|closed| {
            streams.error_line(closed.sentence.as_bytes());
            if !manner.is_ipvsadm() {
                streams.complain(&told(&closed.error));
            }
            code::USAGE
        })?;
        let names = SystemNames::default();
        let changed = Changed::default();
        Ok(Self { manner, client, info, names, output, changed, posix: posix() })
    }

    pub(super) const fn manner(&self) -> &'m Manner {
        self.manner
    }

    /// Reads a command line, with names as this host knows them.
    pub(super) fn parse(&mut self, words: &[&[u8]]) -> Result<Parsed, Refusal> {
        rules::parse(words, self.posix, &mut self.names)
    }

    /// What an edit will change that its command line does not name, in a sentence for `holdfast ipvs`: ipvsadm does so without a word, and
    /// `-e ... -w 5` makes a server behind NAT one of direct routing.
    pub(super) fn also_changed(&mut self, parsed: &Parsed) -> Option<String> {
        if self.manner.is_ipvsadm() || parsed.unnamed.is_empty() {
            return None;
        }
        let operation = parsed.command.operation()?;
        // What can't be read now is not worth a failure: the command says what is wrong.
        let entry = self.client.service(&operation.service()).ok()??.entry();
        let changed: Vec<String> = operation
            .unlike(&[(operation.service(), entry)].into())
            .into_iter()
            .filter(|unlike| parsed.unnamed.contains(&unlike.setting))
            // What a setting that is named brings along was not lost.
            .filter(|unlike| unlike.there != "none")
            .map(|unlike| unlike.change())
            .collect();
        let option = if operation.destination().is_some() { "-e" } else { "-E" };
        (!changed.is_empty()).then(|| {
            let changed = changed.join(", ");
            format!(
                "{option} sets every setting; those that were not named got their defaults: {changed}"
            )
        })
    }

    /// Carries a command out.
    ///
    /// # Errors
    /// It failed: the exit code, the reason having been said.
    pub(super) fn execute(&mut self, command: &Command, streams: &mut Streams) -> Result<(), u8> {
        match command {
            Command::List(list) => self.list(list, streams),
            Command::Save { numeric } => self.save(*numeric, streams),
            Command::Restore => self.restore(streams),
            Command::Help => help::print(self.manner, true, streams),
            Command::Version => help::print(self.manner, false, streams),
            Command::AddService(_)
            | Command::EditService(_)
            | Command::DeleteService(_)
            | Command::Clear
            | Command::AddServer(_)
            | Command::EditServer(_)
            | Command::DeleteServer { .. }
            | Command::Zero(_)
            | Command::SetTimeouts(_)
            | Command::StartDaemon(_)
            | Command::StopDaemon(_) => {
                let mut pending = Pending::default();
                pending.add(command.clone());
                if pending.send(self, streams) { Ok(()) } else { Err(code::REFUSED) }
            }
        }
    }

    /// Says what the kernel refused, in ipvsadm's words and, as `holdfast ipvs`, in ours.
    pub(super) fn refused(&self, command: &Command, errno: Errno, streams: &Streams) {
        streams.error_line(Asked::Command(command).sentence(errno).as_bytes());
        self.add(&more(command, errno), streams);
    }

    /// Says why something could not be listed, and answers the exit code.
    pub(super) fn unlisted(&self, asked: Asked<'_>, error: &ClientError, streams: &Streams) -> u8 {
        streams.error_line(asked.sentence(errno_of(error)).as_bytes());
        match (asked, error) {
            (Asked::Command(command), ClientError::Refused { errno, .. }) => {
                self.add(&more(command, *errno), streams);
            }
            _other => self.add(&told(error), streams),
        }
        code::FAILED
    }

    /// Adds a sentence of ours to what ipvsadm says, or to its silence.
    pub(super) fn add(&self, sentence: &str, streams: &Streams) {
        if !self.manner.is_ipvsadm() {
            streams.complain(sentence);
        }
    }

    /// Says, as `holdfast ipvs`, what of the changes a daemon undoes.
    pub(super) fn warn(&self, streams: &Streams) {
        if let Manner::Holdfast(socket) = self.manner {
            for sentence in self.changed.words(socket) {
                streams.complain(&sentence);
            }
        }
    }

    /// `-R` under the name ipvsadm: each line is a command line. If the kernel refuses one that is reported, and the next one is tried. A line that
    /// makes no sense ends it; the lines before it have been carried out. The exit code is the last line's.
    fn restore(&mut self, streams: &mut Streams) -> Result<(), u8> {
        let mut cutter = Cutter::default();
        let mut lines = Lines { session: self, pending: Pending::default(), outcome: Ok(()) };
        let mut piece = vec![0; PIECE];
        let mut stdin = io::stdin().lock();
        loop {
            let bytes = match stdin.read(&mut piece) {
                Ok(0) => break,
                Ok(length) => piece.get(..length).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_unreadable) => break,
            };
            if !cutter.push(bytes, |line| lines.take(line, streams)) {
                return lines.outcome;
            }
            lines.send(streams);
        }
        cutter.end(|line| lines.take(line, streams));
        lines.send(streams);
        lines.outcome
    }
}

/// Whether options end at the first word that is none, which popt takes from the environment.
fn posix() -> bool {
    ["POSIXLY_CORRECT", "POSIX_ME_HARDER"].iter().any(|name| env::var_os(name).is_some())
}

/// Commands on their way to the kernel.
#[derive(Debug, Default)]
struct Pending {
    commands: Vec<Command>,
    messages: Vec<IpvsMessage>,
}

impl Pending {
    /// Takes a command that changes something.
    fn add(&mut self, command: Command) {
        if let Some(message) = message(&command) {
            self.commands.push(command);
            self.messages.push(message);
        }
    }

    /// Sends what there is, and reports what was refused. Returns whether the kernel took the last command.
    fn send(&mut self, session: &mut Session<'_>, streams: &Streams) -> bool {
        let count = self.messages.len();
        let outcome =
            if count == 0 { Ok(None) } else { session.client.submit(&self.messages).map(Some) };
        let last_taken = match outcome {
            Ok(refusals) => {
                let refused = refusals.map(|refusals| refusals.refused).unwrap_or_default();
                for (index, errno) in &refused {
                    if let Some(command) = self.commands.get(*index) {
                        session.refused(command, *errno, streams);
                    }
                }
                refused.last().is_none_or(|(index, _)| index + 1 != count)
            }
            Err(error) => {
                if let Some(command) = self.commands.last() {
                    let sentence = Asked::Command(command).sentence(errno_of(&error));
                    streams.error_line(sentence.as_bytes());
                    session.add(&told(&error), streams);
                }
                false
            }
        };
        self.commands.clear();
        self.messages.clear();
        last_taken
    }
}

/// The lines of standard input under `-R`.
struct Lines<'s, 'm> {
    session: &'s mut Session<'m>,
    pending: Pending,
    /// The exit code so far.
    outcome: Result<(), u8>,
}

impl Lines<'_, '_> {
    /// Answers whether to go on.
    fn take(&mut self, line: Line<'_>, streams: &mut Streams) -> bool {
        let bytes = match line.bytes {
            Ok(bytes) => bytes,
            Err(error) => {
                self.send(streams);
                streams.complain(&format!("line {}: {error}", line.number));
                self.outcome = Err(code::USAGE);
                return false;
            }
        };
        let words = words(bytes);
        if words.is_empty() {
            return true;
        }
        match self.session.parse(&words) {
            Ok(Parsed { command: Command::Restore, .. }) => {
                self.send(streams);
                self.outcome = Err(refuse(self.session.manner(), &Refusal::NoCommand, streams));
                false
            }
            Ok(Parsed { command, .. }) if changes(&command) => {
                self.pending.add(command);
                true
            }
            Ok(Parsed { command, .. }) => {
                self.send(streams);
                self.outcome = self.session.execute(&command, streams);
                // ipvsadm ends with its help, its version and a listing that fails.
                self.outcome.is_ok() && !matches!(command, Command::Help | Command::Version)
            }
            Err(refusal) => {
                self.send(streams);
                self.outcome = Err(refuse(self.session.manner(), &refusal, streams));
                matches!(refusal, Refusal::Option(_))
            }
        }
    }

    fn send(&mut self, streams: &Streams) {
        if self.pending.commands.is_empty() {
            return;
        }
        let last_taken = self.pending.send(self.session, streams);
        self.outcome = if last_taken { Ok(()) } else { Err(code::REFUSED) };
    }
}
