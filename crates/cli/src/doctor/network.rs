//! Interfaces, addresses and ports.

use std::fs;
use std::io;
use std::net::TcpListener;

use holdfast_config::{Config, Instance};
use holdfast_control::chain;
use holdfast_net::LinkMonitor;
use vrrp::AddressFamily;

use super::Finding;

/// IFF_MULTICAST of linux/if.h.
const MULTICAST: u32 = 0x1000;

/// The interfaces of instances: whether they carry multicast, and whether packets that come back another way are dropped.
pub(super) fn interfaces(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    for instance in config.instances.values() {
        let name = &instance.interface;
        // That it is missing or down the configuration's check has said.
        let Some(flags) = flags(name) else { continue };
        if instance.unicast.is_none() && flags & MULTICAST == 0 {
            let text =
                format!("{name} carries no multicast, and instance {} needs it", instance.name);
            let help = format!("`ip link set {name} multicast on`, or `unicast` with its peers");
            findings.push(Finding::fail("network", text, help));
        }
        findings.extend(reverse_path(instance));
    }
    findings
}

fn flags(interface: &str) -> Option<u32> {
    let text = fs::read_to_string(format!("/sys/class/net/{interface}/flags")).ok()?;
    u32::from_str_radix(text.trim().trim_start_matches("0x"), 16).ok()
}

/// Strict reverse path filtering drops clients' packets that come in by another interface than the route back goes out by.
fn reverse_path(instance: &Instance) -> Option<Finding> {
    if instance.family != AddressFamily::Ipv4 {
        return None;
    }
    let of = |interface: &str| -> u32 {
        let path = format!("/proc/sys/net/ipv4/conf/{interface}/rp_filter");
        fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
    };
    // The kernel takes the greater of the two; 1 is strict, 2 loose.
    let holds = of("all").max(of(&instance.interface));
    (holds == 1).then(|| {
        let name = &instance.interface;
        let text = format!("rp_filter of {name} is strict: packets from clients whose route back leads elsewhere are dropped");
        let help = format!("`sysctl net.ipv4.conf.{name}.rp_filter=2` where clients come in by more than one way");
        Finding::warn("network", text, help)
    })
}

/// Virtual addresses that are on this host though no daemon of ours put them there.
pub(super) fn addresses(config: &Config, running: bool) -> Vec<Finding> {
    let Ok(monitor) = LinkMonitor::open() else { return Vec::new() };
    let mut findings = Vec::new();
    for state in monitor.interfaces().iter() {
        let name = &state.link.interface.name;
        for instance in config.instances.values() {
            // An owner's are its own.
            if instance.priority.value() == 255 {
                continue;
            }
            let held = instance.held().map(|address| address.net.addr());
            for address in
                held.filter(|one| state.addresses.iter().any(|had| had.address.addr() == *one))
            {
                if name == "lo" {
                    let text = format!(
                        "the virtual address {address} is on lo: this host answers ARP for it beside the active node"
                    );
                    let help = "`sysctl net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2` where it is a real server of direct routing, or remove it";
                    findings.push(Finding::warn("addresses", text, help));
                } else if !running {
                    let text = format!(
                        "the virtual address {address} is on {name}, and no daemon of ours runs"
                    );
                    let help = format!(
                        "whoever put it there holds it beside the active node: `ip address show dev {name}`; what a killed holdfastd left it removes at its start"
                    );
                    findings.push(Finding::warn("addresses", text, help));
                }
            }
        }
    }
    findings
}

/// Ports that the daemon will want.
pub(super) fn ports(config: &Config) -> Option<Finding> {
    let address = config.daemon.http?;
    match TcpListener::bind(address) {
        Ok(_free) => {
            Some(Finding::ok("ports", format!("{address} is free for `daemon.http.listen`")))
        }
        Err(error) => {
            let help = if error.kind() == io::ErrorKind::AddrInUse {
                "`ss -ltnp` shows who has it; choose another `daemon.http.listen`"
            } else {
                "choose another `daemon.http.listen`: this host may lack the address"
            };
            Some(Finding::fail("ports", format!("listen on {address}: {}", chain(&error)), help))
        }
    }
}
