//! What `-L` prints, byte for byte.

use std::io::Write as _;
use std::net::{IpAddr, Ipv6Addr};

use super::kernel::{KernelDaemon, KernelDestination, KernelService};
use super::names::{Names, Numbers};
use super::order::{sort_destinations, sort_services};
use super::rule::List;
use crate::model::{Counters, Info, Protocol, ServiceFlags, Timeouts};
use crate::wire::{CHECKSUM, DIRECT, GRE, GUE, IPIP, LOCAL, NAT, NO_CHECKSUM, TUNNEL};

/// IP_VS_SVC_F_ONEPACKET.
pub(super) const ONE_PACKET: u32 = ServiceFlags::ONE_PACKET.bits();
/// The three flags that are the scheduler's own.
pub(super) const SCHEDULER_FLAGS: [u32; 3] = [
    ServiceFlags::SCHEDULER_1.bits(),
    ServiceFlags::SCHEDULER_2.bits(),
    ServiceFlags::SCHEDULER_3.bits(),
];

/// ipvsadm's buffer holds so much of `address:port`.
const PLACE_MAX: usize = 59;
/// The column of an IPv4 service ends here.
const SERVICE_MAX: usize = 33;
/// The column of an IPv4 destination ends here.
const DESTINATION_MAX: usize = 28;

/// The first line of a whole listing.
pub fn header(info: &Info, out: &mut Vec<u8>) {
    let (major, minor, patch) = info.version;
    let size = info.connection_table_size.cast_signed();
    put(out, format_args!("IP Virtual Server version {major}.{minor}.{patch} (size={size})\n"));
}

/// The services in the order of the listing.
pub fn sorted_services(services: Vec<KernelService>, nosort: bool) -> Vec<KernelService> {
    if nosort { services } else { sort_services(services) }
}

/// The destinations of a service in the order of the listing.
pub fn sorted_destinations(
    destinations: Vec<KernelDestination>,
    nosort: bool,
) -> Vec<KernelDestination> {
    if nosort { destinations } else { sort_destinations(destinations) }
}

/// The lines that name the columns.
pub fn title(list: &List, out: &mut Vec<u8>) {
    let column = "Prot LocalAddress:Port";
    if list.stats {
        put(out, format_args!("{column:<33}    Conns   InPkts  OutPkts  InBytes OutBytes\n"));
    } else if list.rate {
        put(out, format_args!("{column:<33}      CPS    InPPS   OutPPS    InBPS   OutBPS\n"));
    } else if list.thresholds {
        put(out, format_args!("{column:<33} Uthreshold Lthreshold ActiveConn InActConn \n"));
    } else if list.persistent_conn {
        put(out, format_args!("{column:<33} Weight    PersistConn ActiveConn InActConn \n"));
    } else {
        put(out, format_args!("{column} Scheduler Flags\n"));
    }
    let remote = "  -> RemoteAddress:Port";
    if list.stats || list.rate || list.thresholds || list.persistent_conn {
        put(out, format_args!("{remote}\n"));
    } else if list.tunnel_info {
        put(
            out,
            format_args!("{remote}           Forward TunnelInfo    Weight ActiveConn InActConn\n"),
        );
    } else {
        put(out, format_args!("{remote}           Forward Weight ActiveConn InActConn\n"));
    }
}

/// A service and its destinations, which are in order.
pub fn service(
    service: &KernelService,
    destinations: &[KernelDestination],
    list: &List,
    names: &mut dyn Names,
    out: &mut Vec<u8>,
) {
    let mut numbers = Numbers;
    let names: &mut dyn Names = if list.numeric { &mut numbers } else { names };
    let name = service_name(service, names);
    if list.stats {
        padded(&name, 33, out);
        totals(&service.counters, list.exact, out);
    } else if list.rate {
        padded(&name, 33, out);
        rates(&service.counters, list.exact, out);
    } else {
        out.extend(name);
        settings(service, out);
    }
    out.push(b'\n');
    for destination in destinations {
        line(destination, service.transport(), list, names, out);
    }
}

fn service_name(service: &KernelService, names: &mut dyn Names) -> Vec<u8> {
    if service.mark != 0 {
        let family = if service.is_ipv6() { " IPv6" } else { "" };
        return format!("FWM  {}{family}", service.mark.cast_signed()).into_bytes();
    }
    let protocol = match service.transport() {
        Some(Protocol::Tcp) => "TCP",
        Some(Protocol::Udp) => "UDP",
        Some(Protocol::Sctp) => "SCTP",
        None => "?",
    };
    let mut name = format!("{protocol:<4} ").into_bytes();
    name.extend(place(service.ip(), service.port, service.transport(), names));
    if !service.is_ipv6() {
        name.truncate(SERVICE_MAX);
    }
    name
}

fn settings(service: &KernelService, out: &mut Vec<u8>) {
    put(out, format_args!(" {}", service.scheduler));
    if has_scheduler_flags(service) {
        put(out, format_args!(" ({})", scheduler_flags(service)));
    }
    if service.is_persistent() {
        put(out, format_args!(" persistent {}", service.timeout_s));
        if let Some(mask) = mask(service) {
            put(out, format_args!(" mask {mask}"));
        }
        if !service.engine.is_empty() {
            put(out, format_args!(" pe {}", service.engine));
        }
    }
    if service.flags & ONE_PACKET != 0 {
        out.extend_from_slice(b" ops");
    }
}

/// Whether one of the scheduler's own flags is set, with a name or without.
pub(super) fn has_scheduler_flags(service: &KernelService) -> bool {
    SCHEDULER_FLAGS.iter().any(|flag| service.flags & flag != 0)
}

/// The names of the scheduler's own flags.
pub(super) fn scheduler_flags(service: &KernelService) -> String {
    let names: &[&str] = match service.scheduler.as_str() {
        "sh" => &["sh-fallback", "sh-port"],
        "mh" => &["mh-fallback", "mh-port"],
        _other => &["flag-1", "flag-2", "flag-3"],
    };
    let named = SCHEDULER_FLAGS.iter().zip(names);
    let set = named.filter(|(flag, _)| service.flags & **flag != 0).map(|(_, name)| *name);
    set.collect::<Vec<_>>().join(",")
}

/// The netmask, where it is not that of a single address.
pub(super) fn mask(service: &KernelService) -> Option<String> {
    if service.is_ipv6() {
        let prefix = i32::from_ne_bytes(service.netmask);
        return (prefix != 128).then(|| prefix.to_string());
    }
    let [a, b, c, d] = service.netmask;
    (service.netmask != [u8::MAX; 4]).then(|| format!("{a}.{b}.{c}.{d}"))
}

fn line(
    destination: &KernelDestination,
    protocol: Option<Protocol>,
    list: &List,
    names: &mut dyn Names,
    out: &mut Vec<u8>,
) {
    let mut name = place(destination.ip(), destination.port, protocol, names);
    if !destination.is_ipv6() {
        name.truncate(DESTINATION_MAX);
    }
    out.extend_from_slice(b"  -> ");
    padded(&name, 28, out);
    let weight = destination.weight;
    let (active, inactive) = (destination.active, destination.inactive);
    if list.stats {
        totals(&destination.counters, list.exact, out);
        out.push(b'\n');
    } else if list.rate {
        destination_rates(&destination.counters, list.exact, out);
        out.push(b'\n');
    } else if list.thresholds {
        let (upper, lower) = (destination.upper_threshold, destination.lower_threshold);
        put(out, format_args!(" {upper:<10} {lower:<10} {active:<10} {inactive:<10}\n"));
    } else if list.persistent_conn {
        let persistent = destination.persistent;
        put(out, format_args!(" {weight:<9} {persistent:<11} {active:<10} {inactive:<10}\n"));
    } else {
        put(out, format_args!(" {:<7}", method(destination)));
        if list.tunnel_info {
            put(out, format_args!(" {:<13}", tunnel(destination)));
        }
        let weight = weight.cast_signed();
        put(out, format_args!(" {weight:<6} {active:<10} {inactive:<10}\n"));
    }
}

const fn method(destination: &KernelDestination) -> &'static str {
    match destination.forwarding_method() {
        NAT => "Masq",
        LOCAL => "Local",
        TUNNEL => "Tunnel",
        DIRECT => "Route",
        // What the C library prints for no text.
        _nameless => "(null)",
    }
}

fn tunnel(destination: &KernelDestination) -> String {
    let checksum = match destination.tunnel_flags {
        NO_CHECKSUM => "-c",
        CHECKSUM => "+c",
        _remote => "r+c",
    };
    match (destination.forwarding_method(), destination.tunnel_type) {
        (TUNNEL, IPIP) => "ipip".to_owned(),
        (TUNNEL, GUE) => format!("gue:{}:{checksum}", destination.tunnel_port),
        (TUNNEL, GRE) => format!("gre:{checksum}"),
        _none => "n/a".to_owned(),
    }
}

fn totals(counters: &Counters, exact: bool, out: &mut Vec<u8>) {
    for count in [
        counters.connections,
        counters.packets_in,
        counters.packets_out,
        counters.bytes_in,
        counters.bytes_out,
    ] {
        large(count, exact, out);
    }
}

fn rates(counters: &Counters, exact: bool, out: &mut Vec<u8>) {
    for count in [
        counters.connections_per_s,
        counters.packets_in_per_s,
        counters.packets_out_per_s,
        counters.bytes_in_per_s,
        counters.bytes_out_per_s,
    ] {
        large(count, exact, out);
    }
}

/// Of a destination's rates only those in bytes are shortened.
fn destination_rates(counters: &Counters, exact: bool, out: &mut Vec<u8>) {
    let (connections, packets_in, packets_out) =
        (counters.connections_per_s, counters.packets_in_per_s, counters.packets_out_per_s);
    put(out, format_args!(" {connections:>8} {packets_in:>8} {packets_out:>8}"));
    large(counters.bytes_in_per_s, exact, out);
    large(counters.bytes_out_per_s, exact, out);
}

/// A number in nine places: from 100 million on in thousands, from a billion in millions, and so on.
fn large(number: u64, exact: bool, out: &mut Vec<u8>) {
    const K: u64 = 1_000;
    const M: u64 = 1_000 * K;
    const G: u64 = 1_000 * M;
    const T: u64 = 1_000 * G;
    if exact {
        let digits = number.to_string();
        let width = (digits.len() + 1).max(9);
        put(out, format_args!("{digits:>width$}"));
    } else if number < 100 * M {
        put(out, format_args!("{number:>9}"));
    } else if number < G {
        put(out, format_args!("{:>8}K", number / K));
    } else if number < 100 * G {
        put(out, format_args!("{:>8}M", number / M));
    } else if number < 100 * T {
        put(out, format_args!("{:>8}G", number / G));
    } else {
        put(out, format_args!("{:>8}T", number / T));
    }
}

/// The line of `--timeout`.
pub fn timeouts(timeouts: &Timeouts, out: &mut Vec<u8>) {
    let [tcp, tcp_fin, udp] =
        [timeouts.tcp_s, timeouts.tcp_fin_s, timeouts.udp_s].map(u32::cast_signed);
    put(out, format_args!("Timeout (tcp tcpfin udp): {tcp} {tcp_fin} {udp}\n"));
}

/// A line of `--daemon`.
pub fn daemon(daemon: &KernelDaemon, out: &mut Vec<u8>) {
    let role = match daemon.state {
        state if state & 1 != 0 => "master",
        state if state & 2 != 0 => "backup",
        _neither => return,
    };
    let id = daemon.sync_id.cast_signed();
    put(out, format_args!("{role} sync daemon (mcast={}, syncid={id}", daemon.interface));
    if daemon.max_length != 0 {
        put(out, format_args!(", maxlen={}", daemon.max_length));
    }
    if let Some(group) = daemon.group {
        put(out, format_args!(", group={}", address(group)));
    }
    if daemon.port != 0 {
        put(out, format_args!(", port={}", daemon.port));
    }
    if daemon.ttl != 0 {
        put(out, format_args!(", ttl={}", daemon.ttl));
    }
    out.extend_from_slice(b")\n");
}

/// `address:port` with names where there are some.
pub(super) fn place(
    ip: IpAddr,
    port: u16,
    protocol: Option<Protocol>,
    names: &mut dyn Names,
) -> Vec<u8> {
    let host = names.host_of(ip).unwrap_or_else(|| address(ip).into_bytes());
    let service = protocol.and_then(|protocol| names.service_of(port, protocol));
    let mut place = Vec::with_capacity(host.len() + 8);
    let (open, close) = if ip.is_ipv6() { ("[", "]:") } else { ("", ":") };
    place.extend_from_slice(open.as_bytes());
    place.extend(host);
    place.extend_from_slice(close.as_bytes());
    match service {
        Some(service) => place.extend(service),
        None => put(&mut place, format_args!("{port}")),
    }
    place.truncate(PLACE_MAX);
    place
}

/// An address as `inet_ntop` writes it: unlike Rust's, IPv4-compatible ones of IPv6 end in dots.
pub(super) fn address(ip: IpAddr) -> String {
    match ip {
        IpAddr::V6(ip) => match ip.segments() {
            [0, 0, 0, 0, 0, 0, high, _] if high != 0 => {
                let [.., a, b, c, d] = ip.octets();
                format!("::{a}.{b}.{c}.{d}")
            }
            _other => Ipv6Addr::to_string(&ip),
        },
        IpAddr::V4(ip) => ip.to_string(),
    }
}

pub(super) fn padded(text: &[u8], width: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(text);
    out.resize(out.len() + width.saturating_sub(text.len()), b' ');
}

pub(super) fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to memory does not fail.
    let _written = out.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(number: u64, exact: bool) -> String {
        let mut out = Vec::new();
        large(number, exact, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn large_numbers_are_shortened_at_ipvsadms_limits() {
        for (number, text) in [
            (0, "        0"),
            (99_999_999, " 99999999"),
            (100_000_000, "  100000K"),
            (999_999_999, "  999999K"),
            (1_000_000_000, "    1000M"),
            (99_999_999_999, "   99999M"),
            (100_000_000_000, "     100G"),
            (99_999_999_999_999, "   99999G"),
            (100_000_000_000_000, "     100T"),
            (u64::MAX, "18446744T"),
        ] {
            assert_eq!(printed(number, false), text, "{number}");
        }
    }

    #[test]
    fn exact_numbers_keep_a_blank_before_them() {
        assert_eq!(printed(12, true), "       12");
        assert_eq!(printed(99_999_999, true), " 99999999");
        assert_eq!(printed(123_456_789, true), " 123456789");
        assert_eq!(printed(u64::MAX, true), " 18446744073709551615");
    }

    #[test]
    fn addresses_are_inet_ntops() {
        for text in
            ["10.0.0.1", "2001:db8::1", "::1", "::", "::1.2.3.4", "::ffff:1.2.3.4", "1:0:0:2::"]
        {
            assert_eq!(address(text.parse().unwrap()), text);
        }
    }
}
