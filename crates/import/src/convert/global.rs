//! `global_defs`, and what the file says of interfaces.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::values::{duration, exact_number, number, refuse, switch, time};
use super::{Conversion, NOWHERE};
use crate::keywords::{Context, account};
use crate::tree::Statement;
use crate::yaml::{plain, text};

/// What `global_defs` sets for instances that do not say otherwise.
#[derive(Debug, Default)]
pub(crate) struct Globals {
    pub(crate) version: Option<i64>,
    pub(crate) group4: Option<IpAddr>,
    pub(crate) group6: Option<IpAddr>,
    pub(crate) garp_delay: Option<u64>,
    pub(crate) garp_repeat: Option<i64>,
    pub(crate) garp_refresh: Option<u64>,
    pub(crate) garp_refresh_repeat: Option<i64>,
    pub(crate) down_adverts: Option<i64>,
    pub(crate) priority_changes: bool,
    pub(crate) rfc_checksum: bool,
    pub(crate) strict: bool,
    pub(crate) interface: Option<String>,
    /// `lvs_sync_daemon` and `lvs_sync_daemon_interface`.
    pub(crate) sync: Vec<Statement>,
    /// The least time between two announcements, and by which statement.
    pub(crate) announce: Option<(u64, Statement)>,
    /// Interfaces that instances are on.
    pub(crate) interfaces: BTreeMap<String, ()>,
}

const DAY: u64 = 86_400;

/// Converts `global_defs`.
pub(crate) fn global(block: &Statement, conversion: &mut Conversion<'_>) {
    conversion.ledger.exact(block.id);
    for statement in block.children() {
        if !vrrp(statement, conversion) && !other(statement, conversion) {
            account(statement, Context::Global, conversion.ledger);
        }
    }
}

/// Defaults of instances.
fn vrrp(statement: &Statement, conversion: &mut Conversion<'_>) -> bool {
    let Conversion { ledger, globals, .. } = conversion;
    match statement.keyword() {
        "vrrp_version" => globals.version = exact_number(statement, 2..=3, ledger),
        "vrrp_mcast_group4" | "vrrp_mcast_group6" => {
            let ipv4 = statement.keyword().ends_with('4');
            match statement.word(1).parse::<IpAddr>() {
                Ok(group) if group.is_ipv4() == ipv4 => {
                    ledger.exact(statement.id);
                    *(if ipv4 { &mut globals.group4 } else { &mut globals.group6 }) = Some(group);
                }
                _ => refuse(statement, 1, "not an address of its family", ledger),
            }
        }
        "vrrp_garp_master_delay" => {
            globals.garp_delay = time(statement, 1, 3600, ledger);
            ledger.exact(statement.id);
        }
        "vrrp_garp_master_repeat" => globals.garp_repeat = exact_number(statement, 1..=100, ledger),
        "vrrp_garp_master_refresh" => {
            globals.garp_refresh = time(statement, 1, DAY, ledger);
            ledger.exact(statement.id);
        }
        "vrrp_garp_master_refresh_repeat" => {
            globals.garp_refresh_repeat = exact_number(statement, 1..=100, ledger);
        }
        "vrrp_min_garp" => {
            ledger.exact(statement.id);
            if switch(statement, ledger) == Some(true) {
                globals.garp_repeat = Some(1);
                globals.garp_delay = Some(0);
            }
        }
        "vrrp_garp_interval" | "vrrp_gna_interval" => {
            let Some(interval) = time(statement, 1, 3600, ledger) else { return true };
            let before = globals.announce.as_ref().map(|(before, _)| *before);
            ledger.exact(statement.id);
            if interval > 0 && before.is_some_and(|before| before != interval) {
                ledger.differs(statement.id, "ARP and NA have one `announce_interval`: the longer");
            }
            if interval > before.unwrap_or(0) {
                globals.announce = Some((interval, statement.clone()));
            }
        }
        "vrrp_down_timer_adverts" => {
            globals.down_adverts = exact_number(statement, 1..=100, ledger);
        }
        "vrrp_notify_priority_changes" => {
            globals.priority_changes = switch(statement, ledger).unwrap_or_default();
            ledger.exact(statement.id);
        }
        "v3_checksum_as_v2" => {
            globals.rfc_checksum = switch(statement, ledger).unwrap_or_default();
            ledger.exact(statement.id);
        }
        "vrrp_strict" => {
            globals.strict = switch(statement, ledger).unwrap_or_default();
            ledger.left_decide(statement.id, STRICT);
        }
        "default_interface" => {
            globals.interface = Some(statement.word(1).to_owned());
            ledger.exact(statement.id);
        }
        _ => return false,
    }
    true
}

pub(super) const STRICT: &str = "`holdfast check` refuses what contradicts the RFC. What keepalived does besides is left out: it drops packets to the addresses (they answer no ping; `accept: false` does that), and refuses unicast and passwords";

/// What belongs to the daemon and to IPVS.
fn other(statement: &Statement, conversion: &mut Conversion<'_>) -> bool {
    match statement.keyword() {
        "vrrp_iptables" | "nftables" => conversion.ledger.note(
            statement.id,
            "where `accept: false` needs rules they are in a table of nftables of Holdfast's own",
        ),
        "vrrp_startup_delay" => {
            if let Some(delay) = time(statement, 1, 3600, conversion.ledger) {
                conversion.ledger.exact(statement.id);
                conversion.set("vrrp", "startup_delay", duration(delay), statement);
            }
        }
        "script_user" => script_user(statement, conversion),
        "lvs_sync_daemon" => conversion.globals.sync.push(statement.clone()),
        "lvs_timeouts" => timeouts(statement, conversion),
        "lvs_flush" => {
            let note =
                "services of others are removed whenever they turn up, not at the start alone";
            conversion.ledger.differs_decide(statement.id, note);
            conversion.set("ipvs", "foreign", "remove", statement);
        }
        "lvs_flush_on_stop" | "lvs_flush_onstop" => {
            conversion.ledger.exact(statement.id);
            conversion.set("ipvs", "on_stop", "remove", statement);
        }
        _ => return false,
    }
    true
}

fn script_user(statement: &Statement, conversion: &mut Conversion<'_>) {
    let (user, group) = (statement.word(1), statement.word(2));
    if user == "root" || user.is_empty() {
        let note = "commands never run as root: they run as `holdfast-script`, and what needs a right has to get it otherwise (a group, sudo, capabilities of the file)";
        return conversion.ledger.left_decide(statement.id, note);
    }
    if group.is_empty() {
        conversion.ledger.exact(statement.id);
    } else {
        let note = format!("the user's own group counts, not `{group}`");
        conversion.ledger.differs(statement.id, note);
    }
    let (user, origin) = (text(user), statement.span.clone());
    conversion.section("daemon", "scripts", |scripts| scripts.set("user", user, origin));
}

fn timeouts(statement: &Statement, conversion: &mut Conversion<'_>) {
    let mut index = 1;
    while index < statement.words.len() {
        let key = match statement.word(index) {
            "tcp" => "tcp",
            "tcpfin" => "tcp_fin",
            "udp" => "udp",
            other => {
                let what = format!("`{other}` is none of tcp, tcpfin and udp");
                return refuse(statement, index, what, conversion.ledger);
            }
        };
        let most = 24 * i64::try_from(DAY).unwrap_or(i64::MAX);
        let Some(seconds) = number(statement, index + 1, 1..=most, conversion.ledger) else {
            return;
        };
        let origin = statement.span.clone();
        conversion.section("ipvs", "timeouts", |timeouts| {
            timeouts.set(key, plain(format!("{seconds}s")), origin);
        });
        index += 2;
    }
    conversion.ledger.exact(statement.id);
}

/// Sets a key of an interface.
fn interface(
    name: &str,
    key: &str,
    micros: u64,
    from: &Statement,
    conversion: &mut Conversion<'_>,
) {
    let origin = from.span.clone();
    conversion.section("vrrp", "interfaces", |interfaces| {
        interfaces.edit(name, NOWHERE, |interface| {
            if !interface.has(key) {
                interface.set(key, plain(duration(micros)), origin);
            }
        });
    });
}

/// Converts `interface_up_down_delays`: an interface, the delay of its falling, and of its rising.
pub(crate) fn delays(block: &Statement, conversion: &mut Conversion<'_>) {
    conversion.ledger.exact(block.id);
    for statement in block.children() {
        let Some(down) = time(statement, 1, 255, conversion.ledger) else { continue };
        let up = match statement.word(2) {
            "" => Some(down),
            _ => time(statement, 2, 255, conversion.ledger),
        };
        let Some(up) = up else { continue };
        conversion.ledger.exact(statement.id);
        interface(statement.keyword(), "down_delay", down, statement, conversion);
        interface(statement.keyword(), "up_delay", up, statement, conversion);
    }
}

/// Converts `garp_group`: the least time between two announcements on some interfaces.
pub(crate) fn garp_group(block: &Statement, conversion: &mut Conversion<'_>) {
    conversion.ledger.exact(block.id);
    let mut longest: Option<u64> = None;
    let mut names = Vec::new();
    for statement in block.children() {
        match statement.keyword() {
            "garp_interval" | "gna_interval" => {
                let interval = time(statement, 1, 3600, conversion.ledger);
                longest = longest.max(interval);
                conversion.ledger.exact(statement.id);
            }
            "interface" => {
                names.push((statement.word(1).to_owned(), statement.clone()));
                conversion.ledger.exact(statement.id);
            }
            "interfaces" => {
                conversion.ledger.differs(
                    statement.id,
                    "each of these interfaces has the interval for itself, not all together",
                );
                for child in statement.children() {
                    conversion.ledger.exact(child.id);
                    names.extend(child.words.iter().map(|w| (w.text.clone(), child.clone())));
                }
                names
                    .extend(statement.arguments().map(|name| (name.to_owned(), statement.clone())));
            }
            _ => account(statement, Context::GarpGroup, conversion.ledger),
        }
    }
    for (name, statement) in names {
        interface(&name, "announce_interval", longest.unwrap_or(0), &statement, conversion);
    }
}

/// Gives every interface of an instance the interval that `global_defs` has.
pub(crate) fn announce_intervals(conversion: &mut Conversion<'_>) {
    let Some((interval, statement)) = conversion.globals.announce.clone() else { return };
    let names: Vec<String> = conversion.globals.interfaces.keys().cloned().collect();
    for name in names {
        interface(&name, "announce_interval", interval, &statement, conversion);
    }
}
