//! Addresses without ports and what routing says of packets.

use std::net::IpAddr;

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
