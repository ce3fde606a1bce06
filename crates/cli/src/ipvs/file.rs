//! Rule files that are read as a whole before anything is done: `holdfast ipvs -R` and `restore`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::{self, Read};
use std::net::SocketAddr;

use ipvs_ctl::model::{ServiceKey, SyncRole};
use ipvs_ctl::rules::lines::{Cutter, Line, is_text, words};
use ipvs_ctl::rules::{self, Command, Names, ServerRule, ServiceRule, changes, message};
use ipvs_ctl::wire::IpvsMessage;

use super::execute::Session;
use super::names::SystemNames;
use super::stream::{Streams, lossy};
use super::terms::told;
use super::{Manner, code};
use crate::args::Output;

/// How many bytes are read at once.
const PIECE: usize = 64 << 10;

/// A file with more rules is refused: the kernel would need minutes for so many.
pub(super) const RULES_MAX: usize = 1_000_000;

/// A file with more bytes is refused: four times what so many rules need. It is also the end of a file that has none (`/dev/zero`).
const BYTES_MAX: usize = 256 << 20;

/// How many rules are turned into messages at once. A message is five times as large as a rule, and is only needed to be sent.
const AT_ONCE: usize = 512;

/// How many bad lines, or things that can't be saved, are reported one by one.
pub(super) const TOLD_MAX: usize = 100;

/// How many characters the report of a bad line has at most: it may quote the line.
const SENTENCE_MAX: usize = 300;

/// What a rule file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// `-R`: each line does something to the table.
    Commands,
    /// `restore`: all lines together say what the table shall be.
    Whole,
}

/// The rules of a file, each with its line's number.
#[derive(Debug, Default)]
pub(super) struct Rules {
    pub(super) rules: Vec<(usize, Command)>,
    /// How many lines are bad.
    pub(super) bad: usize,
}

/// Reads a rule file and reports every bad line. Empty lines, and lines that begin with `#`, are ignored.
///
/// # Errors
/// The file can't be read, it has too many rules, or it has bad lines and they are not to be left out: the exit code.
pub(super) fn read(
    mut input: impl Read,
    purpose: Purpose,
    go_on: bool,
    streams: &Streams,
) -> Result<Rules, u8> {
    let mut reader = Reader {
        purpose,
        names: SystemNames::default(),
        seen: Seen::default(),
        found: Rules::default(),
    };
    let mut cutter = Cutter::default();
    let mut piece = vec![0; PIECE];
    let mut length = 0_usize;
    loop {
        let bytes = match input.read(&mut piece) {
            Ok(0) => break,
            Ok(length) => piece.get(..length).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                streams.complain(&format!("read the rules: {error}; nothing was changed"));
                return Err(code::FAILED);
            }
        };
        length = length.saturating_add(bytes.len());
        if length > BYTES_MAX {
            streams.complain(&format!("more than {BYTES_MAX} bytes of rules; nothing was changed"));
            return Err(code::FAILED);
        }
        if !cutter.push(bytes, |line| reader.take(line, streams)) {
            return Err(too_many(streams));
        }
    }
    let mut all = true;
    cutter.end(|line| {
        all = reader.take(line, streams);
        all
    });
    if !all {
        return Err(too_many(streams));
    }
    let found = reader.found;
    if found.bad > TOLD_MAX {
        streams.complain(&format!("and {} more bad lines", found.bad - TOLD_MAX));
    }
    if found.bad > 0 && !go_on {
        let advice = "nothing was changed; --continue leaves bad lines out";
        streams.complain(&format!("bad lines: {}; {advice}", found.bad));
        return Err(code::FAILED);
    }
    Ok(found)
}

fn too_many(streams: &Streams) -> u8 {
    streams.complain(&format!("more than {RULES_MAX} rules; nothing was changed"));
    code::FAILED
}

struct Reader {
    purpose: Purpose,
    names: SystemNames,
    seen: Seen,
    found: Rules,
}

impl Reader {
    /// Takes a line. Returns false if there are too many rules.
    fn take(&mut self, line: Line<'_>, streams: &Streams) -> bool {
        let checked = rule(line, self.purpose, &mut self.names).and_then(|command| {
            if let Some(command) = &command {
                self.seen.check(command, line.number, self.purpose)?;
            }
            Ok(command)
        });
        match checked {
            Ok(None) => true,
            Ok(Some(command)) => {
                self.found.rules.push((line.number, command));
                self.found.rules.len() <= RULES_MAX
            }
            Err(sentence) => {
                self.found.bad += 1;
                if self.found.bad <= TOLD_MAX {
                    streams.complain(&format!("line {}: {}", line.number, shortened(&sentence)));
                }
                true
            }
        }
    }
}

fn shortened(sentence: &str) -> Cow<'_, str> {
    match sentence.char_indices().nth(SENTENCE_MAX) {
        Some((end, _)) => Cow::Owned(format!("{}...", sentence.get(..end).unwrap_or_default())),
        None => Cow::Borrowed(sentence),
    }
}

/// The command of a line; `None` where it has none.
fn rule(
    line: Line<'_>,
    purpose: Purpose,
    names: &mut dyn Names,
) -> Result<Option<Command>, String> {
    let bytes = line.bytes.map_err(|error| error.to_string())?;
    if bytes.trim_ascii_start().starts_with(b"#") {
        return Ok(None);
    }
    is_text(bytes).map_err(|error| error.to_string())?;
    let words = words(bytes);
    if words.is_empty() {
        return Ok(None);
    }
    let parsed = rules::parse(&words, false, names)
        .map_err(|refusal| lossy(refusal.text()).trim_end().to_owned())?;
    if let Some(oddity) = parsed.oddities.first() {
        return Err(oddity.to_string());
    }
    if !changes(&parsed.command) {
        return Err("it changes nothing, so it does not belong into a rule file".to_owned());
    }
    let builds = matches!(
        parsed.command,
        Command::AddService(_)
            | Command::AddServer(_)
            | Command::SetTimeouts(_)
            | Command::StartDaemon(_)
    );
    if purpose == Purpose::Whole && !builds {
        let takes = "a file that is restored says what there is: -A, -a, --set and --start-daemon";
        return Err(takes.to_owned());
    }
    Ok(Some(parsed.command))
}

/// What the lines so far have made, each with its line: to find duplicates and, in a file for `restore`, servers without their service.
#[derive(Default)]
struct Seen {
    services: BTreeMap<ServiceKey, usize>,
    servers: BTreeMap<ServiceKey, BTreeMap<SocketAddr, usize>>,
    daemons: BTreeMap<SyncRole, usize>,
    timeouts: Option<usize>,
}

impl Seen {
    /// Checks a line's command against those before it.
    ///
    /// # Errors
    /// It contradicts one of them: a sentence.
    fn check(&mut self, command: &Command, line: usize, purpose: Purpose) -> Result<(), String> {
        let whole = purpose == Purpose::Whole;
        match command {
            Command::AddService(ServiceRule { key, .. }) => {
                once(self.services.entry(*key), line, || format!("service {key}"))
            }
            Command::AddServer(ServerRule { service, .. })
                if whole && !self.services.contains_key(service) =>
            {
                Err(format!("its service {service} is not defined before this line"))
            }
            Command::AddServer(ServerRule { service, destination }) => {
                let servers = self.servers.entry(*service).or_default();
                let address = destination.address;
                once(servers.entry(address), line, || format!("server {address} of {service}"))
            }
            Command::DeleteService(key) => {
                self.services.remove(key);
                self.servers.remove(key);
                Ok(())
            }
            Command::DeleteServer { service, address } => {
                if let Some(servers) = self.servers.get_mut(service) {
                    servers.remove(address);
                }
                Ok(())
            }
            Command::Clear => {
                *self = Self::default();
                Ok(())
            }
            Command::StartDaemon(daemon) if whole => {
                once(self.daemons.entry(daemon.role), line, || {
                    format!("a {} sync daemon", daemon.role)
                })
            }
            Command::SetTimeouts(_) if whole => match self.timeouts.replace(line) {
                Some(first) => Err(format!("the timeouts are there already, in line {first}")),
                None => Ok(()),
            },
            Command::EditService(_)
            | Command::EditServer(_)
            | Command::Zero(_)
            | Command::SetTimeouts(_)
            | Command::StartDaemon(_)
            | Command::StopDaemon(_)
            | Command::List(_)
            | Command::Save { .. }
            | Command::Restore
            | Command::Help
            | Command::Version => Ok(()),
        }
    }
}

/// Notes what a line makes; an error when an earlier one has made it.
fn once<K: Ord>(
    entry: Entry<'_, K, usize>,
    line: usize,
    what: impl FnOnce() -> String,
) -> Result<(), String> {
    match entry {
        Entry::Occupied(first) => {
            Err(format!("{} is there already, in line {}", what(), first.get()))
        }
        Entry::Vacant(free) => {
            free.insert(line);
            Ok(())
        }
    }
}

/// `holdfast ipvs -R`: does what standard input says, if every line can be read.
pub(super) fn run(manner: &Manner, go_on: bool, streams: &Streams) -> Result<(), u8> {
    let Rules { rules, bad } = read(io::stdin().lock(), Purpose::Commands, go_on, streams)?;
    let mut session = Session::open(manner, Output::Table, streams)?;
    let (mut refused, mut answers_lost) = (false, false);
    for some in rules.chunks(AT_ONCE) {
        let messages: Vec<IpvsMessage> =
            some.iter().filter_map(|(_, command)| message(command)).collect();
        let refusals = session.client.submit(&messages).map_err(|error| {
            streams.complain(&format!("{}; some rules may have been carried out", told(&error)));
            code::FAILED
        })?;
        for (index, errno) in &refusals.refused {
            if let Some((line, command)) = some.get(*index) {
                streams.complain(&format!("line {line}:"));
                session.refused(command, *errno, streams);
            }
        }
        some.iter().for_each(|(_, command)| session.changed.by(command));
        refused |= !refusals.refused.is_empty();
        answers_lost |= refusals.answers_lost;
    }
    if answers_lost {
        streams.complain("answers of the kernel were lost: list the table to see what it took");
    }
    session.warn(streams);
    if bad == 0 && !refused && !answers_lost { Ok(()) } else { Err(code::FAILED) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_an_end_is_refused() {
        let streams = Streams::default();
        let zeros = read(io::repeat(0), Purpose::Commands, true, &streams);
        assert_eq!(zeros.err(), Some(code::FAILED));
    }
}
