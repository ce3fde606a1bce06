//! `holdfast ipvs restore`: the table becomes what a file says, by the fewest changes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io;

use ipvs_ctl::client::ClientError;
use ipvs_ctl::model::{Entry, SyncDaemon, Table, Timeouts};
use ipvs_ctl::plan::{Foreign, Operation, Unlike, is_as, plan};
use ipvs_ctl::rules::{Command, ServerRule};

use super::execute::Session;
use super::extra::Restore;
use super::file::{Purpose, Rules, read};
use super::stream::Streams;
use super::terms::told;
use super::{Manner, code};
use crate::args::Output;

/// What a file says that the kernel shall have.
#[derive(Debug, Default)]
struct Desired {
    table: Table,
    timeouts: Option<Timeouts>,
    daemons: Vec<SyncDaemon>,
}

/// What is to be done.
#[derive(Debug, Default)]
struct Changes {
    operations: Vec<Operation>,
    /// What each of them changes of what is there; nothing of what comes or goes.
    details: Vec<Vec<Unlike>>,
    timeouts: Option<Timeouts>,
    /// Sync daemons to start; those that run otherwise are stopped before.
    daemons: Vec<(SyncDaemon, bool)>,
}

/// Reads the file, compares, and changes what differs, or says what it would change.
pub(super) fn restore(manner: &Manner, options: &Restore, streams: &mut Streams) -> Result<(), u8> {
    let rules = match &options.file {
        None => read(io::stdin().lock(), Purpose::Whole, options.go_on, streams)?,
        Some(path) => {
            let file = File::open(path).map_err(|error| {
                streams.complain(&format!("open {}: {error}", path.display()));
                code::FAILED
            })?;
            read(file, Purpose::Whole, options.go_on, streams)?
        }
    };
    if rules.rules.is_empty() {
        // A save that failed leaves such a file, and a standard input that is closed reads like one.
        streams.complain("no rules to restore: nothing was changed; -C clears the table");
        return Err(code::FAILED);
    }
    let mut bad = rules.bad > 0;
    let desired = desired(rules);
    let mut session = Session::open(manner, Output::Table, streams)?;
    let changes = match compare(&mut session, &desired, streams) {
        Ok(changes) => changes,
        Err(error) => return Err(failed(&error, streams)),
    };
    if options.dry_run {
        print(&changes, streams);
    } else {
        bad |= !apply(&mut session, &changes, streams);
        let Changes { operations, timeouts, daemons, .. } = &changes;
        session.changed.by_restoring(operations, !daemons.is_empty(), timeouts.is_some());
        session.warn(streams);
    }
    if bad { Err(code::FAILED) } else { Ok(()) }
}

/// Puts the rules together, which the reader has checked: a server stands behind its service, and nothing is there twice.
fn desired(rules: Rules) -> Desired {
    let mut desired = Desired::default();
    for (_line, command) in rules.rules {
        match command {
            Command::AddService(rule) => {
                if let Some(service) = rule.service() {
                    let entry = Entry { service, destinations: BTreeMap::new() };
                    desired.table.insert(rule.key, entry);
                }
            }
            Command::AddServer(ServerRule { service, destination }) => {
                if let Some(entry) = desired.table.get_mut(&service) {
                    entry.destinations.insert(destination.address, destination);
                }
            }
            Command::SetTimeouts(timeouts) => desired.timeouts = Some(timeouts),
            Command::StartDaemon(daemon) => desired.daemons.push(daemon),
            // The reader lets nothing else through.
            Command::EditService(_)
            | Command::DeleteService(_)
            | Command::Clear
            | Command::Restore
            | Command::Save { .. }
            | Command::EditServer(_)
            | Command::DeleteServer { .. }
            | Command::List(_)
            | Command::Zero(_)
            | Command::StopDaemon(_)
            | Command::Help
            | Command::Version => {}
        }
    }
    desired
}

fn compare(
    session: &mut Session<'_>,
    desired: &Desired,
    streams: &Streams,
) -> Result<Changes, ClientError> {
    let kernel = session.client.status()?;
    for sentence in &kernel.unreadable {
        streams.complain(&format!("left as it is: {sentence}"));
    }
    let table = kernel.table();
    let operations = plan(&desired.table, &table, Foreign::Remove);
    let details = operations.iter().map(|operation| operation.unlike(&table)).collect();
    let mut changes = Changes { operations, details, ..Changes::default() };
    if let Some(wanted) = desired.timeouts {
        let present = session.client.timeouts()?;
        let differs = |wanted: u32, present: u32| wanted != 0 && wanted != present;
        if differs(wanted.tcp_s, present.tcp_s)
            || differs(wanted.tcp_fin_s, present.tcp_fin_s)
            || differs(wanted.udp_s, present.udp_s)
        {
            changes.timeouts = Some(wanted);
        }
    }
    if !desired.daemons.is_empty() {
        let present = session.client.daemons()?;
        for daemon in &desired.daemons {
            let running = present.iter().find(|other| other.role == daemon.role);
            if running.is_none_or(|running| !is_as(running, daemon)) {
                changes.daemons.push((daemon.clone(), running.is_some()));
            }
        }
    }
    Ok(changes)
}

fn print(changes: &Changes, streams: &mut Streams) {
    let mut text = String::new();
    for (operation, details) in changes.operations.iter().zip(&changes.details) {
        let details: Vec<String> = details.iter().map(Unlike::change).collect();
        let colon = if details.is_empty() { "" } else { ": " };
        line(&mut text, format_args!("{operation}{colon}{}", details.join(", ")));
    }
    if let Some(Timeouts { tcp_s, tcp_fin_s, udp_s }) = changes.timeouts {
        line(&mut text, format_args!("set timeouts {tcp_s} {tcp_fin_s} {udp_s}"));
    }
    for (daemon, restarted) in &changes.daemons {
        if *restarted {
            line(&mut text, format_args!("stop {} sync daemon", daemon.role));
        }
        line(&mut text, format_args!("start {daemon}"));
    }
    streams.out().extend_from_slice(text.as_bytes());
}

fn line(text: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to memory does not fail.
    let _written = text.write_fmt(what);
    text.push('\n');
}

/// Answers whether everything was taken.
fn apply(session: &mut Session<'_>, changes: &Changes, streams: &Streams) -> bool {
    let client = &mut session.client;
    let mut clean = true;
    match client.apply(&changes.operations) {
        Ok(report) => {
            for error in &report.errors {
                let help = error.help().map(|help| format!("; {help}")).unwrap_or_default();
                streams.complain(&format!("{error}{help}"));
            }
            if report.answers_lost {
                streams.complain("answers of the kernel were lost: restore once more");
            }
            clean &= report.is_clean();
        }
        Err(error) => {
            failed(&error, streams);
            return false;
        }
    }
    let mut settled = Vec::new();
    settled.extend(changes.timeouts.map(|timeouts| client.set_timeouts(&timeouts)));
    for (daemon, restarted) in &changes.daemons {
        if *restarted {
            settled.push(client.stop_daemon(daemon.role));
        }
        settled.push(client.start_daemon(daemon));
    }
    for error in settled.into_iter().filter_map(Result::err) {
        failed(&error, streams);
        clean = false;
    }
    clean
}

fn failed(error: &ClientError, streams: &Streams) -> u8 {
    streams.complain(&told(error));
    code::FAILED
}
