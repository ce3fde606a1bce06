//! `virtual_server`.

use std::collections::{BTreeMap, BTreeSet};

use super::check_http::Client;
use super::command::hook;
use super::listen::{Groups, Listen, MOST, Member, groups, member, socket};
use super::names::Names;
use super::pace::Pace;
use super::scheduling::Scheduling;
use super::server::{Pool, Server, server, set_checks};
use super::values::{exact_number, number, only_on, refuse};
use super::{Conversion, NOWHERE};
use crate::keywords::{Context, account, effective, has_block, inside};
use crate::tree::Statement;
use crate::yaml::{Entry, Item, Map, Node, plain, text};

/// Converts all virtual servers, and the `SSL` block of their checks.
pub(crate) fn services(statements: &[Statement], conversion: &mut Conversion<'_>) {
    let groups = groups(statements, conversion);
    let mut client = Client::default();
    for block in statements.iter().filter(|block| block.keyword() == "SSL") {
        conversion.ledger.exact(block.id);
        for statement in block.children() {
            let field = match statement.keyword() {
                "certificate" => &mut client.certificate,
                "key" => &mut client.key,
                _ => {
                    account(statement, Context::Ssl, conversion.ledger);
                    continue;
                }
            };
            *field = Some(statement.word(1).to_owned());
            conversion.ledger.exact(statement.id);
        }
    }
    for block in statements.iter().filter(|block| block.keyword() == "virtual_server") {
        match listens(block, &groups, conversion) {
            Some(members) => service(block, &members, &client, conversion),
            None => inside(block, conversion.ledger),
        }
    }
}

/// Where a virtual server listens.
fn listens(
    block: &Statement,
    groups: &Groups,
    conversion: &mut Conversion<'_>,
) -> Option<Vec<Member>> {
    if block.word(1) != "group" {
        let listens = member(block, 1, conversion)?;
        conversion.ledger.exact(block.id);
        return Some(listens.into_iter().map(|listen| Member { id: block.id, listen }).collect());
    }
    let Some(members) = groups.get(block.word(2)) else {
        let what = format!("there is no virtual_server_group `{}`", block.word(2));
        refuse(block, 2, what, conversion.ledger);
        return None;
    };
    if members.is_empty() {
        let what = format!("virtual_server_group `{}` has no address", block.word(2));
        refuse(block, 2, what, conversion.ledger);
        return None;
    }
    if !conversion.serve(members.len() - 1, block) {
        return None;
    }
    conversion.ledger.exact(block.id);
    Some(members.clone())
}

/// A virtual server that is being read.
#[derive(Default)]
struct Draft {
    transport: Option<String>,
    scheduling: Scheduling,
    pace: Pace,
    weight: Option<i64>,
    virtual_host: Option<String>,
    alpha: bool,
    inhibit: bool,
    quorum: Option<(i64, Statement)>,
    hysteresis: Option<(i64, Statement)>,
    sorry: Option<Statement>,
    sorry_inhibit: Option<Statement>,
    ipv6: bool,
    hooks: Map,
    servers: Vec<Statement>,
}

fn service(
    block: &Statement,
    members: &[Member],
    client: &Client,
    conversion: &mut Conversion<'_>,
) {
    let mut draft = Draft::default();
    for statement in effective(block, conversion.ledger) {
        let known = draft.read(statement, conversion)
            || draft.scheduling.read(statement, conversion)
            || draft.pace.read(statement, conversion);
        if !known {
            account(statement, Context::VirtualServer, conversion.ledger);
        }
    }
    let transport = draft.transport.clone().unwrap_or_else(|| "udp".to_owned());
    if draft.transport.is_none() && !members.iter().all(Member::marked) {
        conversion.ledger.note(block.id, "no `protocol`: keepalived takes UDP, with a warning");
    }
    if draft.servers.is_empty() {
        conversion.ledger.left_decide(block.id, "it has no `real_server`, so keepalived silently drops it; `services` can have an empty pool that `holdfast server add` fills");
        return inside(block, conversion.ledger);
    }
    let parts = parts(members, draft.ipv6);
    let more = parts.len().saturating_sub(1).saturating_mul(block.span.len());
    if !conversion.serve(more, block) {
        return inside(block, conversion.ledger);
    }
    if parts.len() > 1 {
        let note = format!(
            "{} services of Holdfast: each has addresses of one family and port, {MOST} at most, or marks",
            parts.len()
        );
        conversion.ledger.differs(block.id, note);
    }
    for (port, members) in parts {
        part(block, &transport, port, &members, &draft, client, conversion);
    }
}

/// The addresses and marks of each service that a virtual server is, with its port: servers of a mark have none, and a service has addresses of
/// one family, [`MOST`] of them. `ipv6`: marks are of IPv6.
fn parts(members: &[Member], ipv6: bool) -> Vec<(u16, Vec<Member>)> {
    let mut parts: Vec<(u16, Vec<Member>)> = Vec::new();
    let mut newest = BTreeMap::new();
    for member in members {
        let mut member = member.clone();
        if let Listen::Mark(mark, own) = member.listen {
            member.listen = Listen::Mark(mark, own || ipv6);
        }
        let port = member.listen.port();
        let kind = (member.marked(), member.listen.ipv6(), port);
        let part = newest.get(&kind).and_then(|index: &usize| parts.get_mut(*index));
        match part.filter(|(_, all)| all.len() < MOST) {
            Some((_, all)) => all.push(member),
            None => {
                newest.insert(kind, parts.len());
                parts.push((port, vec![member]));
            }
        }
    }
    parts
}

impl Draft {
    fn read(&mut self, statement: &Statement, conversion: &mut Conversion<'_>) -> bool {
        let ledger = &mut *conversion.ledger;
        match statement.keyword() {
            "protocol" => match statement.word(1).to_ascii_lowercase().as_str() {
                word @ ("tcp" | "udp" | "sctp") => {
                    ledger.exact(statement.id);
                    self.transport = Some(word.to_owned());
                }
                other => {
                    refuse(statement, 1, format!("`{other}` is none of TCP, UDP and SCTP"), ledger)
                }
            },
            "weight" => self.weight = exact_number(statement, 0..=2_147_483_647, ledger),
            "virtualhost" => {
                ledger.exact(statement.id);
                self.virtual_host = Some(statement.word(1).to_owned());
            }
            "alpha" => self.alpha = only_on(statement, ledger),
            "inhibit_on_failure" => self.inhibit = only_on(statement, ledger),
            "quorum" => {
                let quorum = exact_number(statement, 1..=2_147_483_647, ledger);
                self.quorum = quorum.map(|quorum| (quorum, statement.clone()));
            }
            "hysteresis" => {
                let hysteresis = exact_number(statement, 0..=2_147_483_647, ledger);
                self.hysteresis = hysteresis.map(|hysteresis| (hysteresis, statement.clone()));
            }
            "quorum_up" => hook(&mut self.hooks, &["up"], statement, ledger),
            "quorum_down" => hook(&mut self.hooks, &["down"], statement, ledger),
            "sorry_server" => self.sorry = Some(statement.clone()),
            "sorry_server_inhibit" => self.sorry_inhibit = Some(statement.clone()),
            "ip_family" => {
                ledger.exact(statement.id);
                self.ipv6 = statement.word(1) == "inet6";
            }
            "real_server" => {
                if has_block(statement, ledger) {
                    self.servers.push(statement.clone());
                }
            }
            _ => return false,
        }
        true
    }
}

/// One service of those that a virtual server is.
fn part(
    block: &Statement,
    transport: &str,
    port: u16,
    members: &[Member],
    draft: &Draft,
    client: &Client,
    conversion: &mut Conversion<'_>,
) {
    let Some(first) = members.first() else { return };
    let name = if block.word(1) == "group" {
        block.word(2).to_owned()
    } else {
        first.listen.name(transport)
    };
    let name = conversion.services.fresh(&name);
    let mut map = Map::default();
    let items = members.iter().map(|Member { id, listen }| {
        let (id, block) = (*id, block.id);
        // A group's addresses are another block's: their comments stand at the first service that has them.
        let origin = if id == block { NOWHERE } else { id..id + 1 };
        Item { value: text(listen.words(transport)), origin }
    });
    match items.collect::<Vec<_>>() {
        mut one if one.len() == 1 => {
            if let Some(Item { value, origin }) = one.pop() {
                map.set("listen", value, origin);
            }
        }
        several => map.set("listen", Node::List(several), NOWHERE),
    }
    let pool = Pool {
        pace: draft.pace.clone(),
        virtual_host: draft.virtual_host.clone(),
        client,
        weight: draft.weight,
        alpha: draft.alpha,
        inhibit: draft.inhibit,
        port,
        forward: draft.scheduling.way(),
    };
    let mut names = Names::default();
    let mut seen = BTreeSet::new();
    let mut servers: Vec<Server> = Vec::new();
    for statement in &draft.servers {
        match server(statement, &pool, &mut names, conversion) {
            None => inside(statement, conversion.ledger),
            Some(server) if !seen.insert(server.address) => {
                conversion.ledger.left(
                    statement.id,
                    "a second server of this address and port: keepalived silently drops it",
                );
                inside(statement, conversion.ledger);
            }
            Some(server) => servers.push(server),
        }
    }
    let mut scheduling = draft.scheduling.clone();
    let every_port = port == 0 && matches!(first.listen, Listen::Address(..));
    scheduling.write(&mut map, every_port, block, conversion);
    if let Some(statement) = &draft.scheduling.one_packet {
        if transport == "udp" || matches!(first.listen, Listen::Mark(..)) {
            map.set("one_packet", plain(true), statement.span.clone());
        } else {
            conversion
                .ledger
                .left(statement.id, "of UDP alone; keepalived resets it with a warning");
        }
    }
    policy(block, draft, &servers, port, &mut map, conversion);
    pool_of(servers, &mut map);
    let origin = block.span.clone();
    conversion.root.edit("services", NOWHERE, |all| all.set(&name, Node::Map(map), origin));
}

/// The servers, with the checks that they share at the service.
fn pool_of(mut servers: Vec<Server>, map: &mut Map) {
    let shape = |checks: &[Map]| {
        checks.iter().map(|c| crate::yaml::shape(&Node::Map(c.clone()))).collect::<Vec<_>>()
    };
    let first = servers.first().map(|server| shape(&server.checks)).unwrap_or_default();
    let shared = servers.iter().all(|server| shape(&server.checks) == first);
    if shared && let Some(server) = servers.first_mut() {
        set_checks(map, std::mem::take(&mut server.checks), false);
    }
    let mut all = Map::default();
    for server in &mut servers {
        let node = server.node(shared);
        let origin = server.statement.span.clone();
        all.entries.push(Entry { key: server.name.clone(), value: node, origin });
    }
    map.set("real_servers", Node::Map(all), NOWHERE);
}

/// What happens when servers fail.
fn policy(
    block: &Statement,
    draft: &Draft,
    servers: &[Server],
    port: u16,
    map: &mut Map,
    conversion: &mut Conversion<'_>,
) {
    let ledger = &mut *conversion.ledger;
    let alpha = servers.iter().filter(|server| server.alpha).count();
    let checked = servers.iter().any(|server| !server.checks.is_empty());
    if checked {
        let all = alpha > 0 && alpha == servers.len();
        if alpha > 0 && !all {
            ledger.differs(
                block.id,
                "some servers are `alpha`: `initial` is for all, and all begin as down",
            );
        }
        map.set("initial", plain(if alpha > 0 { "down" } else { "up" }), NOWHERE);
    }
    let inhibit = servers.iter().filter(|server| server.inhibit).count();
    if inhibit > 0 && inhibit < servers.len() {
        ledger.differs_decide(block.id, "some servers have `inhibit_on_failure`: `on_failure` is for all, and all keep their connections");
    }
    map.set("on_failure", plain(if inhibit > 0 { "inhibit" } else { "remove" }), NOWHERE);
    let total: i64 = servers.iter().fold(0, |sum, server| sum.saturating_add(server.weight));
    let mut quorum = 1;
    if let Some((wanted, statement)) = &draft.quorum {
        quorum = (*wanted).min(total.max(1));
        if quorum < *wanted {
            let note = format!(
                "keepalived silently lowers it to the sum of the weights, {quorum}, and so does the conversion"
            );
            ledger.note(statement.id, note);
        }
        map.set("quorum", plain(quorum), statement.span.clone());
    }
    if let Some((wanted, statement)) = &draft.hysteresis {
        let hysteresis = (*wanted).min(quorum - 1);
        if hysteresis < *wanted {
            let note = format!(
                "keepalived silently lowers it below the quorum, to {hysteresis}, and so does the conversion"
            );
            ledger.note(statement.id, note);
        }
        map.set("hysteresis", plain(hysteresis), statement.span.clone());
    }
    map.entries.extend(draft.hooks.entries.iter().cloned());
    if let Some(statement) = &draft.sorry {
        sorry(statement, port, draft, map, conversion);
    }
    if let Some(statement) = &draft.sorry_inhibit {
        if inhibit > 0 {
            conversion.ledger.note(statement.id, "as `on_failure: inhibit` has it");
        } else {
            conversion.ledger.left_decide(statement.id, "`on_failure` is for sorry servers and for real servers alike: write `on_failure: inhibit`, with which the connections of a server that fails go on, too");
        }
    }
}

fn sorry(
    statement: &Statement,
    port: u16,
    draft: &Draft,
    map: &mut Map,
    conversion: &mut Conversion<'_>,
) {
    let Ok(ip) = statement.word(1).parse() else {
        let what = format!("`{}` is not an address", statement.word(1));
        return refuse(statement, 1, what, conversion.ledger);
    };
    let given = match statement.word(2) {
        "" => 0,
        _ => match number(statement, 2, 0..=65535, conversion.ledger) {
            Some(port) => u16::try_from(port).unwrap_or_default(),
            None => return,
        },
    };
    conversion.ledger.exact(statement.id);
    let wanted = if draft.scheduling.way().nat && given != 0 && port != 0 { given } else { port };
    if given != 0 && given != wanted {
        conversion
            .ledger
            .note(statement.id, "packets keep the service's port, as keepalived has it too");
    }
    let address = text(socket(ip, (wanted != 0).then_some(wanted)));
    map.edit("sorry_servers", NOWHERE, |all| all.set("sorry", address, statement.span.clone()));
}
