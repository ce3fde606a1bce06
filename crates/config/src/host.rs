//! What can only be said on the host itself: interfaces, users, programs. Pure over given facts; [`questions`] says which to
//! collect.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use crate::code::Code;
use crate::diagnostic::{Diagnostic, Problem, Problems, Spot};
use crate::model::{Check, CheckKind, Config, Instance};
use crate::path::Path;
use crate::source::Source;
use crate::{suggest, text};

/// What has to be known about the host to check a configuration, besides its interfaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Questions {
    /// Users to look up.
    pub users: BTreeSet<String>,
    /// Groups to look up.
    pub groups: BTreeSet<String>,
    /// Absolute paths of programs to look at.
    pub programs: BTreeSet<String>,
}

/// A network interface of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Whether it is up (IFF_UP).
    pub up: bool,
    /// Its addresses with their prefix lengths.
    pub addresses: Vec<IpNet>,
}

/// What became of a program's path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// A regular file that the scripts' user may execute.
    Executable,
    /// Such a file, but a daemon that is root will not start it, because somebody else could replace it.
    Untrusted {
        /// What is wrong and with which path: the sentence that the daemon says when it refuses.
        why: String,
    },
    /// There, but a directory, or not executable by the scripts' user.
    NotExecutable,
    /// Not there.
    Missing,
}

/// What the caller found out about the host. What a question was not answered for is not checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Every interface of the network namespace in which the daemon runs.
    pub interfaces: Vec<Interface>,
    /// The asked users: the user id, or none when the host does not have the user.
    pub users: BTreeMap<String, Option<u32>>,
    /// The asked groups: the group id, or none.
    pub groups: BTreeMap<String, Option<u32>>,
    /// The asked programs.
    pub programs: BTreeMap<String, Program>,
}

/// What has to be looked up for `config`.
pub fn questions(config: &Config) -> Questions {
    let programs: BTreeSet<_> =
        commands(config).map(|command| command.program.to_owned()).collect();
    // Without commands the user is never used and need not exist.
    let user = (!programs.is_empty()).then(|| config.daemon.script_user.clone());
    Questions {
        users: user.into_iter().collect(),
        groups: config.daemon.control_group.iter().cloned().collect(),
        programs,
    }
}

/// Checks `config`, which was read from `source`, against the host's `facts`.
pub fn check(config: &Config, source: &Source, facts: &Facts) -> Vec<Diagnostic> {
    let mut problems = Problems::default();
    for instance in config.instances.values() {
        interface(config, instance, source, facts, &mut problems);
    }
    accounts(config, source, facts, &mut problems);
    for command in commands(config) {
        let program = command.program;
        let (code, what, help) = match facts.programs.get(program) {
            Some(Program::Missing) => (
                Code::NoSuchCommand,
                "does not exist",
                "install it or correct the path; `--offline` skips this check".to_owned(),
            ),
            Some(Program::NotExecutable) => {
                let user = &config.daemon.script_user;
                let help = format!("it has to be a file that the user `{user}` may execute");
                (Code::NotExecutable, "can't be executed", help)
            }
            Some(Program::Untrusted { why }) => {
                (Code::UntrustedCommand, "could be replaced by others than root", why.clone())
            }
            Some(Program::Executable) | None => continue,
        };
        let message = format!("the check command `{program}` {what} on this host");
        let problem = Problem::new(code, message).at(command.spot(source), "").help(help);
        problems.push(problem);
    }
    problems.locate(source)
}

fn interface(
    config: &Config,
    instance: &Instance,
    source: &Source,
    facts: &Facts,
    problems: &mut Problems,
) {
    let base = Path::of(&["vrrp", "instances", instance.name.as_str()]);
    let at = |key: &str| {
        let over = base.key("per_node").key(&config.node).key(key);
        if source.has(&over) { over } else { base.key(key) }
    };
    let name = &instance.interface;
    let Some(found) = facts.interfaces.iter().find(|interface| interface.name == *name) else {
        let names = facts.interfaces.iter().map(|interface| interface.name.as_str());
        let nearest = suggest::nearest(name, names)
            .map_or_else(String::new, |nearest| format!("did you mean `{nearest}`?"));
        let problem =
            Problem::new(Code::NoSuchInterface, format!("this host has no interface `{name}`"))
                .at(Spot::Value(at("interface")), nearest)
                .help(format!("available: {}", available(facts)))
                .help("`per_node` gives each node its own; `--offline` skips this check");
        problems.push(problem);
        return;
    };
    if !found.up {
        let problem = Problem::new(Code::InterfaceDown, format!("the interface `{name}` is down"))
            .at(Spot::Value(at("interface")), "")
            .help(format!("`ip link set {name} up`"));
        problems.push(problem);
    }
    // The addresses of an active node are there because of VRRP: they prove no subnet.
    let held: BTreeSet<_> = config.instances.values().flat_map(Instance::advertised).collect();
    let own: Vec<_> = found.addresses.iter().filter(|net| !held.contains(&net.addr())).collect();
    for (index, net) in instance.addresses.iter().map(|address| address.net).enumerate() {
        let link_local = matches!(net, IpNet::V6(net) if text::is_link_local(net.addr()));
        if link_local || own.iter().any(|subnet| subnet.contains(&net.addr())) {
            continue;
        }
        let subnets = own.iter().map(|net| net.to_string()).collect::<Vec<_>>().join(", ");
        let subnets = if subnets.is_empty() { "no address of its own".to_owned() } else { subnets };
        let message = format!("{} is in no subnet of `{name}`", net.addr());
        let problem = Problem::new(Code::NoSubnet, message)
            .at(Spot::Value(at("addresses").item(index)), format!("`{name}` has {subnets}"))
            .help("hosts of that LAN won't ask for it by ARP or neighbour discovery: check address and interface, or add a route");
        problems.push(problem);
    }
}

fn available(facts: &Facts) -> String {
    let one = |interface: &Interface| {
        let mut parts: Vec<_> = interface.addresses.iter().map(IpNet::to_string).collect();
        parts.push(if interface.up { "up" } else { "down" }.to_owned());
        format!("{} ({})", interface.name, parts.join(", "))
    };
    // A host with hundreds of interfaces would bury the message.
    let mut list: Vec<_> = facts.interfaces.iter().take(12).map(one).collect();
    match facts.interfaces.len().checked_sub(list.len()) {
        Some(rest) if rest > 0 => list.push(format!("and {rest} more")),
        Some(_) | None => {}
    }
    if list.is_empty() { "none".to_owned() } else { list.join(", ") }
}

fn accounts(config: &Config, source: &Source, facts: &Facts, problems: &mut Problems) {
    let user = &config.daemon.script_user;
    let problem = match facts.users.get(user) {
        Some(None) => Some(
            Problem::new(
                Code::NoSuchUser,
                format!("this host has no user `{user}`, as which check commands run"),
            )
            .help(format!(
                "create it: `useradd --system --no-create-home --shell /usr/sbin/nologin {user}`"
            ))
            .help("or name another in `daemon.scripts.user`"),
        ),
        Some(Some(0)) => Some(
            Problem::new(
                Code::RootScripts,
                format!("check commands would run as `{user}`, who is root"),
            )
            .help("name an unprivileged user in `daemon.scripts.user`"),
        ),
        Some(Some(_)) | None => None,
    };
    if let (Some(problem), Some(command)) = (problem, commands(config).next()) {
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

/// A program that a check runs.
struct Command<'a> {
    program: &'a str,
    /// The service or real server that has the check.
    owner: Path,
    /// The check's number there.
    index: usize,
}

impl Command<'_> {
    fn spot(&self, source: &Source) -> Spot {
        let single = self.owner.key("check");
        let check =
            if source.has(&single) { single } else { self.owner.key("checks").item(self.index) };
        Spot::Value(check.key("exec").key("command").item(0))
    }
}

/// Every check command, once for each place that names it.
fn commands(config: &Config) -> impl Iterator<Item = Command<'_>> {
    config.services.values().flat_map(|service| {
        let path = Path::of(&["services", service.name.as_str()]);
        let servers = path.key("real_servers");
        let own = programs(&service.checks, path);
        let theirs = service.real_servers.values().flat_map(move |server| {
            let checks = server.checks.as_deref().unwrap_or_default();
            programs(checks, servers.key(server.name.as_str()))
        });
        own.chain(theirs)
    })
}

fn programs(checks: &[Check], owner: Path) -> impl Iterator<Item = Command<'_>> {
    checks.iter().enumerate().filter_map(move |(index, check)| match &check.kind {
        CheckKind::Exec { command } => {
            let program = command.first()?;
            Some(Command { program, owner: owner.clone(), index })
        }
        CheckKind::Tcp { .. } | CheckKind::Http(_) => None,
    })
}
