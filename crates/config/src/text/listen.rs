//! Where a service listens: an address and a port, or a firewall mark; and the packets that are marked for it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;

use ipnet::IpNet;
use ipvs_ctl::model::{Family, Protocol};

use crate::code::Code;
use crate::model::{Listen, Match};
use crate::suggest;

use super::{Fault, endpoint, mark, unusable};

/// `tcp 192.0.2.10:80`, `fwmark 7` or `fwmark 7 ipv6`.
pub(crate) fn listen(text: &str) -> Result<Listen, Fault> {
    let Some((word, rest)) = text.split_once(char::is_whitespace) else {
        let fault = Fault::new(Code::BadListen, format!("`{text}` is not a listening address"));
        return Err(match endpoint(text, None) {
            Ok(_) => fault
                .label("the transport is missing")
                .help(format!("write `tcp {text}` or `udp {text}`")),
            Err(_) => fault.help("write a transport and an address: `tcp 192.0.2.10:80`"),
        });
    };
    let rest = rest.trim();
    if word == "fwmark" {
        return fwmark(rest);
    }
    let protocol = protocol(word, &["fwmark"])?;
    let address = endpoint(rest, Some(0))?;
    if address.port() == 0 && !rest.ends_with(":0") {
        return Err(Fault::new(Code::MissingPort, format!("`{rest}` has no port"))
            .help(format!("add it: `{word} {rest}:80`; `{word} {rest}:0` is every port")));
    }
    unusable(address.ip(), "a listening address").map_or(Ok(()), Err)?;
    Ok(Listen::Address { protocol, address })
}

fn fwmark(text: &str) -> Result<Listen, Fault> {
    let (number, family) = match text.split_once(char::is_whitespace) {
        None => (text, Family::Ipv4),
        Some((number, word)) => match word.trim() {
            "ipv4" => (number, Family::Ipv4),
            "ipv6" => (number, Family::Ipv6),
            word => {
                let fault = Fault::new(Code::BadListen, format!("`{word}` is no address family"));
                return Err(fault.help("write `fwmark 7`, `fwmark 7 ipv4` or `fwmark 7 ipv6`"));
            }
        },
    };
    if number.contains('/') {
        return Err(Fault::new(Code::BadMark, format!("`{number}` has a mask"))
            .help("IPVS compares all 32 bits of a mark: write the number alone"));
    }
    let (number, _) = mark(number)?;
    Ok(Listen::Fwmark { family, mark: nonzero(number)?, matches: vec![] })
}

/// A mark that packets can be told by.
pub(crate) fn nonzero(mark: u32) -> Result<NonZeroU32, Fault> {
    NonZeroU32::new(mark).ok_or_else(|| {
        Fault::new(Code::BadMark, "mark 0 is that of packets that nobody has marked")
            .help("use a number from 1 to 4294967295")
    })
}

/// `tcp`, `udp` or `sctp`; `beside` is what else may stand there.
fn protocol(word: &str, beside: &[&'static str]) -> Result<Protocol, Fault> {
    match word {
        "tcp" => Ok(Protocol::Tcp),
        "udp" => Ok(Protocol::Udp),
        "sctp" => Ok(Protocol::Sctp),
        _ => {
            let known = ["tcp", "udp", "sctp"].iter().chain(beside).copied();
            let meant = suggest::nearest(word, known.clone());
            let fault = Fault::new(Code::BadListen, format!("unknown transport `{word}`"))
                .label(meant.map_or_else(String::new, |meant| format!("did you mean `{meant}`?")))
                .help(format!("known: {}", suggest::list(known)));
            Err(match word {
                "icmp" | "icmpv6" | "ah" | "esp" => {
                    fault.help("IPVS balances connections of these transports and nothing else")
                }
                _ => fault,
            })
        }
    }
}

/// `tcp 192.0.2.10-192.0.2.20:8000-8999`, `udp 192.0.2.0/28:53`, `tcp [2001:db8::10-2001:db8::20]:80`; without a port every one.
pub(crate) fn matching(text: &str) -> Result<Match, Fault> {
    let Some((word, rest)) = text.split_once(char::is_whitespace) else {
        return Err(Fault::new(Code::BadMatch, format!("`{text}` has no transport")).help(EXAMPLES));
    };
    let protocol = protocol(word, &[])?;
    let rest = rest.trim();
    let (addresses, ports) = match rest.strip_prefix('[') {
        Some(inner) => inner.split_once(']').ok_or_else(|| {
            Fault::new(Code::BadMatch, format!("`{rest}` has no `]`")).help(EXAMPLES)
        })?,
        None if rest.split('-').any(|part| part.matches(':').count() > 1) => {
            let fault = Fault::new(Code::Brackets, "IPv6 addresses need brackets");
            return Err(fault.label("where do the addresses end?").help(EXAMPLES));
        }
        None => rest.split_at(rest.find(':').unwrap_or(rest.len())),
    };
    let (first, last) = range(addresses)?;
    if rest.starts_with('[') && first.is_ipv4() {
        return Err(Fault::new(Code::BadMatch, "IPv4 addresses have no brackets").help(EXAMPLES));
    }
    let ports = match ports.strip_prefix(':') {
        Some(ports) => port_range(ports)?,
        None if ports.is_empty() => (0, u16::MAX),
        None => return Err(Fault::new(Code::BadMatch, format!("`{ports}` after `]`"))),
    };
    Ok(Match { protocol, first, last, ports })
}

const EXAMPLES: &str = "write for instance `tcp 192.0.2.10:8000-8999`, `udp 192.0.2.10-192.0.2.20:53`, `tcp 192.0.2.16/28` or `tcp [2001:db8::10-2001:db8::20]:80`";

/// `192.0.2.10`, `192.0.2.10-192.0.2.20` or `192.0.2.16/28`.
fn range(text: &str) -> Result<(IpAddr, IpAddr), Fault> {
    let bad = || Fault::new(Code::BadMatch, format!("`{text}` is no range of addresses"));
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (address(first)?, address(last)?),
        None if text.contains('/') => {
            let net: IpNet = text.parse().map_err(|_unspecific| bad().help(EXAMPLES))?;
            if net.addr() != net.network() {
                let fault = bad().label("bits beyond the prefix are set");
                return Err(fault.help(format!("write `{}`", net.trunc())));
            }
            (net.network(), net.broadcast())
        }
        None => (address(text)?, address(text)?),
    };
    if first.is_ipv4() != last.is_ipv4() {
        return Err(bad().help("both ends are of one family"));
    }
    if last < first {
        return Err(bad().help(format!("the smaller address comes first: `{last}-{first}`")));
    }
    let role = "the address of packets to be marked";
    let fault = unusable(first, role).or_else(|| unusable(last, role));
    // The last address of a network is only a broadcast address where the network is an interface's.
    fault.map_or(Ok((first, last)), Err)
}

fn address(text: &str) -> Result<IpAddr, Fault> {
    let text = text.trim();
    let read = match text.contains(':') {
        true => text.parse::<Ipv6Addr>().map(IpAddr::from),
        false => text.parse::<Ipv4Addr>().map(IpAddr::from),
    };
    read.map_err(|_unspecific| {
        let fault = Fault::new(Code::BadMatch, format!("`{text}` is not an address"));
        if text.chars().any(|c| c.is_ascii_alphabetic()) && !text.contains(':') {
            return fault.help("names are not looked up: write addresses");
        }
        fault.help(EXAMPLES)
    })
}

/// `80` or `8000-8999`.
fn port_range(text: &str) -> Result<(u16, u16), Fault> {
    let one = |text: &str| {
        let digits = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
        text.parse::<u16>().ok().filter(|port| digits && *port > 0)
    };
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    match (one(low), one(high)) {
        (Some(low), Some(high)) if low <= high => Ok((low, high)),
        _ => Err(Fault::new(Code::BadMatch, format!("`{text}` is no port or range of ports"))
            .help("ports are 1 to 65535: `80` or `8000-8999`; without any, every port is meant")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listening_address_is_an_address_or_a_mark() {
        for text in ["tcp 192.0.2.10:80", "udp [2001:db8::1]:53", "sctp 192.0.2.10:0", "fwmark 7"] {
            assert_eq!(listen(text).unwrap().to_string(), text);
        }
        assert_eq!(listen("fwmark 0x10 ipv6").unwrap().to_string(), "fwmark 16 ipv6");
        assert_eq!(listen("fwmark 0x10  ipv4").unwrap().to_string(), "fwmark 16");
        for (text, code) in [
            ("fwmark 0", Code::BadMark),
            ("fwmark 1/1", Code::BadMark),
            ("fwmark 7 inet", Code::BadListen),
            ("icmp 192.0.2.10", Code::BadListen),
            ("tcp 192.0.2.10", Code::MissingPort),
            ("tcp [2001:db8::1]", Code::MissingPort),
            ("tcp 192.0.2.10:00", Code::OutOfRange),
        ] {
            assert_eq!(listen(text).unwrap_err().code, code, "{text}");
        }
    }

    #[test]
    fn packets_are_told_by_ranges_of_addresses_and_ports() {
        for text in [
            "tcp 192.0.2.10:80",
            "tcp 192.0.2.10",
            "udp 192.0.2.10-192.0.2.20:53",
            "tcp 192.0.2.10-192.0.2.20:8000-8999",
            "sctp [2001:db8::10]:80",
            "tcp [2001:db8::10-2001:db8::20]:1-65535",
            "tcp [2001:db8::10-2001:db8::20]",
        ] {
            assert_eq!(matching(text).unwrap().to_string(), text);
        }
        let net = matching("tcp 192.0.2.16/28:80").unwrap();
        assert_eq!(net.to_string(), "tcp 192.0.2.16-192.0.2.31:80");
        for text in [
            "",
            "tcp",
            "tcp 192.0.2.20-192.0.2.10:80",
            "tcp 192.0.2.10-2001:db8::1",
            "tcp [192.0.2.10]:80",
            "tcp [2001:db8::1",
            "tcp [2001:db8::1]80",
            "tcp 2001:db8::1",
            "tcp 192.0.2.10:0",
            "tcp 192.0.2.10:80-70",
            "tcp 192.0.2.10:80-",
            "tcp 192.0.2.17/28",
            "tcp 0.0.0.0/0",
            "tcp 224.0.0.1",
            "icmp 192.0.2.10:80",
            "tcp web:80",
        ] {
            assert!(matching(text).is_err(), "{text}");
        }
    }
}
