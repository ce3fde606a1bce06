//! Accept_Mode False (RFC 9568 §6.1): packets from the network to virtual addresses are dropped, but for IPv6 Neighbor Discovery.
//!
//! That is one table of nftables, [`TABLE`] of the family inet, which the program `nft` replaces as a whole: its chain hangs in the
//! hook `input`, behind the hooks of IPVS (NF_IP_PRI_NAT_SRC - 2 and - 1, that is 98 and 99), so that a service on such an address goes on
//! forwarding. An address that the node does not hold is not local, and never comes by.
//!
//! Nothing here is quick but [`is_closed`]: a process is started, and waited for.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;

use crate::nft::{self, NftError};

/// The table's name.
pub const TABLE: &str = "holdfast";
/// What it is for, in an error.
const PURPOSE: &str = "`accept: false`";

/// An address that packets are not accepted for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Closed {
    /// The virtual address.
    pub address: IpAddr,
    /// The interfaces that a link-local address is on: the same address may be another host's, or our own, on others.
    pub interfaces: BTreeSet<String>,
}

/// Drops what comes to the addresses of `closed`, and to no others; none of them removes the table.
///
/// # Errors
/// `nft` is not installed, was refused, or did not answer in time. What was dropped before still is.
pub fn close(closed: &BTreeSet<Closed>) -> Result<(), NftError> {
    let script = if closed.is_empty() { nft::removal(TABLE) } else { script(closed) };
    nft::run(&script, PURPOSE).map(drop)
}

/// Whether the table is there, of this run or of one that was killed.
///
/// # Errors
/// The kernel does not say: CAP_NET_ADMIN is missing, for one.
pub fn is_closed() -> Result<bool, NftError> {
    nft::is_there(TABLE, PURPOSE)
}

/// One transaction: packets see the old table or the new one.
fn script(closed: &BTreeSet<Closed>) -> String {
    let mut ipv4 = Vec::new();
    let mut ipv6 = Vec::new();
    let mut link_local = Vec::new();
    for one in closed {
        match one.address {
            IpAddr::V4(address) => ipv4.push(address.to_string()),
            IpAddr::V6(address) if address.is_unicast_link_local() => {
                let on = one.interfaces.iter().filter(|name| is_quotable(name));
                link_local.extend(on.map(|name| format!("\"{name}\" . {address}")));
            }
            IpAddr::V6(address) => ipv6.push(address.to_string()),
        }
    }
    let mut text = nft::removal(TABLE);
    let _infallible = writeln!(text, "table inet {TABLE} {{");
    for (name, kind, elements) in [
        ("virtual4", "ipv4_addr", ipv4),
        ("virtual6", "ipv6_addr", ipv6),
        ("link_local6", "ifname . ipv6_addr", link_local),
    ] {
        let elements = match elements.is_empty() {
            true => String::new(),
            false => format!(" elements = {{ {} }};", elements.join(", ")),
        };
        let _infallible = writeln!(text, "  set {name} {{ type {kind};{elements} }}");
    }
    text.push_str(CHAIN);
    text.push_str("}\n");
    text
}

/// RFC 9568 §6.1: "IPv6 Neighbor Solicitations and Neighbor Advertisements MUST NOT be dropped when Accept_Mode is False". What
/// this host sends to itself is not the network's.
const CHAIN: &str = "  chain accept_mode {
    type filter hook input priority 120; policy accept;
    iifname \"lo\" accept
    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
    ip daddr @virtual4 counter drop
    ip6 daddr @virtual6 counter drop
    iifname . ip6 daddr @link_local6 counter drop
  }
";

/// An interface's name may hold any byte but these two; one that would end the string is left out, and stays open.
fn is_quotable(name: &str) -> bool {
    !name.contains(['"', '\\']) && !name.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(address: &str, on: &[&str]) -> Closed {
        let interfaces = on.iter().map(|name| (*name).to_owned()).collect();
        Closed { address: address.parse().unwrap(), interfaces }
    }

    #[test]
    fn the_old_table_goes_and_the_new_one_comes_in_one_transaction() {
        let text = script(&BTreeSet::from([
            closed("192.0.2.10", &["eth0"]),
            closed("198.51.100.7", &["eth0"]),
            closed("2001:db8::10", &["eth0"]),
            closed("fe80::10", &["eth0", "vrrp6.51"]),
        ]));
        let expected = "add table inet holdfast\n\
            delete table inet holdfast\n\
            table inet holdfast {\n\
            \x20 set virtual4 { type ipv4_addr; elements = { 192.0.2.10, 198.51.100.7 }; }\n\
            \x20 set virtual6 { type ipv6_addr; elements = { 2001:db8::10 }; }\n\
            \x20 set link_local6 { type ifname . ipv6_addr; elements = { \"eth0\" . fe80::10, \"vrrp6.51\" . fe80::10 }; }\n";
        assert_eq!(text, format!("{expected}{CHAIN}}}\n"));
    }

    #[test]
    fn a_name_that_would_end_its_string_is_left_out() {
        let text = script(&BTreeSet::from([closed("fe80::10", &["e\" drop", "e\\"])]));
        assert!(text.contains("set link_local6 { type ifname . ipv6_addr; }"), "{text}");
    }
}
