//! Addresses without ports and what routing says of packets.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use ipnet::IpNet;

use crate::code::Code;

use super::{Fault, endpoint, unusable};

/// An address alone.
fn address(text: &str) -> Result<IpAddr, Fault> {
    text.parse().map_err(|_unspecific| {
        let fault = Fault::new(Code::BadAddress, format!("`{text}` is not an address"));
        if text.starts_with('[') {
            fault.help("here an IPv6 address has no brackets: `2001:db8::10`")
        } else if text.contains('%') {
            fault.help("zones (`%eth0`) are written as the key `interface` or `device`")
        } else if endpoint(text, None).is_ok() {
            fault.help("here an address has no port")
        } else if text.contains('/') {
            fault.help("here an address has no prefix length")
        } else {
            fault.help("write `192.0.2.10` or `2001:db8::10`; names are not looked up")
        }
    })
}

/// The address of one host; `role` is what it is for.
pub(crate) fn host(text: &str, role: &str) -> Result<IpAddr, Fault> {
    let address = address(text)?;
    unusable(address, role).map_or(Ok(address), Err)
}

/// A multicast group of the link: packets to it are not forwarded (RFC 5771 §4, RFC 4291 §2.7).
pub(crate) fn multicast_group(text: &str) -> Result<IpAddr, Fault> {
    let group = address(text)?;
    let link = match group {
        IpAddr::V4(group) => group.octets().starts_with(&[224, 0, 0]),
        IpAddr::V6(group) => group.segments()[0] & 0xff0f == 0xff02,
    };
    if link {
        return Ok(group);
    }
    let message = if group.is_multicast() {
        format!("{group} is a group that routers forward")
    } else {
        format!("{group} is not a multicast group")
    };
    let help = match group {
        IpAddr::V4(_) => "use one of 224.0.0.0/24: VRRP's own is 224.0.0.18",
        IpAddr::V6(_) => "use one of ff02::/16: VRRP's own is ff02::12",
    };
    Err(Fault::new(Code::BadGroup, message).help(help))
}

/// `254` or `253-255`.
pub(crate) fn ttls(text: &str) -> Result<(u8, u8), Fault> {
    let one = |text: &str| {
        let digits = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
        text.parse::<u8>().ok().filter(|ttl| digits && *ttl > 0)
    };
    let (least, greatest) = text.split_once('-').unwrap_or((text, text));
    match (one(least.trim()), one(greatest.trim())) {
        (Some(least), Some(greatest)) if least <= greatest => Ok((least, greatest)),
        _ => Err(Fault::new(Code::BadTtl, format!("`{text}` is not a TTL or a range of them"))
            .help("TTLs and hop limits are 1 to 255: `254` or `\"253-255\"`")),
    }
}

/// `198.51.100.0/24` or a host's address; no bit beyond the prefix is set.
pub(crate) fn network(text: &str) -> Result<IpNet, Fault> {
    let net = match text.split_once('/') {
        Some(_) => text.parse::<IpNet>().ok(),
        None => text.parse::<IpAddr>().ok().map(IpNet::from),
    };
    let Some(net) = net else {
        let fault = Fault::new(Code::BadAddress, format!("`{text}` is not a network"));
        return Err(fault.help("write `198.51.100.0/24`, `2001:db8::/32` or `default`"));
    };
    if net.addr() == net.network() {
        return Ok(net);
    }
    let message = format!("`{text}` has bits beyond its prefix length");
    Err(Fault::new(Code::UnusableAddress, message).help(format!(
        "write `{}`, or `{}` for the one host",
        net.trunc(),
        net.addr()
    )))
}

/// A packet's mark and the bits of it that are compared: `16`, `16/255`, `0x10/0xff`.
pub(crate) fn mark(text: &str) -> Result<(u32, u32), Fault> {
    let number = |text: &str| match text.strip_prefix("0x") {
        Some(digits) if digits.chars().all(|c| c.is_ascii_hexdigit()) => {
            u32::from_str_radix(digits, 16).ok()
        }
        Some(_) => None,
        None if text.chars().all(|c| c.is_ascii_digit()) => text.parse().ok(),
        None => None,
    };
    let (mark, mask) = match text.split_once('/') {
        Some((mark, mask)) => (number(mark.trim()), number(mask.trim())),
        None => (number(text), Some(u32::MAX)),
    };
    let fault = match (mark, mask) {
        (Some(mark), Some(mask)) if mask != 0 && mark & !mask == 0 => return Ok((mark, mask)),
        (Some(_), Some(_)) => Fault::new(Code::BadMark, format!("no packet has the mark `{text}`"))
            .help("the mark may only have bits that the mask has, and the mask at least one"),
        _ => Fault::new(Code::BadMark, format!("`{text}` is not a mark"))
            .help("write a number of 32 bits, with a mask after `/`: `16`, `\"0x10/0xff\"`"),
    };
    Err(fault)
}

/// `80` or `1024-65535`, within `allowed`, which is spelled as `all`.
pub(crate) fn range(
    text: &str,
    allowed: RangeInclusive<u32>,
    all: &str,
) -> Result<(u32, u32), Fault> {
    let one = |text: &str| {
        let digits = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
        text.parse::<u32>().ok().filter(|number| digits && allowed.contains(number))
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (one(first.trim()), one(last.trim())) {
        (Some(first), Some(last)) if first <= last => Ok((first, last)),
        _ => Err(Fault::new(Code::BadRule, format!("`{text}` is not a number or range of {all}"))
            .help("write the one number, or the first and the last: `\"1000-1999\"`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_of_the_link() {
        for text in ["224.0.0.18", "224.0.0.99", "ff02::12", "ff12::1"] {
            assert!(multicast_group(text).is_ok(), "{text}");
        }
        for text in ["224.0.1.1", "239.0.0.1", "192.0.2.1", "ff05::12", "fe80::1"] {
            assert_eq!(multicast_group(text).unwrap_err().code, Code::BadGroup, "{text}");
        }
    }

    #[test]
    fn marks_are_within_their_masks() {
        assert_eq!(mark("16"), Ok((16, u32::MAX)));
        assert_eq!(mark("0x10/0xff"), Ok((16, 255)));
        assert_eq!(mark("0/1"), Ok((0, 1)));
        for text in ["", "/", "-1", "16/8", "1/0", "0x", "0x+1", "4294967296", "1/2/3", "x"] {
            assert_eq!(mark(text).unwrap_err().code, Code::BadMark, "{text}");
        }
    }

    #[test]
    fn networks_have_no_bits_beyond_their_prefix() {
        for text in ["0.0.0.0/0", "::/0", "198.51.100.0/24", "192.0.2.1", "2001:db8::/32"] {
            assert!(network(text).is_ok(), "{text}");
        }
        assert_eq!(network("192.0.2.1/24").unwrap_err().code, Code::UnusableAddress);
        for text in ["", "/", "192.0.2.0/33", "lan", "[::]/0"] {
            assert_eq!(network(text).unwrap_err().code, Code::BadAddress, "{text}");
        }
    }

    #[test]
    fn ranges_are_in_order_and_within_what_there_is() {
        assert_eq!(range("80", 1..=65535, "all"), Ok((80, 80)));
        assert_eq!(range("1-65535", 1..=65535, "all"), Ok((1, 65535)));
        for text in ["", "-", "0", "65536", "2-1", "1-", "-1", "+1", "1-2-3", "x"] {
            assert_eq!(range(text, 1..=65535, "all").unwrap_err().code, Code::BadRule, "{text}");
        }
    }

    #[test]
    fn ttls_are_in_order() {
        assert_eq!(ttls("254"), Ok((254, 254)));
        assert_eq!(ttls("1-255"), Ok((1, 255)));
        for text in ["", "0", "256", "255-253", "-", "1-", "1-2-3", "+1"] {
            assert_eq!(ttls(text).unwrap_err().code, Code::BadTtl, "{text}");
        }
    }

    #[test]
    fn a_host_has_neither_brackets_nor_port_nor_zone() {
        assert!(host("192.0.2.1", "x").is_ok() && host("fe80::1", "x").is_ok());
        for text in ["[::1]", "192.0.2.1:80", "192.0.2.1/24", "fe80::1%eth0", "lb1", ""] {
            assert_eq!(host(text, "x").unwrap_err().code, Code::BadAddress, "{text}");
        }
        for text in ["0.0.0.0", "::", "224.0.0.18", "255.255.255.255"] {
            assert_eq!(host(text, "x").unwrap_err().code, Code::UnusableAddress, "{text}");
        }
    }
}
