//! A policy rule, as route netlink adds, removes and lists it. Only rules with the daemon's [`MARK`] are read.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_core::Parseable;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::IpProtocol;
use netlink_packet_route::route::{RouteHeader, RouteProtocol};
use netlink_packet_route::rule::{
    RuleAction, RuleAttribute, RuleFlags, RuleMessage, RulePortRange, RuleUidRange,
};

use crate::placed::MARK;
use crate::route::RouteKind;

/// What the kernel lists for a rule that suppresses nothing.
const NO_LENGTH: u32 = u32::MAX;

/// A rule with the daemon's mark.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// Whether it is for IPv6; for IPv4 otherwise.
    pub ipv6: bool,
    /// Its place among all rules.
    pub priority: u32,
    /// It selects the packets that the rest does not describe (FIB_RULE_INVERT).
    pub inverted: bool,
    /// The sources; none = all. The whole family is to be written as none.
    pub from: Option<IpNet>,
    /// The destinations; none = all. The whole family is to be written as none.
    pub to: Option<IpNet>,
    /// The interface that packets come in on. It need not be there.
    pub iif: Option<String>,
    /// The interface of local sockets. It need not be there.
    pub oif: Option<String>,
    /// The packet's mark, and the bits of it that are compared.
    pub mark: Option<(u32, u32)>,
    /// The number of the protocol above IP (FRA_IP_PROTO).
    pub protocol: Option<u8>,
    /// The first and the last source port (FRA_SPORT_RANGE).
    pub source_ports: Option<(u16, u16)>,
    /// The first and the last destination port (FRA_DPORT_RANGE).
    pub destination_ports: Option<(u16, u16)>,
    /// The first and the last user whose sockets send (FRA_UID_RANGE).
    pub users: Option<(u32, u32)>,
    /// What it does: [`RouteKind::Unicast`] looks in the table.
    pub kind: RouteKind,
    /// The table to look in; none where it does something else.
    pub table: Option<u32>,
    /// A route that is found counts for nothing if its prefix is as long or shorter (FRA_SUPPRESS_PREFIXLEN).
    pub suppress_prefix_length: Option<u32>,
}

impl Rule {
    /// One that sends all packets of a family to a table.
    pub const fn lookup(ipv6: bool, priority: u32, table: u32) -> Self {
        Self {
            ipv6,
            priority,
            inverted: false,
            from: None,
            to: None,
            iif: None,
            oif: None,
            mark: None,
            protocol: None,
            source_ports: None,
            destination_ports: None,
            users: None,
            kind: RouteKind::Unicast,
            table: Some(table),
            suppress_prefix_length: None,
        }
    }

    /// The message that adds it, and that removes it and no other.
    pub(crate) fn message(&self) -> RuleMessage {
        let mut message = RuleMessage::default();
        message.header.family = if self.ipv6 { AddressFamily::Inet6 } else { AddressFamily::Inet };
        message.header.action = match self.kind {
            RouteKind::Unicast => RuleAction::ToTable,
            RouteKind::Blackhole => RuleAction::Blackhole,
            RouteKind::Unreachable => RuleAction::Unreachable,
            RouteKind::Prohibit => RuleAction::Prohibit,
        };
        // The attribute has the table's whole number.
        let table = self.table.and_then(|table| u8::try_from(table).ok());
        message.header.table = table.unwrap_or(RouteHeader::RT_TABLE_UNSPEC);
        message.header.flags.set(RuleFlags::Invert, self.inverted);
        let length = |net: Option<IpNet>| net.map_or(0, |net| net.prefix_len());
        message.header.src_len = length(self.from);
        message.header.dst_len = length(self.to);
        message.attributes = vec![
            RuleAttribute::Protocol(RouteProtocol::Other(MARK)),
            RuleAttribute::Priority(self.priority),
        ];
        message.attributes.extend(self.selectors());
        message.attributes.extend(self.table.map(RuleAttribute::Table));
        let length = self.suppress_prefix_length.map(RuleAttribute::SuppressPrefixLen);
        message.attributes.extend(length);
        message
    }

    /// Which packets it is for, as far as the header does not say that.
    fn selectors(&self) -> impl Iterator<Item = RuleAttribute> {
        let range = |(start, end): (u16, u16)| RulePortRange { start, end };
        let user = |(start, end): (u32, u32)| RuleAttribute::UidRange(RuleUidRange { start, end });
        [
            self.from.map(|net| RuleAttribute::Source(net.network())),
            self.to.map(|net| RuleAttribute::Destination(net.network())),
            self.iif.clone().map(RuleAttribute::Iifname),
            self.oif.clone().map(RuleAttribute::Oifname),
            self.mark.map(|(mark, _)| RuleAttribute::FwMark(mark)),
            self.mark.map(|(_, mask)| RuleAttribute::FwMask(mask)),
            self.protocol.map(|number| RuleAttribute::IpProtocol(IpProtocol::from(number))),
            self.source_ports.map(range).map(RuleAttribute::SourcePortRange),
            self.destination_ports.map(range).map(RuleAttribute::DestinationPortRange),
            self.users.map(user),
        ]
        .into_iter()
        .flatten()
    }

    /// Reads what the kernel says of a rule; none when it is not the daemon's.
    pub(crate) fn parse(payload: &[u8]) -> Option<Self> {
        let message = RuleMessage::parse(payload).ok()?;
        let ipv6 = message.header.family == AddressFamily::Inet6;
        if !ipv6 && message.header.family != AddressFamily::Inet {
            return None;
        }
        let mut marked = false;
        let mut rule = Self::lookup(ipv6, 0, u32::from(message.header.table));
        rule.inverted = message.header.flags.contains(RuleFlags::Invert);
        rule.kind = kind(message.header.action);
        let (mut mark, mut mask) = (0, 0);
        for attribute in message.attributes {
            if let RuleAttribute::Protocol(is) = attribute {
                marked = u8::from(is) == MARK;
            } else if let RuleAttribute::Priority(is) = attribute {
                rule.priority = is;
            } else if let RuleAttribute::Table(is) = attribute {
                rule.table = Some(is);
            } else if let RuleAttribute::Source(is) = attribute {
                rule.from = net(is, message.header.src_len);
            } else if let RuleAttribute::Destination(is) = attribute {
                rule.to = net(is, message.header.dst_len);
            } else if let RuleAttribute::Iifname(is) = attribute {
                rule.iif = Some(is);
            } else if let RuleAttribute::Oifname(is) = attribute {
                rule.oif = Some(is);
            } else if let RuleAttribute::FwMark(is) = attribute {
                mark = is;
            } else if let RuleAttribute::FwMask(is) = attribute {
                mask = is;
            } else {
                rule.take(&attribute);
            }
        }
        if mark != 0 || mask != 0 {
            rule.mark = Some((mark, mask));
        }
        rule.table = rule.table.filter(|table| *table != 0);
        marked.then_some(rule)
    }

    /// Takes what an attribute says of what is above IP, of users and of the routes that are found.
    fn take(&mut self, attribute: &RuleAttribute) {
        let ports = |range: &RulePortRange| Some((range.start, range.end));
        if let RuleAttribute::IpProtocol(is) = attribute {
            self.protocol = Some((*is).into());
        } else if let RuleAttribute::SourcePortRange(is) = attribute {
            self.source_ports = ports(is);
        } else if let RuleAttribute::DestinationPortRange(is) = attribute {
            self.destination_ports = ports(is);
        } else if let RuleAttribute::UidRange(is) = attribute {
            self.users = Some((is.start, is.end));
        } else if let RuleAttribute::SuppressPrefixLen(is) = attribute {
            self.suppress_prefix_length = Some(*is).filter(|length| *length != NO_LENGTH);
        }
    }
}

fn kind(action: RuleAction) -> RouteKind {
    if action == RuleAction::Blackhole {
        RouteKind::Blackhole
    } else if action == RuleAction::Unreachable {
        RouteKind::Unreachable
    } else if action == RuleAction::Prohibit {
        RouteKind::Prohibit
    } else {
        RouteKind::Unicast
    }
}

fn net(address: IpAddr, length: u8) -> Option<IpNet> {
    IpNet::new(address, length).ok().filter(|_| length > 0)
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.kind, self.table) {
            (RouteKind::Unicast, Some(table)) => write!(f, "{} to table {table}", self.priority),
            (kind, _) => write!(f, "{} ({kind:?})", self.priority),
        }
    }
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::Emitable;
    use proptest::prelude::*;

    use super::*;

    fn encoded(message: &RuleMessage) -> Vec<u8> {
        let mut bytes = vec![0; message.buffer_len()];
        message.emit(&mut bytes);
        bytes
    }

    fn rule() -> Rule {
        Rule {
            from: Some("192.0.2.10/32".parse().unwrap()),
            to: Some("10.0.0.0/8".parse().unwrap()),
            iif: Some("eth0".to_owned()),
            oif: Some("eth1".to_owned()),
            mark: Some((16, 255)),
            protocol: Some(6),
            source_ports: Some((1024, 65535)),
            destination_ports: Some((80, 80)),
            users: Some((0, 999)),
            suppress_prefix_length: Some(0),
            ..Rule::lookup(false, 100, 1000)
        }
    }

    #[test]
    fn what_is_asked_for_is_what_is_read() {
        let whole = rule();
        assert_eq!(Rule::parse(&encoded(&whole.message())), Some(whole));
        let bare = Rule::lookup(true, 100, 100);
        assert_eq!(Rule::parse(&encoded(&bare.message())), Some(bare.clone()));
        for kind in [RouteKind::Blackhole, RouteKind::Unreachable, RouteKind::Prohibit] {
            let none = Rule { kind, table: None, inverted: true, ..bare.clone() };
            assert_eq!(Rule::parse(&encoded(&none.message())), Some(none));
        }
    }

    #[test]
    fn that_nothing_is_suppressed_is_no_length() {
        let mut message = Rule::lookup(true, 100, 100).message();
        message.attributes.push(RuleAttribute::SuppressPrefixLen(NO_LENGTH));
        assert_eq!(Rule::parse(&encoded(&message)), Some(Rule::lookup(true, 100, 100)));
    }

    #[test]
    fn a_rule_of_somebody_else_is_not_read() {
        let mut message = rule().message();
        message.attributes.retain(|one| !matches!(one, RuleAttribute::Protocol(_)));
        assert_eq!(Rule::parse(&encoded(&message)), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            drop(Rule::parse(&bytes));
        }
    }
}
