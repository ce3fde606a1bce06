//! Rule files that are read as a whole before anything is done: `holdfast ipvs -R` and `restore`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::net::SocketAddr;

use ipvs_ctl::model::ServiceKey;
use ipvs_ctl::rules::lines::{Cutter, Line, is_text, words};
use ipvs_ctl::rules::{self, Command, Names, ServerRule, ServiceRule, message};
use ipvs_ctl::wire::IpvsMessage;

use super::execute::Session;
use super::names::SystemNames;
use super::stream::{Streams, lossy};
use super::terms::errno_of;
use super::{Manner, code};
use crate::args::Output;

/// What is read at once.
const PIECE: usize = 64 << 10;

/// A file with more rules is refused: the kernel would need minutes for so many.
const RULES_MAX: usize = 1_000_000;

/// So many bad lines are told one by one.
const TOLD_MAX: usize = 100;

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

/// Reads a rule file and tells every bad line. Empty lines, and lines that begin with `#`, count for nothing.
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
    /// Answers whether there is room for more.
    fn take(&mut self, line: Line<'_>, streams: &Streams) -> bool {
        match rule(line, self.purpose, &mut self.names)
            .and_then(|command| self.seen.check(command, line.number))
        {
            Ok(None) => true,
            Ok(Some(command)) => {
                self.found.rules.push((line.number, command));
                self.found.rules.len() <= RULES_MAX
            }
            Err(sentence) => {
                self.found.bad += 1;
                if self.found.bad <= TOLD_MAX {
                    streams.complain(&format!("line {}: {sentence}", line.number));
                }
                true
            }
        }
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
    if message(&parsed.command).is_none() {
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

/// What the lines so far have made, to find what is there twice.
#[derive(Default)]
struct Seen {
    services: BTreeMap<ServiceKey, usize>,
    servers: BTreeMap<(ServiceKey, SocketAddr), usize>,
    /// Services that a `-D` or `-C` may have removed: the file says nothing certain about them.
    cleared: BTreeSet<ServiceKey>,
}

impl Seen {
    fn check(&mut self, command: Option<Command>, line: usize) -> Result<Option<Command>, String> {
        match &command {
            Some(Command::AddService(ServiceRule { key, .. })) => {
                if let Some(first) = self.services.insert(*key, line) {
                    self.services.insert(*key, first);
                    return Err(format!("service {key} is there already, in line {first}"));
                }
            }
            Some(Command::AddServer(ServerRule { service, destination })) => {
                let server = (*service, destination.address);
                if let Some(first) = self.servers.insert(server, line) {
                    self.servers.insert(server, first);
                    let address = destination.address;
                    return Err(format!(
                        "server {address} of {service} is there already, in line {first}"
                    ));
                }
            }
            Some(Command::DeleteService(key)) => {
                self.services.remove(key);
                self.servers.retain(|(service, _), _| service != key);
                self.cleared.insert(*key);
            }
            Some(Command::DeleteServer { service, address }) => {
                self.servers.remove(&(*service, *address));
            }
            Some(Command::Clear) => *self = Self::default(),
            _other => {}
        }
        Ok(command)
    }
}

/// `holdfast ipvs -R`: does what standard input says, if every line can be read.
pub(super) fn run(manner: &Manner, go_on: bool, streams: &Streams) -> Result<(), u8> {
    let Rules { rules, bad } = read(io::stdin().lock(), Purpose::Commands, go_on, streams)?;
    let mut session = Session::open(manner, Output::Table, streams)?;
    let messages: Vec<IpvsMessage> =
        rules.iter().filter_map(|(_, command)| message(command)).collect();
    let refusals = session.client.submit(&messages).map_err(|error| {
        let errno = errno_of(&error);
        streams.complain(&format!("send the rules: {errno}; some may have been carried out"));
        code::FAILED
    })?;
    for (index, errno) in &refusals.refused {
        if let Some((line, command)) = rules.get(*index) {
            streams.complain(&format!("line {line}:"));
            session.refused(command, *errno, streams);
        }
    }
    if refusals.answers_lost {
        streams.complain("answers of the kernel were lost: list the table to see what it took");
    }
    let clean = bad == 0 && refusals.refused.is_empty() && !refusals.answers_lost;
    if clean { Ok(()) } else { Err(code::FAILED) }
}
