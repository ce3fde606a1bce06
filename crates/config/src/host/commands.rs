//! The programs that the daemon runs, and the accounts that they and the control socket need.

use std::collections::BTreeSet;

use super::{Facts, Program, at};
use crate::code::Code;
use crate::diagnostic::{Problem, Problems, Spot};
use crate::model::{CheckKind, Config, Hook, TrackerKind, Via};
use crate::path::Path;
use crate::source::Source;
use crate::whereabouts::{Whereabouts, checks};

/// The programs that have to be looked for.
pub(super) fn programs(config: &Config) -> BTreeSet<String> {
    commands(config, None).iter().map(|one| one.program.to_owned()).collect()
}

/// Checks programs and accounts.
pub(super) fn check(config: &Config, source: &Source, facts: &Facts, problems: &mut Problems) {
    let commands = commands(config, Some(source));
    accounts(config, source, facts, commands.first(), problems);
    for command in &commands {
        problems.extend(program(config, source, facts, command));
    }
}

/// What is wrong with a command's program.
fn program(
    config: &Config,
    source: &Source,
    facts: &Facts,
    command: &Command<'_>,
) -> Option<Problem> {
    let program = command.program;
    let (code, what, help) = match facts.programs.get(program)? {
        Program::Missing => (
            Code::NoSuchCommand,
            "does not exist",
            "install it or correct the path; `--offline` skips this check".to_owned(),
        ),
        Program::NotExecutable => {
            let user = &config.daemon.script_user;
            let help = format!("it has to be a file that the user `{user}` may execute");
            (Code::NotExecutable, "can't be executed", help)
        }
        Program::Untrusted { why } => {
            (Code::UntrustedCommand, "could be replaced by others than root", why.clone())
        }
        Program::Executable => return None,
    };
    let message = format!("the {} `{program}` {what} on this host", command.what);
    Some(Problem::new(code, message).at(command.spot(source), "").help(help))
}

fn accounts(
    config: &Config,
    source: &Source,
    facts: &Facts,
    command: Option<&Command<'_>>,
    problems: &mut Problems,
) {
    let user = &config.daemon.script_user;
    let problem = match facts.users.get(user) {
        Some(None) => Some(
            Problem::new(
                Code::NoSuchUser,
                format!("this host has no user `{user}`, as which commands run"),
            )
            .help(format!(
                "create it: `useradd --system --no-create-home --shell /usr/sbin/nologin {user}`"
            ))
            .help("or name another in `daemon.scripts.user`"),
        ),
        Some(Some(0)) => Some(
            Problem::new(Code::RootScripts, format!("commands would run as `{user}`, who is root"))
                .help("name an unprivileged user in `daemon.scripts.user`"),
        ),
        Some(Some(_)) | None => None,
    };
    if let (Some(problem), Some(command)) = (problem, command) {
        let written = Path::of(&["daemon", "scripts", "user"]);
        let command = command.spot(source);
        problems.push(if source.has(&written) {
            problem.at(Spot::Value(written), "").also(command, "needed for this command")
        } else {
            problem.at(command, "needed for this command")
        });
    }
    if let Some(group) = &config.daemon.control_group
        && facts.groups.get(group) == Some(&None)
    {
        let problem = Problem::new(Code::NoSuchGroup, format!("this host has no group `{group}`"))
            .at(Spot::Value(Path::of(&["daemon", "control", "group"])), "")
            .help(format!("create it: `groupadd --system {group}`; without the key root alone may use the socket"));
        problems.push(problem);
    }
}

/// A program that the daemon runs.
struct Command<'a> {
    program: &'a str,
    /// What runs it, for messages.
    what: &'static str,
    /// Where the list of the program and its arguments stands.
    place: Place<'a>,
}

/// Where a command stands.
enum Place<'a> {
    At(Path),
    Check(Whereabouts<'a>),
}

impl Command<'_> {
    fn spot(&self, source: &Source) -> Spot {
        let list = match &self.place {
            Place::At(path) => path.clone(),
            Place::Check(check) => check.path(source).key("exec").key("command"),
        };
        Spot::Value(list.item(0))
    }
}

/// Every command, once for each place that names it.
fn commands<'a>(config: &'a Config, source: Option<&Source>) -> Vec<Command<'a>> {
    let mut found = vec![];
    for (place, check) in checks(config.services.values()) {
        if let CheckKind::Exec { command, .. } = &check.kind {
            found.extend(one(command, "check command", Place::Check(place)));
        }
    }
    for service in config.services.values().filter(|service| !service.policy.hooks.is_empty()) {
        let path = Path::of(&["services", service.name.as_str(), "hooks"]);
        hooks(&service.policy.hooks, &path, &mut found);
    }
    for tracker in config.vrrp.trackers.values() {
        if let TrackerKind::Script { command, .. } = &tracker.kind {
            let path = Path::of(&["vrrp", "trackers", tracker.name.as_str()]);
            let path = path.key("script").key("command");
            found.extend(one(command, "tracker's command", Place::At(path)));
        }
    }
    for (name, notification) in &config.daemon.notifications {
        if let Via::Command(command) = &notification.via {
            let path = Path::of(&["daemon", "notifications", name.as_str(), "command"]);
            found.extend(one(command, "notification's command", Place::At(path)));
        }
    }
    hooks(&config.vrrp.hooks, &Path::of(&["vrrp", "hooks"]), &mut found);
    for group in config.vrrp.groups.values() {
        let path = Path::of(&["vrrp", "groups", group.name.as_str()]);
        hooks(&group.hooks, &path.key("hooks"), &mut found);
    }
    for instance in config.instances.values() {
        hooks(&instance.hooks, &at(config, instance, source, "hooks"), &mut found);
    }
    found
}

fn one<'a>(command: &'a [String], what: &'static str, place: Place<'a>) -> Option<Command<'a>> {
    Some(Command { program: command.first()?, what, place })
}

fn hooks<'a>(hooks: &'a [Hook], path: &Path, found: &mut Vec<Command<'a>>) {
    let each = hooks.iter().enumerate();
    found.extend(each.filter_map(|(index, hook)| {
        one(&hook.command, "hook", Place::At(path.item(index).key("command")))
    }));
}
