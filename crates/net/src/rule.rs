//! A policy rule, as route netlink adds, removes and lists it. Only rules with the daemon's [`MARK`] are read.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_core::Parseable;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::route::{RouteHeader, RouteProtocol};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};

use crate::placed::MARK;

/// A rule with the daemon's mark that sends packets to a table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// Whether it is for IPv6; for IPv4 otherwise.
    pub ipv6: bool,
    /// Its place among all rules.
    pub priority: u32,
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
    /// The table to look in.
    pub table: u32,
}

impl Rule {
    /// The message that adds it, and that removes it and no other.
    pub(crate) fn message(&self) -> RuleMessage {
        let mut message = RuleMessage::default();
        message.header.family = if self.ipv6 { AddressFamily::Inet6 } else { AddressFamily::Inet };
        message.header.action = RuleAction::ToTable;
        // The attribute has the table's whole number.
        message.header.table = u8::try_from(self.table).unwrap_or(RouteHeader::RT_TABLE_UNSPEC);
        let length = |net: Option<IpNet>| net.map_or(0, |net| net.prefix_len());
        message.header.src_len = length(self.from);
        message.header.dst_len = length(self.to);
        message.attributes = vec![
            RuleAttribute::Protocol(RouteProtocol::Other(MARK)),
            RuleAttribute::Priority(self.priority),
            RuleAttribute::Table(self.table),
        ];
        let from = self.from.map(|net| RuleAttribute::Source(net.network()));
        let to = self.to.map(|net| RuleAttribute::Destination(net.network()));
        let iif = self.iif.clone().map(RuleAttribute::Iifname);
        let oif = self.oif.clone().map(RuleAttribute::Oifname);
        let mark = self.mark.map(|(mark, _)| RuleAttribute::FwMark(mark));
        let mask = self.mark.map(|(_, mask)| RuleAttribute::FwMask(mask));
        message.attributes.extend([from, to, iif, oif, mark, mask].into_iter().flatten());
        message
    }

    /// Reads what the kernel says of a rule; none when it is not the daemon's.
    pub(crate) fn parse(payload: &[u8]) -> Option<Self> {
        let message = RuleMessage::parse(payload).ok()?;
        let ipv6 = message.header.family == AddressFamily::Inet6;
        if !ipv6 && message.header.family != AddressFamily::Inet {
            return None;
        }
        let mut marked = false;
        let table = u32::from(message.header.table);
        let mut rule = Self {
            ipv6,
            priority: 0,
            from: None,
            to: None,
            iif: None,
            oif: None,
            mark: None,
            table,
        };
        let (mut mark, mut mask) = (0, 0);
        for attribute in message.attributes {
            if let RuleAttribute::Protocol(is) = attribute {
                marked = u8::from(is) == MARK;
            } else if let RuleAttribute::Priority(is) = attribute {
                rule.priority = is;
            } else if let RuleAttribute::Table(is) = attribute {
                rule.table = is;
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
            }
        }
        if mark != 0 || mask != 0 {
            rule.mark = Some((mark, mask));
        }
        marked.then_some(rule)
    }
}

fn net(address: IpAddr, length: u8) -> Option<IpNet> {
    IpNet::new(address, length).ok().filter(|_| length > 0)
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to table {}", self.priority, self.table)
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
            ipv6: false,
            priority: 100,
            from: Some("192.0.2.10/32".parse().unwrap()),
            to: Some("10.0.0.0/8".parse().unwrap()),
            iif: Some("eth0".to_owned()),
            oif: Some("eth1".to_owned()),
            mark: Some((16, 255)),
            table: 1000,
        }
    }

    #[test]
    fn what_is_asked_for_is_what_is_read() {
        let whole = rule();
        assert_eq!(Rule::parse(&encoded(&whole.message())), Some(whole));
        let bare = Rule {
            ipv6: true,
            from: None,
            to: None,
            iif: None,
            oif: None,
            mark: None,
            table: 100,
            ..rule()
        };
        assert_eq!(Rule::parse(&encoded(&bare.message())), Some(bare));
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
