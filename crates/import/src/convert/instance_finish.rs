//! What an instance's statements mean together.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::Conversion;
use super::address::Address;
use super::command::hook;
use super::instance::Draft;
use super::peers;
use super::values::duration;
use crate::keywords::{Context, account};
use crate::ledger::Ledger;
use crate::tree::Statement;
use crate::yaml::{Map, NOWHERE, Node, plain, text};

/// In microseconds.
const SECOND: u64 = 1_000_000;

/// The instance in Holdfast's words.
pub(super) fn finish(block: &Statement, mut draft: Draft, conversion: &mut Conversion<'_>) -> Map {
    let ipv6 = draft.addresses.first().is_some_and(|first| first.ip.is_ipv6());
    interface(block, &mut draft, conversion);
    if let Some(vrid) = draft.vrid {
        draft.map.set("vrid", plain(vrid), NOWHERE);
    }
    let priority = priority(block, &draft, conversion.ledger);
    draft.map.set("priority", plain(priority), origin(draft.priority.as_ref()));
    let version = version(block, &draft, ipv6, conversion);
    if version == 2 {
        draft.map.set("version", plain(2), origin(draft.version.as_ref()));
    }
    let interval = interval(&mut draft, version, conversion.ledger);
    preempt(&mut draft, priority, conversion.ledger);
    addresses(&mut draft, ipv6, conversion.ledger);
    let adverts = draft.down_adverts.or(conversion.globals.down_adverts).unwrap_or(3);
    if adverts != 3 {
        draft.map.set("down_adverts", plain(adverts), NOWHERE);
    }
    if version == 3 && !ipv6 && draft.rfc_checksum.unwrap_or(conversion.globals.rfc_checksum) {
        draft.map.set("checksum", plain("rfc9568"), NOWHERE);
    }
    if let Some(statement) = draft.authentication.take() {
        authentication(&statement, version, &mut draft.map, conversion.ledger);
    }
    if let Some(statement) = &draft.no_accept {
        if priority == 255 {
            let note = "the owner of an address (priority 255) accepts packets to it; keepalived ignores the line silently";
            conversion.ledger.left(statement.id, note);
        } else {
            draft.map.set("accept", plain(false), statement.span.clone());
        }
    }
    peers::unicast(&mut draft, ipv6, conversion);
    if priority != 255 {
        let note = "the address of a daemon that was killed as a whole goes after `lifetime`; keepalived's stays: `lifetime: 0s` is for a node without a peer";
        conversion.ledger.differs(block.id, note);
        if !draft.map.has("unicast") {
            lifetime(&mut draft, adverts, interval);
        }
    }
    virtual_mac(&mut draft, conversion.ledger);
    announce(&mut draft, conversion);
    if let Some(statement) = draft.notify.take() {
        let states: &[&str] = if draft.priority_changes {
            &["active", "backup", "fault", "stop", "priority"]
        } else {
            &[]
        };
        hook(&mut draft.map, states, &statement, conversion.ledger);
    }
    let order = ["interface", "vrid", "version", "priority", "interval", "preempt", "addresses"];
    draft
        .map
        .entries
        .sort_by_key(|entry| order.iter().position(|key| *key == entry.key).unwrap_or(order.len()));
    draft.map
}

fn origin<T>(said: Option<&(T, Statement)>) -> std::ops::Range<usize> {
    said.map_or(NOWHERE, |(_, statement)| statement.span.clone())
}

fn interface(block: &Statement, draft: &mut Draft, conversion: &mut Conversion<'_>) {
    if draft.interface.is_none() {
        draft.interface.clone_from(&conversion.globals.interface);
        match &draft.interface {
            Some(name) => {
                draft.map.set("interface", text(name), NOWHERE);
                conversion.ledger.note(
                    block.id,
                    format!("no `interface`: that of `default_interface`, `{name}`"),
                );
            }
            None => conversion.ledger.wrong(
                block.id,
                block.column(1),
                format!("instance `{}` has no `interface`", block.word(1)),
                "name the one whose network its peers are on, also with `unicast_peer`",
            ),
        }
    }
    if let Some(name) = &draft.interface {
        conversion.globals.interfaces.insert(name.clone(), ());
    }
}

fn priority(block: &Statement, draft: &Draft, ledger: &mut Ledger) -> i64 {
    match &draft.priority {
        Some((priority, _)) => *priority,
        None if draft.master => {
            ledger
                .note(block.id, "state MASTER without a `priority`: keepalived silently takes 255");
            255
        }
        None => {
            ledger.note(block.id, "no `priority`: keepalived takes 100");
            100
        }
    }
}

fn version(block: &Statement, draft: &Draft, ipv6: bool, conversion: &mut Conversion<'_>) -> i64 {
    let said = draft.version.as_ref().map(|(version, _)| *version);
    let version = said.or(conversion.globals.version);
    if ipv6 {
        if version == Some(2) {
            let id = draft.version.as_ref().map_or(block.id, |(_, statement)| statement.id);
            conversion.ledger.note(id, "IPv6 has version 3 alone: keepalived silently takes it");
        }
        return 3;
    }
    if version.is_none() {
        conversion.ledger.note(block.id, "no `version`: keepalived's is 2; with all nodes moved, version 3 allows intervals below a second");
    }
    version.unwrap_or(2)
}

/// The interval in microseconds, also where nothing is said of it.
fn interval(draft: &mut Draft, version: i64, ledger: &mut Ledger) -> u64 {
    let Some((micros, statement)) = draft.interval.take() else { return SECOND };
    let (step, least, most) = if version == 2 {
        (1_000_000, 1_000_000, 255_000_000)
    } else {
        (10_000, 10_000, 40_950_000)
    };
    // Both programs round to the nearest step that there is.
    let rounded = ((micros + step / 2) / step * step).clamp(least, most);
    if rounded == micros {
        ledger.exact(statement.id);
    } else {
        let note = format!(
            "version {version} can't say it: keepalived silently rounds it, here to {}",
            duration(rounded)
        );
        ledger.differs(statement.id, note);
    }
    draft.map.set("interval", plain(duration(rounded)), statement.span);
    rounded
}

/// Who uses keepalived has another node, and with multicast its file does not name it: nothing else would tell Holdfast that the addresses
/// are a pair's. It is what Holdfast takes itself where a configuration names one.
fn lifetime(draft: &mut Draft, adverts: i64, interval: u64) {
    let intervals = u64::try_from(adverts).unwrap_or(3) + 1;
    let seconds = interval.saturating_mul(intervals).div_ceil(SECOND).clamp(4, 3600);
    draft.map.set("lifetime", plain(duration(seconds * SECOND)), NOWHERE);
}

fn preempt(draft: &mut Draft, priority: i64, ledger: &mut Ledger) {
    let mut refuses = draft.nopreempt.take();
    if let Some(statement) = refuses.as_ref().filter(|_| priority == 255 || draft.master) {
        let why = if priority == 255 { "priority 255" } else { "state MASTER" };
        ledger.left_decide(
            statement.id,
            format!(
                "with {why} keepalived silently ignores it; write `preempt: false` if it is meant"
            ),
        );
        refuses = None;
    }
    if let Some((delay, statement)) = draft.preempt_delay.take() {
        if refuses.is_some() || (draft.master && delay > 0) {
            let with = if refuses.is_some() { "nopreempt" } else { "state MASTER" };
            let note = format!("keepalived silently ignores it with {with}, and it is left out");
            ledger.left(statement.id, note);
        } else {
            ledger.exact(statement.id);
            draft.map.set("preempt_delay", plain(duration(delay)), statement.span);
        }
    }
    if let Some(statement) = refuses {
        let note = "and a node takes over from an Active that a weight has lowered before its eyes, which keepalived's does not";
        ledger.differs(statement.id, note);
        draft.map.set("preempt", plain(false), statement.span);
    }
}

/// One family is advertised; what is of the other moves along.
fn addresses(draft: &mut Draft, ipv6: bool, ledger: &mut Ledger) {
    let own = draft.interface.clone().unwrap_or_default();
    let (mut advertised, other): (Vec<Address>, Vec<Address>) =
        std::mem::take(&mut draft.addresses).into_iter().partition(|a| a.ip.is_ipv6() == ipv6);
    for address in &other {
        ledger.differs(address.id, "of the other family than the first: not advertised, as in keepalived, but under `excluded`");
    }
    if ipv6 {
        link_local_first(&mut advertised, draft.vrid, ledger);
    }
    let excluded = std::mem::take(&mut draft.excluded);
    let moving = other.into_iter().chain(excluded).map(|address| ("excluded", address));
    let all = advertised.into_iter().map(|address| ("addresses", address)).chain(moving);
    let mut seen = BTreeSet::new();
    for (key, address) in all {
        if seen.insert(address.ip) {
            draft.map.push(key, address.node(&own, ledger), address.origin());
        } else {
            ledger.left(address.id, "the instance has this address already: the first counts");
        }
    }
}

/// The first address of IPv6 is link-local (RFC 9568 §5.2.9).
fn link_local_first(addresses: &mut Vec<Address>, vrid: Option<i64>, ledger: &mut Ledger) {
    let local = |ip: &IpAddr| matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    if addresses.first().is_none_or(|first| local(&first.ip)) {
        return;
    }
    let Some(id) = addresses.first().map(|first| first.id) else { return };
    if let Some(at) = addresses.iter().position(|address| local(&address.ip)) {
        ledger.differs(id, "the link-local address stands first (RFC 9568 §5.2.9)");
        let first = addresses.remove(at);
        return addresses.insert(0, first);
    }
    let text = format!("fe80::{:x}", vrid.unwrap_or(1));
    let Ok(ip) = text.parse() else { return };
    ledger.differs_decide(
        id,
        format!("the first address of IPv6 is link-local (RFC 9568 §5.2.9): {text}/64 was added, which every node has to have; keepalived before 2.3.3 drops advertisements with other addresses than its own"),
    );
    addresses.insert(0, Address::new(ip, 64, id));
}

fn authentication(block: &Statement, version: i64, map: &mut Map, ledger: &mut Ledger) {
    ledger.exact(block.id);
    let find = |word: &str| block.children().iter().find(|child| child.keyword() == word);
    let header = find("auth_type").is_some_and(|kind| kind.word(1) == "AH");
    for statement in block.children() {
        match statement.keyword() {
            "auth_type" | "auth_pass" if version == 3 => {
                ledger.left(statement.id, "version 3 has no authentication (RFC 9568 §9); keepalived silently ignores it");
            }
            "auth_type" if header => ledger.left_decide(
                statement.id,
                "authentication headers (AH) left VRRP with RFC 3768: Holdfast's nodes and those with AH don't hear each other. Take AH out on all nodes, or move all nodes at once",
            ),
            "auth_pass" if header => ledger.left(statement.id, "with AH"),
            "auth_type" if statement.word(1) == "PASS" => ledger.exact(statement.id),
            "auth_type" => {
                let message = format!("`auth_type` is PASS or AH, not `{}`", statement.word(1));
                ledger.wrong(statement.id, statement.column(1), message, "correct it");
            }
            "auth_pass" => password(statement, map, ledger),
            _ => account(statement, Context::Authentication, ledger),
        }
    }
}

fn password(statement: &Statement, map: &mut Map, ledger: &mut Ledger) {
    let whole = statement.word(1);
    let mut password = String::new();
    for letter in whole.chars() {
        if password.len() + letter.len_utf8() > 8 {
            break;
        }
        password.push(letter);
    }
    if password.len() < whole.len() {
        ledger.note(
            statement.id,
            "keepalived silently cuts it to 8 bytes, and so does the conversion",
        );
    } else {
        ledger.exact(statement.id);
    }
    let mut authentication = Map::default();
    authentication.set("password", text(password), statement.span.clone());
    map.set("authentication", Node::Map(authentication), statement.span.clone());
}

fn virtual_mac(draft: &mut Draft, ledger: &mut Ledger) {
    let Some(statement) = draft.virtual_mac.take() else { return };
    if draft.map.has("unicast") {
        let note = "with unicast the network delivers by the MAC addresses that it gave out; keepalived needs `vmac_xmit_base` there, which is the same as none";
        return ledger.left_decide(statement.id, note);
    }
    let node = match statement.word(1) {
        "" => plain(true),
        name if name.len() <= 15 && !name.contains(':') => {
            let mut mac = Map::default();
            mac.set("name", text(name), statement.span.clone());
            Node::Map(mac)
        }
        other => {
            ledger.differs(
                statement.id,
                format!(
                    "`{other}` is left out: the MAC address is the virtual router's (RFC 9568 §7.3)"
                ),
            );
            plain(true)
        }
    };
    if statement.words.len() > 2 {
        ledger.differs(statement.id, "what follows the name is left out");
    }
    draft.map.set("virtual_mac", node, statement.span);
}

fn announce(draft: &mut Draft, conversion: &Conversion<'_>) {
    let globals = &conversion.globals;
    let mut announce = Map::default();
    if let Some(count) = draft.garp_repeat.or(globals.garp_repeat).filter(|count| *count != 5) {
        announce.set("count", plain(count), NOWHERE);
    }
    if let Some(delay) = draft.garp_delay.or(globals.garp_delay).filter(|delay| *delay != 5_000_000)
    {
        announce.set("repeat_after", plain(duration(delay)), NOWHERE);
    }
    if let Some(refresh) =
        draft.garp_refresh.or(globals.garp_refresh).filter(|refresh| *refresh > 0)
    {
        announce.set("refresh", plain(duration(refresh.max(1_000_000))), NOWHERE);
    }
    let count = draft.garp_refresh_repeat.or(globals.garp_refresh_repeat);
    if let Some(count) = count.filter(|count| *count != 1) {
        announce.set("refresh_count", plain(count), NOWHERE);
    }
    if !announce.is_empty() {
        draft.map.set("announce", Node::Map(announce), NOWHERE);
    }
}
