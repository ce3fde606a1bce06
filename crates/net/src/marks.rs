//! Packets that are marked for services of IPVS by their destination.
//!
//! That is one table of nftables, [`TABLE`] of the family inet, which the program `nft` replaces as a whole. It sets marks before the
//! hooks of IPVS see a packet: of what arrives in `prerouting`, of what this host sends in `output`, both with the priority of mangle
//! tables (-150). What it looks up are maps of intervals, so that a packet costs the same with one range as with a thousand. Such
//! maps with several fields need Linux 5.6 and nftables 0.9.4.
//!
//! A mark that somebody else has set on such a packet is overwritten; on others it is left.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::num::NonZeroU32;

use crate::nft::{self, NftError};

/// The table's name.
pub const TABLE: &str = "holdfast_marks";
/// What it is for, in an error.
const PURPOSE: &str = "the marks of services (`match`)";

/// A range of packets and their mark. No two of a set may have packets in common: `nft` would refuse them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Marked {
    /// The transport's IP protocol number: 6, 17 or 132.
    pub protocol: u8,
    /// The first address.
    pub first: IpAddr,
    /// The last address, of the same family and not before the first.
    pub last: IpAddr,
    /// The first and the last port.
    pub ports: (u16, u16),
    /// The mark.
    pub mark: NonZeroU32,
}

/// Marks the packets of `marked` and no others, in one transaction; none of them removes the table. The answer is what the kernel
/// has of the table then, for comparison with [`listing`].
///
/// # Errors
/// `nft` is not installed, was refused, or did not answer in time. What was marked before still is.
pub fn replace(marked: &BTreeSet<Marked>) -> Result<Option<String>, NftError> {
    if marked.is_empty() {
        return nft::run(&nft::removal(TABLE), PURPOSE).map(|_| None);
    }
    nft::run(&script(marked), PURPOSE)?;
    listing()
}

/// What the kernel has of the table; none when it is not there.
///
/// # Errors
/// `nft` is not installed or did not answer in time.
pub fn listing() -> Result<Option<String>, NftError> {
    nft::listing(TABLE, PURPOSE)
}

/// One transaction: packets see the old table or the new one.
fn script(marked: &BTreeSet<Marked>) -> String {
    let mut text = nft::removal(TABLE);
    let _infallible = writeln!(text, "table inet {TABLE} {{");
    let of = |v4: bool| marked.iter().filter(move |one| one.first.is_ipv4() == v4);
    for (name, kind, v4) in [("marks4", "ipv4_addr", true), ("marks6", "ipv6_addr", false)] {
        let elements: Vec<String> = of(v4).map(element).collect();
        if !elements.is_empty() {
            let _infallible = writeln!(
                text,
                "  map {name} {{ type {kind} . inet_proto . inet_service : mark; flags interval; elements = {{ {} }}; }}",
                elements.join(", ")
            );
        }
    }
    for (chain, kind, hook) in [("arriving", "filter", "prerouting"), ("own", "route", "output")] {
        let _infallible = writeln!(text, "  chain {chain} {{");
        let _infallible =
            writeln!(text, "    type {kind} hook {hook} priority -150; policy accept;");
        for (header, name, v4) in [("ip", "marks4", true), ("ip6", "marks6", false)] {
            if of(v4).next().is_some() {
                let _infallible = writeln!(
                    text,
                    "    meta mark set {header} daddr . meta l4proto . th dport map @{name} comment \"services of holdfastd\""
                );
            }
        }
        text.push_str("  }\n");
    }
    text.push_str("}\n");
    text
}

fn element(one: &Marked) -> String {
    let Marked { protocol, first, last, ports: (low, high), mark } = one;
    let addresses = if first == last { first.to_string() } else { format!("{first}-{last}") };
    let ports = if low == high { low.to_string() } else { format!("{low}-{high}") };
    format!("{addresses} . {protocol} . {ports} : {mark}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_family_has_a_map_and_both_hooks_look_it_up() {
        let one = |protocol, first: &str, last: &str, ports, mark| Marked {
            protocol,
            first: first.parse().unwrap(),
            last: last.parse().unwrap(),
            ports,
            mark: NonZeroU32::new(mark).unwrap(),
        };
        let text = script(&BTreeSet::from([
            one(6, "192.0.2.10", "192.0.2.20", (8000, 8999), 7),
            one(17, "192.0.2.10", "192.0.2.10", (53, 53), 8),
            one(6, "2001:db8::10", "2001:db8::10", (0, 65535), 9),
        ]));
        assert!(
            text.starts_with("add table inet holdfast_marks\ndelete table inet holdfast_marks\n")
        );
        assert!(
            text.contains(
                "{ 192.0.2.10-192.0.2.20 . 6 . 8000-8999 : 7, 192.0.2.10 . 17 . 53 : 8 }"
            ),
            "{text}"
        );
        assert!(text.contains("{ 2001:db8::10 . 6 . 0-65535 : 9 }"), "{text}");
        assert_eq!(text.matches("map @marks4").count(), 2);
        assert_eq!(text.matches("map @marks6").count(), 2);
    }

    #[test]
    fn a_family_without_marks_has_nothing_in_the_table() {
        let one = Marked {
            protocol: 6,
            first: "192.0.2.10".parse().unwrap(),
            last: "192.0.2.10".parse().unwrap(),
            ports: (80, 80),
            mark: NonZeroU32::MIN,
        };
        assert!(!script(&BTreeSet::from([one])).contains("marks6"));
    }
}
