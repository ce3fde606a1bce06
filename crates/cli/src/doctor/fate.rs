//! The fate channel: whether the death of one node's daemon would be heard by the others at once, and what is in its way.

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use holdfast_config::{Config, Instance};
use holdfast_control::{Fate, FateChannel, Status};
use socket2::{Domain, Socket, Type};
use vrrp::AddressFamily;

use super::{Finding, NAMED_MAX, first};

/// Where the rest is shown.
const STATUS: &str = "`holdfast status`";

/// What a daemon that runs has come to with the other nodes.
pub(super) fn channels(config: &Config, status: &Status) -> Vec<Finding> {
    // Off, or without instances.
    let Some(fate) = &status.fate else { return Vec::new() };
    let port = fate.port;
    let problem = |problem: &String| {
        let text = format!("others can't watch this node: {problem}");
        let help = format!(
            "free TCP port {port} (`ss -ltnp`), or choose another on all nodes (`vrrp: {{fate: {{port: …}}}}`)"
        );
        Finding::warn("fate", text, help)
    };
    let mut findings = first(&fate.problems, problem, STATUS);
    let tried = fate.watched.iter().filter(|one| one.state != "over");
    let (standing, missing): (Vec<&FateChannel>, Vec<&FateChannel>) =
        tried.partition(|one| one.state == "stands" && one.fault.is_none());
    findings.extend(heard(&standing));
    findings.extend(first(missing, |channel| unheard(channel, port), STATUS));
    findings.extend(unwatched(config, status, fate));
    findings
}

/// The channels that stand, in a line; none of nobody.
fn heard(standing: &[&FateChannel]) -> Option<Finding> {
    let text = match standing {
        [] => return None,
        [one] => format!("the death of {}'s daemon would be heard at once", one.peer),
        several => {
            let first: Vec<String> =
                several.iter().take(NAMED_MAX).map(|one| one.peer.to_string()).collect();
            let more = match several.len().saturating_sub(NAMED_MAX) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let (count, first) = (several.len(), first.join(", "));
            format!(
                "the death of the daemon at each of {count} addresses would be heard at once: {first}{more}"
            )
        }
    };
    Some(Finding::ok("fate", text))
}

/// A channel that does not stand.
fn unheard(channel: &FateChannel, port: u16) -> Finding {
    let (peer, interface) = (channel.peer, &channel.interface);
    let why = channel.fault.clone();
    let why = why.unwrap_or_else(|| format!("no connection to {peer} on {interface} yet"));
    let text = format!("the death of {peer}'s daemon would be noticed by the timers alone: {why}");
    let help = format!(
        "let TCP port {port} through between the nodes, both ways; beside a node without the channel (keepalived) `vrrp: {{fate: false}}` ends the attempts"
    );
    Finding::warn("fate", text, help)
}

/// The interfaces on which this node is Active for another one's sake, and nobody watches it.
fn unwatched(config: &Config, status: &Status, fate: &Fate) -> Vec<Finding> {
    // Where addresses end with their daemon another node is known of.
    let paired = |one: &&Instance| one.lifetime.is_some() || one.unicast.is_some();
    let active = |one: &&Instance| {
        status.vrrp.iter().any(|seen| seen.name == one.name.as_str() && seen.state == "active")
    };
    let watched = |interface: &str, family: AddressFamily| {
        let mut watchers = fate.watchers.iter().filter(|one| one.interface == interface);
        watchers.any(|one| AddressFamily::of(one.peer) == family)
    };
    let instances = config.instances.values().filter(paired).filter(active);
    let alone: BTreeSet<(&str, AddressFamily)> = instances
        .filter(|one| !watched(&one.interface, one.family))
        .map(|one| (one.interface.as_str(), one.family))
        .collect();
    let finding = |(interface, family): (&str, AddressFamily)| {
        let port = fate.port;
        let text = format!(
            "this node is active, and no other watches it on {interface} over {family}: should its daemon die, they would notice by their timers alone"
        );
        let help = format!(
            "is a Backup up (`holdfast status` there)? Let TCP port {port} in from the other nodes on {interface}"
        );
        Finding::warn("fate", text, help)
    };
    first(alone, finding, STATUS)
}

/// The port that a daemon which does not run yet will want.
pub(super) fn ports(config: &Config) -> Vec<Finding> {
    let Some(fate) = config.vrrp.fate.filter(|_| !config.instances.is_empty()) else {
        return Vec::new();
    };
    let families = [AddressFamily::Ipv4, AddressFamily::Ipv6];
    let used = |family: &AddressFamily| config.instances.values().any(|one| one.family == *family);
    of_ports(
        fate.port,
        families.into_iter().filter(used).map(|family| (family, bound(family, fate.port))),
    )
}

/// What came of taking the port over each family.
fn of_ports(
    port: u16,
    tried: impl Iterator<Item = (AddressFamily, io::Result<()>)>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut is_free = true;
    for (family, outcome) in tried {
        let Err(error) = outcome else { continue };
        is_free = false;
        // Who may not have the port at all can't tell, and has been told of the rights already.
        if error.kind() == io::ErrorKind::AddrInUse {
            let text = format!(
                "another program has TCP port {port} over {family}: others can't watch this node"
            );
            let help = "`ss -ltnp` shows who; free it, or choose another port on all nodes (`vrrp: {fate: {port: …}}`)";
            findings.push(Finding::warn("fate", text, help));
        }
    }
    if is_free {
        let text = format!(
            "TCP port {port} is not another program's; the nodes must let each other through"
        );
        findings.push(Finding::ok("fate", text));
    }
    findings
}

/// Takes the port of every address of a family for a moment, as the daemon does for long: over IPv6 that of IPv4 is not concerned.
fn bound(family: AddressFamily, port: u16) -> io::Result<()> {
    let (domain, any) = match family {
        AddressFamily::Ipv4 => (Domain::IPV4, SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))),
        AddressFamily::Ipv6 => (Domain::IPV6, SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))),
    };
    let socket = Socket::new(domain, Type::STREAM.cloexec(), None)?;
    if family == AddressFamily::Ipv6 {
        socket.set_only_v6(true)?;
    }
    // What an earlier daemon's connections left behind (TIME_WAIT) is in nobody's way.
    socket.set_reuse_address(true)?;
    socket.bind(&any.into())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::super::Grade;
    use super::*;

    fn channel(number: u8, state: &str) -> FateChannel {
        FateChannel {
            peer: [192, 0, 2, number].into(),
            interface: "eth0".to_owned(),
            state: state.to_owned(),
            since_s: 1,
            fault: (state == "missing").then(|| "refused".to_owned()),
            last_end: None,
        }
    }

    #[test]
    fn channels_that_stand_have_a_line_together() {
        let channels: Vec<FateChannel> = (1..=7).map(|number| channel(number, "stands")).collect();
        let all: Vec<&FateChannel> = channels.iter().collect();
        assert_eq!(heard(&[]), None);
        let one = heard(&all[..1]).unwrap();
        assert_eq!(one.found, "the death of 192.0.2.1's daemon would be heard at once");
        let several = heard(&all).unwrap();
        let expected = "the death of the daemon at each of 7 addresses would be heard at once: \
                        192.0.2.1, 192.0.2.2, 192.0.2.3, 192.0.2.4, 192.0.2.5 and 2 more";
        assert_eq!((several.grade, several.found.as_str()), (Grade::Ok, expected));
        let missing = unheard(&channel(9, "missing"), 112);
        assert!(
            missing.grade == Grade::Warn && missing.found.ends_with(": refused"),
            "{missing:?}"
        );
    }

    #[test]
    fn a_port_that_could_not_be_tried_is_not_said_to_be_free() {
        let denied = || Err(io::Error::from(io::ErrorKind::PermissionDenied));
        let used = || Err(io::Error::from(io::ErrorKind::AddrInUse));
        let (four, six) = (AddressFamily::Ipv4, AddressFamily::Ipv6);
        let grades = |tried: Vec<(AddressFamily, io::Result<()>)>| -> Vec<Grade> {
            of_ports(112, tried.into_iter()).iter().map(|found| found.grade).collect()
        };
        assert_eq!(grades(vec![(four, Ok(())), (six, Ok(()))]), [Grade::Ok]);
        assert_eq!(grades(vec![(four, Ok(())), (six, denied())]), []);
        assert_eq!(grades(vec![(four, denied())]), []);
        assert_eq!(grades(vec![(four, Ok(())), (six, used())]), [Grade::Warn]);
        assert_eq!(grades(vec![(four, used()), (six, used())]), [Grade::Warn, Grade::Warn]);
    }

    /// The daemon's socket of IPv6 is for IPv6 alone.
    #[test]
    fn a_port_of_one_family_is_free_over_the_other() {
        let four = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        let port = four.local_addr().unwrap().port();
        bound(AddressFamily::Ipv6, port).unwrap();
        let error = bound(AddressFamily::Ipv4, port).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
