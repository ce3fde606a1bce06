//! Where services listen: `virtual_server` and `virtual_server_group`.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::Conversion;
use super::values::refuse;
use crate::keywords::inside;
use crate::ledger::Id;
use crate::tree::Statement;

/// The most addresses that one service of Holdfast has.
pub(super) const MOST: usize = 256;

/// A listening address, or a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listen {
    Address(IpAddr, u16),
    Mark(u32, bool),
}

/// An address of a group, and the statement that names it.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) id: Id,
    pub(super) listen: Listen,
}

impl Member {
    /// Whether it is a mark.
    pub(super) const fn marked(&self) -> bool {
        matches!(self.listen, Listen::Mark(..))
    }
}

/// The groups of the file.
pub(super) type Groups = BTreeMap<String, Vec<Member>>;

/// Reads all groups.
pub(super) fn groups(statements: &[Statement], conversion: &mut Conversion<'_>) -> Groups {
    let mut groups = Groups::new();
    for block in statements.iter().filter(|block| block.keyword() == "virtual_server_group") {
        let name = block.word(1).to_owned();
        if name.is_empty() || groups.contains_key(&name) {
            let what =
                if name.is_empty() { "it has no name" } else { "a second group of this name" };
            refuse(block, 1, what, conversion.ledger);
            inside(block, conversion.ledger);
            continue;
        }
        conversion.ledger.note(block.id, "its addresses stand at each service that names it");
        let mut members = Vec::new();
        for statement in block.children() {
            let before = members.len();
            match member(statement, 0, conversion) {
                Some(listens) => {
                    let id = statement.id;
                    members.extend(listens.into_iter().map(|listen| Member { id, listen }));
                }
                None => continue,
            }
            if members.len() - before > 1 {
                let note =
                    format!("{} addresses: one service listens on each", members.len() - before);
                conversion.ledger.note(statement.id, note);
            }
            conversion.ledger.exact(statement.id);
        }
        groups.insert(name, members);
    }
    groups
}

/// What the words from `index` on name: an address or a range of them, with a port; or a mark. None is told of.
pub(super) fn member(
    statement: &Statement,
    index: usize,
    conversion: &mut Conversion<'_>,
) -> Option<Vec<Listen>> {
    let ledger = &mut *conversion.ledger;
    if statement.word(index) == "fwmark" {
        let mark = statement.word(index + 1).parse::<u32>().ok().filter(|mark| *mark > 0);
        let ipv6 = statement.word(index + 2) == "inet6";
        if mark.is_none() {
            refuse(statement, index + 1, "a mark is a number from 1 to 4294967295", ledger);
        }
        return Some(vec![Listen::Mark(mark?, ipv6)]);
    }
    let port = match statement.word(index + 1) {
        "" => 0,
        word => match word.parse::<u16>() {
            Ok(port) => port,
            Err(_) => {
                refuse(statement, index + 1, format!("`{word}` is not a port"), ledger);
                return None;
            }
        },
    };
    match range(statement.word(index)) {
        Ok(range) => conversion
            .serve(range.more(), statement)
            .then(|| range.addresses().map(|ip| Listen::Address(ip, port)).collect()),
        Err(what) => {
            refuse(statement, index, what, ledger);
            None
        }
    }
}

/// Addresses of one family, one after the other.
struct Range {
    ipv4: bool,
    first: u128,
    last: u128,
}

impl Range {
    /// How many addresses there are behind the first, 65,535 at most.
    fn more(&self) -> usize {
        usize::try_from(self.last.saturating_sub(self.first)).unwrap_or(usize::MAX)
    }

    fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let ipv4 = self.ipv4;
        (self.first..=self.last).map(move |number| address(ipv4, number))
    }
}

/// The addresses that a word is: one, `A-B` (whole addresses or the last part alone), or a network.
fn range(word: &str) -> Result<Range, String> {
    if let Ok(ip) = word.parse() {
        let (ipv4, number) = number(ip);
        return Ok(Range { ipv4, first: number, last: number });
    }
    let wrong = || format!("`{word}` is not an address or a range of addresses");
    let (first, last) = if let Some((first, last)) = word.split_once('-') {
        let first: IpAddr = first.parse().ok().ok_or_else(wrong)?;
        (first, end(first, last).ok_or_else(wrong)?)
    } else {
        let net: IpNet = word.parse().ok().ok_or_else(wrong)?;
        (net.network(), net.broadcast())
    };
    let (first, last) = (number(first), number(last));
    let count = last.1.checked_sub(first.1).and_then(|n| n.checked_add(1)).ok_or_else(wrong)?;
    if count > 65_536 {
        return Err(format!("`{word}` is more than 65536 addresses: mark them, and use `fwmark`"));
    }
    Ok(Range { ipv4: first.0, first: first.1, last: last.1 })
}

/// The last address of a range by what stands behind the dash: in IPv4 the last byte in decimal, in IPv6 the last 16 bits in hexadecimal.
fn end(first: IpAddr, last: &str) -> Option<IpAddr> {
    match (first, last.parse::<IpAddr>()) {
        (_, Ok(last)) => (last.is_ipv4() == first.is_ipv4()).then_some(last),
        (IpAddr::V4(first), Err(_)) => {
            let [a, b, c, _] = first.octets();
            Some(Ipv4Addr::new(a, b, c, last.parse().ok()?).into())
        }
        (IpAddr::V6(first), Err(_)) => {
            let low = u16::from_str_radix(last, 16).ok()?;
            Some(Ipv6Addr::from((u128::from(first) & !0xffff) | u128::from(low)).into())
        }
    }
}

fn number(ip: IpAddr) -> (bool, u128) {
    match ip {
        IpAddr::V4(ip) => (true, u128::from(u32::from(ip))),
        IpAddr::V6(ip) => (false, u128::from(ip)),
    }
}

fn address(ipv4: bool, number: u128) -> IpAddr {
    match u32::try_from(number) {
        Ok(low) if ipv4 => Ipv4Addr::from(low).into(),
        _ => Ipv6Addr::from(number).into(),
    }
}

impl Listen {
    pub(super) const fn ipv6(self) -> bool {
        match self {
            Self::Address(ip, _) => ip.is_ipv6(),
            Self::Mark(_, ipv6) => ipv6,
        }
    }

    /// The port; 0 for a mark and for every port.
    pub(super) const fn port(self) -> u16 {
        match self {
            Self::Address(_, port) => port,
            Self::Mark(..) => 0,
        }
    }

    /// It as Holdfast writes it.
    pub(super) fn words(self, transport: &str) -> String {
        match self {
            Self::Address(ip, port) => format!("{transport} {}", socket(ip, Some(port))),
            Self::Mark(mark, false) => format!("fwmark {mark}"),
            Self::Mark(mark, true) => format!("fwmark {mark} ipv6"),
        }
    }

    /// A name for the service.
    pub(super) fn name(self, transport: &str) -> String {
        match self {
            Self::Address(ip, port) => format!("{transport}-{ip}-{port}"),
            Self::Mark(mark, _) => format!("fwmark-{mark}"),
        }
    }
}

/// An address and a port as Holdfast writes them.
pub(super) fn socket(ip: IpAddr, port: Option<u16>) -> String {
    match (ip, port) {
        (IpAddr::V4(ip), None) => ip.to_string(),
        (IpAddr::V6(ip), None) => format!("[{ip}]"),
        (IpAddr::V4(ip), Some(port)) => format!("{ip}:{port}"),
        (IpAddr::V6(ip), Some(port)) => format!("[{ip}]:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_the_manual() {
        let texts =
            |word| range(word).unwrap().addresses().map(|ip| ip.to_string()).collect::<Vec<_>>();
        assert_eq!(texts("192.0.2.9-11"), ["192.0.2.9", "192.0.2.10", "192.0.2.11"]);
        assert_eq!(texts("192.0.2.255-192.0.3.0"), ["192.0.2.255", "192.0.3.0"]);
        assert_eq!(texts("192.0.2.4/31"), ["192.0.2.4", "192.0.2.5"]);
        assert_eq!(texts("2001:db8::9-b"), ["2001:db8::9", "2001:db8::a", "2001:db8::b"]);
        assert!(range("192.0.2.9-8").is_err());
        assert!(range("10.0.0.0/8").is_err());
        assert!(range("::/0").is_err());
        assert!(range("192.0.2.9-2001:db8::1").is_err());
    }
}
