//! What `-S` prints: the table as lines that `-R` takes.

use super::kernel::{KernelDaemon, KernelDestination, KernelService};
use super::listing::{
    ONE_PACKET, SCHEDULER_FLAGS, address, has_scheduler_flags, mask, place, put, scheduler_flags,
};
use super::names::{Names, Numbers};
use crate::model::{Protocol, Timeouts};
use crate::wire::{CHECKSUM, DIRECT, GRE, GUE, IPIP, LOCAL, NAT, NO_CHECKSUM, TUNNEL};

/// How much is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// What ipvsadm writes: neither thresholds nor sync daemons nor timeouts, and a mark above 2147483647 as a negative number.
    Ipvsadm,
    /// Everything.
    Full,
}

/// A service and its destinations, which are in order.
pub fn service(
    service: &KernelService,
    destinations: &[KernelDestination],
    numeric: bool,
    detail: Detail,
    names: &mut dyn Names,
    out: &mut Vec<u8>,
) {
    let mut numbers = Numbers;
    let names: &mut dyn Names = if numeric { &mut numbers } else { names };
    let name = name(service, detail, names);
    out.extend_from_slice(b"-A ");
    out.extend_from_slice(&name);
    put(out, format_args!(" -s {}", service.scheduler));
    if service.is_persistent() {
        put(out, format_args!(" -p {}", service.timeout_s));
        if let Some(mask) = mask(service) {
            put(out, format_args!(" -M {mask}"));
        }
    }
    if !service.engine.is_empty() {
        put(out, format_args!(" --pe {}", service.engine));
    }
    if service.flags & ONE_PACKET != 0 {
        out.extend_from_slice(b" -o");
    }
    if has_scheduler_flags(service) {
        put(out, format_args!(" -b {}", flags(service, detail)));
    }
    out.push(b'\n');
    for destination in destinations {
        line(&name, service.transport(), destination, detail, names, out);
    }
}

/// A destination of a service, in numbers and with everything.
pub(super) fn server(service: &KernelService, destination: &KernelDestination, out: &mut Vec<u8>) {
    let mut numbers = Numbers;
    let name = name(service, Detail::Full, &mut numbers);
    line(&name, service.transport(), destination, Detail::Full, &mut numbers, out);
}

/// `sh` and `mh` have no name for the third flag, which ipvsadm leaves out; the plain names go with every scheduler.
fn flags(service: &KernelService, detail: Detail) -> String {
    let [_, _, third] = SCHEDULER_FLAGS;
    if detail == Detail::Full && service.flags & third != 0 {
        let plain = KernelService { scheduler: String::new(), ..service.clone() };
        return scheduler_flags(&plain);
    }
    scheduler_flags(service)
}

fn name(service: &KernelService, detail: Detail, names: &mut dyn Names) -> Vec<u8> {
    if service.mark != 0 {
        let family = if service.is_ipv6() { " -6" } else { "" };
        return match detail {
            Detail::Ipvsadm => format!("-f {}{family}", service.mark.cast_signed()),
            Detail::Full => format!("-f {}{family}", service.mark),
        }
        .into_bytes();
    }
    let option = match service.transport() {
        Some(Protocol::Tcp) => "-t ",
        Some(Protocol::Udp) => "-u ",
        Some(Protocol::Sctp) => "--sctp-service ",
        None => "--xxx-service ",
    };
    let mut name = option.as_bytes().to_vec();
    name.extend(place(service.ip(), service.port, service.transport(), names));
    name
}

fn line(
    service: &[u8],
    protocol: Option<Protocol>,
    destination: &KernelDestination,
    detail: Detail,
    names: &mut dyn Names,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b"-a ");
    out.extend_from_slice(service);
    out.extend_from_slice(b" -r ");
    out.extend(place(destination.ip(), destination.port, protocol, names));
    let method = match destination.forwarding_method() {
        NAT => "-m",
        LOCAL | DIRECT => "-g",
        TUNNEL => "-i",
        // What the C library prints for no text.
        _nameless => "(null)",
    };
    put(out, format_args!(" {method} -w {}", destination.weight.cast_signed()));
    if destination.forwarding_method() == TUNNEL {
        let checksum = match destination.tunnel_flags {
            NO_CHECKSUM => "--tun-nocsum",
            CHECKSUM => "--tun-csum",
            _remote => "--tun-remcsum",
        };
        match destination.tunnel_type {
            IPIP => out.extend_from_slice(b" --tun-type ipip"),
            GUE => {
                let port = destination.tunnel_port;
                put(out, format_args!(" --tun-type gue --tun-port {port} {checksum}"));
            }
            GRE => put(out, format_args!(" --tun-type gre {checksum}")),
            _nameless => {}
        }
    }
    if detail == Detail::Full {
        if destination.upper_threshold != 0 {
            put(out, format_args!(" -x {}", destination.upper_threshold));
        }
        if destination.lower_threshold != 0 {
            put(out, format_args!(" -y {}", destination.lower_threshold));
        }
    }
    out.push(b'\n');
}

/// The timeouts as a line.
pub fn timeouts(timeouts: &Timeouts, out: &mut Vec<u8>) {
    let Timeouts { tcp_s, tcp_fin_s, udp_s } = timeouts;
    put(out, format_args!("--set {tcp_s} {tcp_fin_s} {udp_s}\n"));
}

/// A sync daemon as a line.
pub fn daemon(daemon: &KernelDaemon, out: &mut Vec<u8>) {
    let role = if daemon.state & 1 != 0 { "master" } else { "backup" };
    put(out, format_args!("--start-daemon {role} --mcast-interface={}", daemon.interface));
    put(out, format_args!(" --syncid {}", daemon.sync_id));
    if daemon.max_length != 0 {
        put(out, format_args!(" --sync-maxlen {}", daemon.max_length));
    }
    if let Some(group) = daemon.group {
        put(out, format_args!(" --mcast-group {}", address(group)));
    }
    if daemon.port != 0 {
        put(out, format_args!(" --mcast-port {}", daemon.port));
    }
    if daemon.ttl != 0 {
        put(out, format_args!(" --mcast-ttl {}", daemon.ttl));
    }
    out.push(b'\n');
}
