//! What `save --full` writes: lines that `restore` takes and that say all that the kernel has, and what can't be said in such lines.
//!
//! Other programs give the kernel what ipvsadm's language has no word for, or what `restore` refuses because it means nothing. Every
//! line is therefore read back before it counts: it must be taken, without an oddity, and mean what the kernel has. What has no effect
//! in the kernel is left out of the line, what can't be said is left out of the file; of both there is a sentence.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use super::kernel::{KernelDaemon, KernelDestination, KernelService};
use super::lines::words;
use super::listing::{ONE_PACKET, SCHEDULER_FLAGS};
use super::message::message;
use super::names::Numbers;
use super::parse::parse;
use super::save::{self, Detail};
use crate::model::{Counters, Protocol, ServiceFlags, Timeouts};
use crate::wire::{DIRECT, GRE, IPIP, IpvsMessage, LOCAL, NAT, TUNNEL};

/// A service and its destinations, which are in order. The answer is what of them the lines do not say, in sentences.
pub fn service(
    service: &KernelService,
    destinations: &[KernelDestination],
    out: &mut Vec<u8>,
) -> Vec<String> {
    let named = name(service);
    let mut losses = Vec::new();
    let said = meaningful(service, |what| losses.push(format!("service {named}: {what}")));
    let mut line = Vec::new();
    save::service(&said, &[], true, Detail::Full, &mut Numbers, &mut line);
    let read = |message: &IpvsMessage| KernelService::read(message).map(|read| bare(&read));
    if let Err(why) = reads_back(&line, read, &bare(&said)) {
        let servers = destinations.len();
        return vec![format!("service {named} is left out, with its {servers} servers: {why}")];
    }
    out.append(&mut line);
    let mut places: BTreeSet<SocketAddr> = destinations.iter().map(place).collect();
    for destination in destinations {
        let to = format!("server {} of {named}", place(destination));
        let free = !places.contains(&SocketAddr::new(destination.ip(), said.port));
        let said_of =
            effective(&said, destination, free, |what| losses.push(format!("{to}: {what}")));
        places.insert(place(&said_of));
        let mut line = Vec::new();
        save::server(&said, &said_of, &mut line);
        let read = |message: &IpvsMessage| {
            let read = KernelDestination::read(message, said.family)?;
            Some(settings(&read))
        };
        match reads_back(&line, read, &settings(&said_of)) {
            Ok(()) => out.append(&mut line),
            Err(why) => losses.push(format!("{to} is left out: {why}")),
        }
    }
    losses
}

/// The timeouts. The answer is as of [`service`].
pub fn timeouts(timeouts: &Timeouts, out: &mut Vec<u8>) -> Option<String> {
    let mut line = Vec::new();
    save::timeouts(timeouts, &mut line);
    match taken(&line) {
        Ok(_message) => {
            out.append(&mut line);
            None
        }
        Err(why) => Some(format!("the timeouts are left out: {why}")),
    }
}

/// A sync daemon. The answer is as of [`service`].
pub fn daemon(daemon: &KernelDaemon, out: &mut Vec<u8>) -> Option<String> {
    let mut line = Vec::new();
    save::daemon(daemon, &mut line);
    match reads_back(&line, KernelDaemon::read, daemon) {
        Ok(()) => {
            out.append(&mut line);
            None
        }
        Err(why) => {
            let (state, on) = (daemon.state, &daemon.interface);
            Some(format!("the sync daemon of state {state} on {on:?} is left out: {why}"))
        }
    }
}

/// Whether a line is taken and means `wanted`.
///
/// # Errors
/// It is not: a sentence.
fn reads_back<T: PartialEq>(
    line: &[u8],
    read: impl FnOnce(&IpvsMessage) -> Option<T>,
    wanted: &T,
) -> Result<(), String> {
    let message = taken(line)?;
    if read(&message).as_ref() == Some(wanted) {
        Ok(())
    } else {
        Err("it has what no option of a rule says".to_owned())
    }
}

/// What a line asks the kernel for.
///
/// # Errors
/// `restore` refuses it: a sentence.
fn taken(line: &[u8]) -> Result<IpvsMessage, String> {
    let parsed = parse(&words(line.trim_ascii_end()), false, &mut Numbers)
        .map_err(|refusal| String::from_utf8_lossy(refusal.text()).trim_end().to_owned())?;
    match parsed.oddities.first() {
        Some(oddity) => Err(oddity.to_string()),
        None => message(&parsed.command).ok_or_else(|| "it is no rule".to_owned()),
    }
}

/// The service without what means nothing to the kernel; `left_out` is told of what somebody must have meant.
fn meaningful(service: &KernelService, mut left_out: impl FnMut(&str)) -> KernelService {
    let mut said = service.clone();
    if !said.is_persistent() {
        if !said.engine.is_empty() {
            let engine = std::mem::take(&mut said.engine);
            left_out(&format!(
                "its persistence engine {engine} is left out: it means nothing without persistence"
            ));
        }
    } else if !is_prefix(&said) {
        said.netmask = if said.is_ipv6() { 128_u32.to_ne_bytes() } else { [u8::MAX; 4] };
        left_out(
            "its netmask is left out, so that every address is a client of its own: rules have ones and then zeros, of IPv6 1 to 128",
        );
    }
    // The kernel looks at this flag for UDP alone.
    if said.flags & ONE_PACKET != 0 && said.mark == 0 && said.transport() != Some(Protocol::Udp) {
        said.flags &= !ONE_PACKET;
        left_out("its one-packet flag is left out: it means nothing but for UDP");
    }
    let settings = ServiceFlags::PERSISTENT_BIT | ServiceFlags::HASHED_BIT | ONE_PACKET;
    let known = SCHEDULER_FLAGS.iter().fold(settings, |all, one| all | one);
    let unknown = said.flags & !known;
    if unknown != 0 {
        said.flags &= known;
        left_out(&format!("its flags {unknown:#x} are left out: no rule has a word for them"));
    }
    said
}

/// Whether the netmask of a persistent service is one that rules have.
fn is_prefix(service: &KernelService) -> bool {
    if service.is_ipv6() {
        return (1..=128).contains(&u32::from_ne_bytes(service.netmask));
    }
    let mask = u32::from_be_bytes(service.netmask);
    mask.count_ones() == mask.leading_ones()
}

/// The destination by the options that rules have; `left_out` is told of what is otherwise then, though it works alike. `free` says whether
/// no other server has its address and the service's port.
fn effective(
    service: &KernelService,
    destination: &KernelDestination,
    free: bool,
    mut left_out: impl FnMut(&str),
) -> KernelDestination {
    let mut said = destination.clone();
    if said.forwarding_method() == LOCAL {
        said.method = DIRECT;
        left_out("its method, local, is written as direct routing: rules have no word for it");
    }
    let keeps_port = service.mark == 0 && said.forwarding_method() != NAT;
    if keeps_port && said.port != service.port && free {
        said.port = service.port;
        left_out(
            "it is written with the service's port: direct routing and tunnels can't change the port",
        );
    }
    said
}

/// What rules say of a service, and nothing else.
fn bare(service: &KernelService) -> KernelService {
    let mut said = KernelService {
        counters: Counters::default(),
        flags: service.flags & !ServiceFlags::HASHED_BIT,
        ..service.clone()
    };
    if !said.is_persistent() {
        (said.timeout_s, said.netmask) = (0, [0; 4]);
    }
    if said.mark != 0 {
        (said.protocol, said.address, said.port) = (0, [0; 16], 0);
    }
    said.address = trimmed(said.ip());
    said
}

/// What rules say of a destination, and nothing else.
fn settings(destination: &KernelDestination) -> KernelDestination {
    let mut said = KernelDestination {
        active: 0,
        inactive: 0,
        persistent: 0,
        counters: Counters::default(),
        ..destination.clone()
    };
    if said.forwarding_method() != TUNNEL {
        (said.tunnel_type, said.tunnel_port, said.tunnel_flags) = (IPIP, 0, 0);
    } else if said.tunnel_type == IPIP {
        (said.tunnel_port, said.tunnel_flags) = (0, 0);
    } else if said.tunnel_type == GRE {
        said.tunnel_port = 0;
    }
    said.address = trimmed(said.ip());
    said
}

/// An address as the kernel has it, what lies behind one of IPv4 being nothing.
fn trimmed(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => {
            let mut bytes = [0; 16];
            for (to, from) in bytes.iter_mut().zip(ip.octets()) {
                *to = from;
            }
            bytes
        }
        IpAddr::V6(ip) => ip.octets(),
    }
}

fn place(destination: &KernelDestination) -> SocketAddr {
    SocketAddr::new(destination.ip(), destination.port)
}

fn name(service: &KernelService) -> String {
    if service.mark != 0 {
        let family = if service.is_ipv6() { " ipv6" } else { "" };
        return format!("fwmark {}{family}", service.mark);
    }
    let protocol = match service.transport() {
        Some(protocol) => protocol.to_string(),
        None => format!("protocol {}", service.protocol),
    };
    format!("{protocol} {}", SocketAddr::new(service.ip(), service.port))
}
