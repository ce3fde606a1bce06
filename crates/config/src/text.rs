//! The small languages within values: durations, addresses, listening addresses, HTTP statuses. Pure functions of text,
//! which the file's reader and `holdfast server add` share.

mod listen;
mod routing;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;

use crate::code::Code;
use crate::diagnostic::{Problem, Spot};

pub(crate) use listen::{listen, matching, nonzero};
pub(crate) use routing::{host, mark, multicast_group, network, range, ttls};

/// What is wrong with a text, wherever it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) code: Code,
    pub(crate) message: String,
    pub(crate) label: String,
    pub(crate) help: Vec<String>,
}

impl Fault {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), label: String::new(), help: vec![] }
    }

    pub(crate) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    pub(crate) fn problem(self, spot: Spot) -> Problem {
        self.help
            .into_iter()
            .fold(Problem::new(self.code, self.message).at(spot, self.label), Problem::help)
    }
}

/// A duration as the configuration writes it, `250ms`, `2s`, `5m`, `1h`, for command lines that take one.
///
/// # Errors
/// A sentence that says what the text is instead.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    duration("the duration", text).map_err(|fault| fault.message)
}

/// `250ms`, `2s`, `5m`, `1h`.
pub(crate) fn duration(key: &str, text: &str) -> Result<Duration, Fault> {
    let digits = text.chars().take_while(char::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number = number.parse::<u64>().ok();
    let milliseconds = match unit {
        "ms" => Some(1),
        "s" => Some(1000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    };
    match number.zip(milliseconds).and_then(|(number, unit)| number.checked_mul(unit)) {
        Some(total) => Ok(Duration::from_millis(total)),
        None => {
            let sexagesimal = text
                .split(':')
                .all(|part| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit()));
            let fault = Fault::new(Code::BadDuration, format!("`{text}` is not a duration"));
            Err(if sexagesimal && text.contains(':') {
                fault.help(format!(
                    "YAML 1.1 would read it as a number of base 60; write for instance `{key}: 90s`"
                ))
            } else if text.contains('.') {
                fault.help("write a whole number of a smaller unit: `1500ms` for 1.5 s")
            } else {
                fault.help(
                    "write a whole number and one of the units `ms`, `s`, `m`, `h`: `250ms`, `2s`",
                )
            })
        }
    }
}

/// A number without a unit where a duration belongs.
pub(crate) fn unitless(key: &str, number: i64) -> Fault {
    Fault::new(Code::BadDuration, format!("`{key}` has no unit"))
        .label(format!("{number} what?"))
        .help(format!("write `{number}s` for seconds or `{number}ms` for milliseconds"))
}

/// A duration out of its range.
pub(crate) fn far(key: &str, value: Duration, (least, greatest): (Duration, Duration)) -> Fault {
    Fault::new(
        Code::OutOfRange,
        format!("`{key}` must be {} to {}, got {}", short(least), short(greatest), short(value)),
    )
}

/// A duration as the configuration writes it.
pub(crate) fn short(value: Duration) -> String {
    match value.as_millis() {
        hours if hours > 0 && hours % 3_600_000 == 0 => format!("{}h", hours / 3_600_000),
        seconds if seconds % 1000 == 0 => format!("{}s", seconds / 1000),
        milliseconds => format!("{milliseconds}ms"),
    }
}

/// `192.0.2.10:80` or `[2001:db8::10]:80`; the port may be missing when there is a `default` one, and 0 where that is 0.
pub(crate) fn endpoint(text: &str, default: Option<u16>) -> Result<SocketAddr, Fault> {
    if let Some(usual) = usual_endpoint(text) {
        return Ok(usual);
    }
    let (address, rest) = split(text)?;
    match (rest.strip_prefix(':'), default) {
        (Some("0"), Some(0)) => Ok(SocketAddr::new(address, 0)),
        (Some(number), _) => Ok(SocketAddr::new(address, port(number)?)),
        (None, Some(port)) if rest.is_empty() => Ok(SocketAddr::new(address, port)),
        (None, _) if rest.is_empty() => {
            let example = SocketAddr::new(address, 80);
            Err(Fault::new(Code::MissingPort, format!("`{text}` has no port"))
                .help(format!("add it: `{example}`")))
        }
        (None, _) => Err(not_an_address(text)),
    }
}

/// `192.0.2.10:80`, which most are, without a look at what else it might be.
fn usual_endpoint(text: &str) -> Option<SocketAddr> {
    let (address, number) = text.split_once(':')?;
    Some(SocketAddr::new(address.parse::<Ipv4Addr>().ok()?.into(), port(number).ok()?))
}

/// The address at the beginning of `text` and what follows it.
fn split(text: &str) -> Result<(IpAddr, &str), Fault> {
    if let Some(rest) = text.strip_prefix('[') {
        let (inner, rest) = rest.split_once(']').ok_or_else(|| not_an_address(text))?;
        let address = inner.parse::<Ipv6Addr>().map_err(|_unspecific| not_an_address(text))?;
        return Ok((address.into(), rest));
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        let split = text
            .rsplit_once(':')
            .filter(|(head, tail)| head.parse::<Ipv6Addr>().is_ok() && tail.parse::<u16>().is_ok());
        let bracketed =
            split.map_or_else(|| format!("[{text}]:80"), |(head, tail)| format!("[{head}]:{tail}"));
        return Err(Fault::new(
            Code::Brackets,
            format!("the IPv6 address in `{text}` needs brackets"),
        )
        .label("where does the address end?")
        .help(format!("write `{bracketed}`")));
    }
    let end = text.find(':').unwrap_or(text.len());
    let (head, rest) = text.split_at(end);
    let address = head.parse::<Ipv4Addr>().map_err(|_unspecific| not_an_address(text))?;
    Ok((address.into(), rest))
}

fn not_an_address(text: &str) -> Fault {
    let fault = Fault::new(Code::BadAddress, format!("`{text}` is not an address and a port"));
    let host = text.split(':').next().unwrap_or_default();
    let letters = host.chars().any(|c| c.is_ascii_alphabetic());
    if text.contains('%') {
        fault.help("zones (`%eth0`) can't be used; write a global or unique local address")
    } else if letters && !text.starts_with('[') && text.matches(':').count() <= 1 {
        fault.label("a host name?").help(
            "names are not looked up: write the address, `192.0.2.10:80` or `[2001:db8::10]:80`",
        )
    } else {
        fault.help("write `192.0.2.10:80` or `[2001:db8::10]:80`")
    }
}

fn port(text: &str) -> Result<u16, Fault> {
    let digits = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    match text.parse::<u16>().ok().filter(|_| digits) {
        Some(port) if port > 0 => Ok(port),
        Some(_) | None => {
            Err(Fault::new(Code::OutOfRange, format!("a port must be 1 to 65535, got `{text}`")))
        }
    }
}

/// `192.0.2.10/24`; without a prefix length the host's own.
pub(crate) fn virtual_address(text: &str) -> Result<IpNet, Fault> {
    let net = match text.split_once('/') {
        Some(_) => text.parse::<IpNet>().ok(),
        None => text.parse::<IpAddr>().ok().map(IpNet::from),
    };
    let Some(net) = net else {
        let fault = Fault::new(
            Code::BadAddress,
            format!("`{text}` is not an address with a prefix length"),
        );
        return Err(if text.starts_with('[') {
            fault.help("here an IPv6 address has no brackets: `2001:db8::10/64`")
        } else if endpoint(text, None).is_ok() {
            fault.help("here an address has no port: ports belong to `services.NAME.listen`")
        } else {
            fault.help("write `192.0.2.10/24` or `2001:db8::10/64`")
        });
    };
    unusable(net.addr(), "a virtual address").map_or(Ok(()), Err)?;
    let edge = match net {
        IpNet::V4(net) if net.prefix_len() < 31 && net.addr() == net.network() => {
            Some("the network's own")
        }
        IpNet::V4(net) if net.prefix_len() < 31 && net.addr() == net.broadcast() => {
            Some("the network's broadcast")
        }
        IpNet::V4(_) | IpNet::V6(_) => None,
    };
    match edge {
        None if net.prefix_len() > 0 => Ok(net),
        None => {
            Err(Fault::new(Code::UnusableAddress, format!("`{text}` has a prefix length of 0")))
        }
        Some(edge) => Err(Fault::new(Code::UnusableAddress, format!("`{text}` is {edge} address"))
            .help("use an address of a host, or correct the prefix length")),
    }
}

/// Why `address` is that of no single host.
pub(crate) fn unusable(address: IpAddr, role: &str) -> Option<Fault> {
    let broadcast = IpAddr::V4(Ipv4Addr::BROADCAST);
    let mapped = match address {
        IpAddr::V6(address) => address.to_ipv4_mapped(),
        IpAddr::V4(_) => None,
    };
    let kind = match mapped {
        Some(_) => "an IPv4 address in IPv6 form",
        None if address.is_unspecified() => "the unspecified address",
        None if address.is_multicast() => "a multicast address",
        None if address == broadcast => "the broadcast address",
        None => return None,
    };
    let fault = Fault::new(Code::UnusableAddress, format!("{role} can't be {kind}, {address}"));
    Some(match mapped {
        Some(address) => fault.help(format!("write `{address}`")),
        None => fault.help("name the address of a host"),
    })
}

/// Why `address` can't be a real server's.
pub(crate) fn unusable_server(address: IpAddr) -> Option<Fault> {
    let link_local = matches!(address, IpAddr::V6(address) if is_link_local(address));
    unusable(address, "a real server's address").or_else(|| {
        link_local.then(|| {
            let message = format!("a real server's address can't be link-local, {address}");
            Fault::new(Code::UnusableAddress, message)
                .help("the kernel refuses it: use the server's global or unique local address")
        })
    })
}

/// Whether `address` is of fe80::/10.
pub(crate) fn is_link_local(address: Ipv6Addr) -> bool {
    address.segments()[0] & 0xffc0 == 0xfe80
}

/// `200` or `200-299`.
pub(crate) fn statuses(text: &str) -> Result<(u16, u16), Fault> {
    let status = |text: &str| {
        let digits = text.len() == 3 && text.chars().all(|c| c.is_ascii_digit());
        text.parse::<u16>().ok().filter(|status| digits && (100..=599).contains(status))
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (status(first.trim()), status(last.trim())) {
        (Some(first), Some(last)) if first <= last => Ok((first, last)),
        _ => Err(Fault::new(
            Code::BadHttp,
            format!("`{text}` is not an HTTP status or a range of them"),
        )
        .help("statuses are 100 to 599: `200`, `\"200-299\"` or `[200, 301-302]`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_round_trips_and_a_port_is_never_guessed() {
        for text in ["192.0.2.10:80", "[2001:db8::1]:443"] {
            assert_eq!(endpoint(text, None).unwrap().to_string(), text);
        }
        assert_eq!(endpoint("192.0.2.10", None).unwrap_err().code, Code::MissingPort);
        assert_eq!(endpoint("192.0.2.10", Some(80)).unwrap().port(), 80);
        assert_eq!(endpoint("[2001:db8::1]", Some(80)).unwrap().port(), 80);
        assert_eq!(endpoint("2001:db8::1:80", Some(80)).unwrap_err().code, Code::Brackets);
        for text in [
            "",
            ":",
            "[",
            "[]",
            "[::1",
            "[::1]80",
            "10.0.0.1:+80",
            "10.0.0.1:0",
            "10.0.0.1:65536",
            "10.0.0.1: 80",
            "10.0.0.01:80",
            "a:1",
            "10.0.0.1:80:80",
            "[fe80::1%eth0]:80",
        ] {
            assert!(endpoint(text, Some(80)).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_have_a_unit_and_no_overflow() {
        assert_eq!(duration("k", "250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("k", "2h"), Ok(Duration::from_secs(7200)));
        for text in [
            "",
            "s",
            "1",
            "-1s",
            "1.5s",
            "1 s",
            "99999999999999999999s",
            "18446744073709551615h",
            "1:30",
            "٣s",
        ] {
            assert_eq!(duration("k", text).unwrap_err().code, Code::BadDuration, "{text}");
        }
    }

    #[test]
    fn virtual_addresses_are_hosts_addresses() {
        assert_eq!(virtual_address("192.0.2.10").unwrap().prefix_len(), 32);
        assert_eq!(virtual_address("192.0.2.10/31").unwrap().prefix_len(), 31);
        for text in [
            "192.0.2.0/24",
            "192.0.2.255/24",
            "0.0.0.0/0",
            "224.0.0.18",
            "ff02::12/64",
            "::/64",
            "192.0.2.10/0",
            "::ffff:192.0.2.1",
        ] {
            assert_eq!(virtual_address(text).unwrap_err().code, Code::UnusableAddress, "{text}");
        }
        for text in ["192.0.2.10/33", "192.0.2.10:80", "[2001:db8::1]/64", "x", "192.0.2.10/"] {
            assert_eq!(virtual_address(text).unwrap_err().code, Code::BadAddress, "{text}");
        }
    }

    #[test]
    fn statuses_are_three_digits_in_order() {
        assert_eq!(statuses("200-299"), Ok((200, 299)));
        assert_eq!(statuses("204"), Ok((204, 204)));
        for text in ["", "-", "299-200", "99", "600", "200-", "2xx", "200-299-300", "+20"] {
            assert!(statuses(text).is_err(), "{text}");
        }
    }
}
