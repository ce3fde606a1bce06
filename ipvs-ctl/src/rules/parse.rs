//! From the words of a command line to a [`Command`].
//!
//! The options are read one after the other ([`super::scan`]) and gathered in a [`Draft`]; then ipvsadm's table says whether they go with
//! the command ([`super::legal`]). The order of the complaints is ipvsadm's, too: of several mistakes it names the same one.

use super::draft::{Draft, Method, quoting, sched_flags, timeout};
use super::legal::{TunnelType, complaint, of_tunnels, tunnel_complaint};
use super::names::Names;
use super::options::{Meaning, Once, Set, Verb};
use super::rule::{Command, List, ListKind, Oddity, ServerRule, ServiceRule};
use super::scan::{Found, Scanner};
use crate::model::{
    Destination, Family, Forwarding, Protocol, Scheduler, ServiceFlags, ServiceKey, SyncDaemon,
    SyncRole, Timeouts, Tunnel, TunnelChecksum,
};

/// The scheduler where nothing was said.
const SCHEDULER: &str = "wlc";

/// The interface of a sync daemon where nothing was said.
const INTERFACE: &str = "eth0";

/// A command and what about it is odd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// What is asked for, as ipvsadm would do it.
    pub command: Command,
    /// What ipvsadm would do without a word although it makes no sense.
    pub oddities: Vec<Oddity>,
    /// The settings that `-E` or `-e` sets though the words don't name them, by the names that [`crate::plan::Unlike`] has for them.
    pub unnamed: Vec<&'static str>,
}

/// Why words are no command. Texts are bytes, because they may quote arguments, and have no line's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The first option is no command. ipvsadm hints at its help and exits with 255.
    NoCommand,
    /// An option that isn't one, or its argument. ipvsadm says so and exits with 255; under `-R` it goes on with the next line.
    Option(Vec<u8>),
    /// Everything else. ipvsadm says so and exits with 2, under `-R` too.
    Usage(Vec<u8>),
}

impl Refusal {
    /// What is wrong.
    pub fn text(&self) -> &[u8] {
        match self {
            Self::NoCommand => b"no command: the first option must be one (-A, -a, ...)",
            Self::Option(text) | Self::Usage(text) => text,
        }
    }
}

impl From<String> for Refusal {
    fn from(text: String) -> Self {
        Self::Usage(text.into_bytes())
    }
}

impl From<Vec<u8>> for Refusal {
    fn from(text: Vec<u8>) -> Self {
        Self::Usage(text)
    }
}

fn usage(text: &str) -> Refusal {
    Refusal::Usage(text.as_bytes().to_vec())
}

/// Reads a command line, the program's name left out. `posix` says that POSIXLY_CORRECT or POSIX_ME_HARDER is in the environment:
/// no options after the first word that is none.
///
/// # Errors
/// It is no command of ipvsadm's.
pub fn parse(words: &[&[u8]], posix: bool, names: &mut dyn Names) -> Result<Parsed, Refusal> {
    let mut scanner = Scanner::new(words, posix);
    let first = scanner.option().and_then(Result::ok).ok_or(Refusal::NoCommand)?;
    let Meaning::Verb(verb) = first.meaning else { return Err(Refusal::NoCommand) };
    if verb == Verb::Help {
        return Ok(plain(Command::Help));
    }
    if verb == Verb::Version {
        return Ok(plain(Command::Version));
    }
    let mut draft = Draft { role: role(verb, &first)?, ..Draft::default() };
    while let Some(option) = scanner.option() {
        let found = match option {
            Ok(found) => found,
            Err(bad) => {
                let sentence = format!(": {}", bad.sentence());
                return Err(Refusal::Option(quoting("", scanner.word(), &sentence)));
            }
        };
        match draft.take(found.meaning, found.argument, names) {
            Some(taken) => taken?,
            None => return Err(quoting("invalid option `", scanner.word(), "'").into()),
        }
    }
    let mut others = scanner.others().into_iter();
    let timeouts = if verb == Verb::Set { Some(timeouts(&mut others)?) } else { None };
    if let Some(other) = others.next() {
        return Err(quoting("unexpected argument ", other, "").into());
    }
    let flags = if draft.sched_flags.is_empty() {
        ServiceFlags::NONE
    } else {
        let scheduler = Some(draft.scheduler.as_str()).filter(|name| !name.is_empty());
        sched_flags(scheduler.unwrap_or(SCHEDULER), &draft.sched_flags)?
    };
    if let Some(complaint) = complaint(verb, draft.given) {
        return Err(complaint.into());
    }
    let command = command(verb, &mut draft, flags, timeouts)?;
    Ok(Parsed { command, oddities: draft.oddities, unnamed: unnamed(verb, draft.given) })
}

const fn plain(command: Command) -> Parsed {
    Parsed { command, oddities: Vec::new(), unnamed: Vec::new() }
}

/// The settings that an edit sets though the words don't name them.
fn unnamed(verb: Verb, given: Set) -> Vec<&'static str> {
    const OF_SERVICES: &[(Once, &str)] = &[
        (Once::Scheduler, "scheduler"),
        (Once::SchedFlags, "scheduler flags"),
        (Once::Persistent, "persistence"),
        (Once::Netmask, "persistence netmask"),
        (Once::Engine, "persistence engine"),
        (Once::OnePacket, "one-packet"),
    ];
    const OF_SERVERS: &[(Once, &str)] = &[
        (Once::Weight, "weight"),
        (Once::Forward, "forwarding"),
        (Once::TunnelType, "tunnel"),
        (Once::UpperThreshold, "upper threshold"),
        (Once::LowerThreshold, "lower threshold"),
    ];
    let settings = if verb == Verb::Edit {
        OF_SERVICES
    } else if verb == Verb::EditServer {
        OF_SERVERS
    } else {
        &[]
    };
    const CHECKSUMS: [Once; 3] =
        [Once::TunnelNoChecksum, Once::TunnelChecksum, Once::TunnelRemoteChecksum];
    let missing = settings.iter().filter(|(option, _)| !given.has(*option));
    let mut names: Vec<&str> = missing.map(|(_, name)| *name).collect();
    if verb == Verb::EditServer && !given.meets(Set::of(&CHECKSUMS)) {
        names.push("tunnel checksum");
    }
    names
}

/// The state that a sync daemon is started or stopped in.
fn role(verb: Verb, first: &Found<'_>) -> Result<Option<SyncRole>, Refusal> {
    match (verb, first.argument) {
        (Verb::StartDaemon | Verb::StopDaemon, Some(b"master")) => Ok(Some(SyncRole::Master)),
        (Verb::StartDaemon | Verb::StopDaemon, Some(b"backup")) => Ok(Some(SyncRole::Backup)),
        (Verb::StartDaemon, _) => Err(usage("illegal start-daemon parameter specified")),
        (Verb::StopDaemon, _) => Err(usage("illegal start_daemon specified")),
        _without => Ok(None),
    }
}

fn timeouts<'a>(others: &mut impl Iterator<Item = &'a [u8]>) -> Result<Timeouts, Refusal> {
    let (Some(tcp), Some(tcp_fin), Some(udp)) = (others.next(), others.next(), others.next())
    else {
        return Err(usage("--set option requires 3 timeout values"));
    };
    Ok(Timeouts {
        tcp_s: timeout(tcp, 0)?,
        tcp_fin_s: timeout(tcp_fin, 0)?,
        udp_s: timeout(udp, 0)?,
    })
}

fn command(
    verb: Verb,
    draft: &mut Draft,
    flags: ServiceFlags,
    timeouts: Option<Timeouts>,
) -> Result<Command, Refusal> {
    let key = draft.key();
    let named = || key.ok_or_else(|| usage("no virtual service specified"));
    Ok(match verb {
        Verb::Add => Command::AddService(service(draft, named()?, flags)?),
        Verb::Edit => Command::EditService(service(draft, named()?, flags)?),
        Verb::Delete => Command::DeleteService(named()?),
        Verb::Clear => Command::Clear,
        Verb::AddServer => Command::AddServer(server(draft, named()?)?),
        Verb::EditServer => Command::EditServer(server(draft, named()?)?),
        Verb::DeleteServer => {
            let address = draft.server.ok_or_else(|| usage("no real server specified"))?;
            Command::DeleteServer { service: named()?, address }
        }
        Verb::List => Command::List(list(draft, key)?),
        Verb::Zero => Command::Zero(zeroed(draft, key)),
        Verb::Set => {
            Command::SetTimeouts(timeouts.unwrap_or(Timeouts { tcp_s: 0, tcp_fin_s: 0, udp_s: 0 }))
        }
        Verb::StartDaemon => Command::StartDaemon(SyncDaemon {
            role: draft.role.unwrap_or(SyncRole::Master),
            interface: if draft.interface.is_empty() {
                INTERFACE.to_owned()
            } else {
                std::mem::take(&mut draft.interface)
            },
            sync_id: draft.sync_id,
            max_length: draft.max_length,
            group: draft.group,
            port: draft.mcast_port,
            ttl: draft.ttl,
        }),
        Verb::StopDaemon => Command::StopDaemon(draft.role.unwrap_or(SyncRole::Master)),
        Verb::Restore => Command::Restore,
        Verb::Save => Command::Save { numeric: draft.given.has(Once::Numeric) },
        Verb::Help => Command::Help,
        Verb::Version => Command::Version,
    })
}

fn service(
    draft: &mut Draft,
    key: ServiceKey,
    flags: ServiceFlags,
) -> Result<ServiceRule, Refusal> {
    let (by_mark, protocol) = match key {
        ServiceKey::Fwmark { .. } => (true, None),
        ServiceKey::Address { protocol, .. } => (false, Some(protocol)),
    };
    if !by_mark && draft.port == 0 && draft.persistent_s.is_none() {
        return Err(usage("Zero port specified for non-persistent service"));
    }
    if draft.one_packet && !by_mark && protocol != Some(Protocol::Udp) {
        return Err(usage("One-Packet Scheduling is only for UDP virtual services"));
    }
    let scheduler = std::mem::take(&mut draft.scheduler);
    let scheduler = Scheduler::try_from(scheduler)
        .or_else(|_empty| Scheduler::try_from(SCHEDULER.to_owned()))
        .map_err(|error| error.to_string())?;
    let rule = ServiceRule {
        key,
        scheduler,
        flags: if draft.one_packet { flags.with(ServiceFlags::ONE_PACKET) } else { flags },
        persistent_s: draft.persistent_s,
        netmask: draft.netmask,
        engine: Some(std::mem::take(&mut draft.engine)).filter(|name| !name.is_empty()),
    };
    if rule.prefix().is_none() {
        draft.oddities.push(Oddity::MaskGaps);
    }
    if rule.persistent_s.is_none() {
        if draft.given.has(Once::Netmask) {
            draft.oddities.push(Oddity::MaskAlone);
        }
        if rule.engine.is_some() {
            draft.oddities.push(Oddity::EngineAlone);
        }
    }
    Ok(rule)
}

fn server(draft: &mut Draft, service: ServiceKey) -> Result<ServerRule, Refusal> {
    let mut address = draft.server.ok_or_else(|| usage("no real server specified"))?;
    let by_mark = matches!(service, ServiceKey::Fwmark { .. });
    if !by_mark && draft.method != Method::Nat {
        if draft.server_port_said && address.port() != draft.port {
            let (said, used) = (address.port(), draft.port);
            draft.oddities.push(Oddity::PortReplaced { said, used });
        }
        address.set_port(draft.port);
    } else if !draft.server_port_said && address.port() != draft.port {
        draft.oddities.push(Oddity::ServerFirst { used: address.port() });
    }
    if Family::of(address.ip()) != service.family() && draft.method != Method::Tunnel {
        return Err(usage("Different address family is allowed only for tunneling servers"));
    }
    if draft.given.meets(of_tunnels()) && draft.method != Method::Tunnel {
        return Err(usage("Tunnel options conflict with forward method"));
    }
    if let Some(complaint) = tunnel_complaint(draft.tunnel, draft.given) {
        return Err(complaint.into());
    }
    let forwarding = match draft.method {
        Method::Direct => Forwarding::Direct,
        Method::Nat => Forwarding::Nat,
        Method::Tunnel => Forwarding::Tunnel(tunnel(draft)),
    };
    let destination = Destination {
        address,
        forwarding,
        weight: draft.weight,
        upper_threshold: draft.upper_threshold,
        lower_threshold: draft.lower_threshold,
    };
    Ok(ServerRule { service, destination })
}

fn tunnel(draft: &Draft) -> Tunnel {
    let checksum = if draft.given.has(Once::TunnelRemoteChecksum) {
        TunnelChecksum::Remote
    } else if draft.given.has(Once::TunnelChecksum) {
        TunnelChecksum::Full
    } else {
        TunnelChecksum::None
    };
    match draft.tunnel {
        TunnelType::Ipip => Tunnel::Ipip,
        TunnelType::Gue => Tunnel::Gue { port: draft.tunnel_port, checksum },
        TunnelType::Gre => Tunnel::Gre { checksum },
    }
}

fn zeroed(draft: &mut Draft, key: Option<ServiceKey>) -> Option<ServiceKey> {
    match key {
        Some(ServiceKey::Address { address, .. })
            if address.ip().is_unspecified() && address.port() == 0 =>
        {
            draft.oddities.push(Oddity::AllCounters);
            None
        }
        other => other,
    }
}

fn list(draft: &Draft, key: Option<ServiceKey>) -> Result<List, Refusal> {
    let given = draft.given;
    let alone = Set::of(&[Once::Connection, Once::Timeout, Once::Daemon]);
    let of_tables = Set::of(&[Once::Stats, Once::Rate, Once::Thresholds]);
    let settings = Set::of(&[Once::Timeout, Once::Daemon]);
    if given.meets(alone) && given.meets(of_tables)
        || given.meets(settings) && given.has(Once::PersistentConn)
    {
        return Err(usage("options conflicts in the list command"));
    }
    let kind = if given.has(Once::Connection) {
        ListKind::Connections
    } else if let Some(key) = key {
        ListKind::Service(key)
    } else if given.has(Once::Timeout) {
        ListKind::Timeouts
    } else if given.has(Once::Daemon) {
        ListKind::Daemons
    } else {
        ListKind::All
    };
    Ok(List {
        kind,
        numeric: given.has(Once::Numeric),
        stats: given.has(Once::Stats),
        rate: given.has(Once::Rate),
        thresholds: given.has(Once::Thresholds),
        persistent_conn: given.has(Once::PersistentConn),
        tunnel_info: given.has(Once::TunnelInfo),
        nosort: given.has(Once::NoSort),
        exact: given.has(Once::Exact),
    })
}
