//! The interfaces of this network namespace, and who put their addresses there.

use holdfast_config::host::{Address, Interface, PlacedBy, Port};
use holdfast_net::{InterfaceAddress, Interfaces, Link, LinkMonitor, MARK, PortKind};
use nix::sys::utsname::uname;

use crate::facts::FactsError;

/// RTPROT_KEEPALIVED of linux/rtnetlink.h, which newer keepalived gives its addresses.
const KEEPALIVED: u8 = 18;

/// The first kernel that keeps who put an address somewhere (IFA_PROTO).
const KEEPS_PROTOCOLS: (u32, u32) = (5, 18);

/// Every interface.
///
/// # Errors
/// The kernel can't be asked.
pub(crate) fn list() -> Result<Vec<Interface>, FactsError> {
    let monitor = LinkMonitor::open().map_err(FactsError::Interfaces)?;
    let all = monitor.interfaces();
    // A distribution's older kernel may have been taught to.
    let said = all.iter().flat_map(|state| &state.addresses).any(|one| one.protocol != 0);
    let keeps = said || keeps_protocols();
    let interface = |state: &holdfast_net::InterfaceState| Interface {
        name: state.link.interface.name.clone(),
        up: state.link.admin_up,
        addresses: state.addresses.iter().map(|one| address(one, keeps)).collect(),
        loopback: state.link.loopback,
        port: port(&state.link, all),
    };
    Ok(all.iter().map(interface).collect())
}

fn address(one: &InterfaceAddress, keeps: bool) -> Address {
    let by = match one.protocol {
        MARK | KEEPALIVED => PlacedBy::Vrrp,
        0 if !keeps => PlacedBy::Unknown,
        _ => PlacedBy::Other,
    };
    Address { net: one.address, by }
}

fn port(link: &Link, all: &Interfaces) -> Option<Port> {
    let port = link.port?;
    let master = all.by_index(port.master).map(|state| state.link.interface.name.clone());
    // What all ports of Open vSwitch have for a master is no bridge.
    let instead = master.filter(|_| port.kind != PortKind::OpenVswitch);
    Some(Port { kind: port.kind.label(), instead })
}

fn keeps_protocols() -> bool {
    let release = uname().ok();
    let release = release.as_ref().and_then(|names| names.release().to_str());
    // One that can't be read is a new way of numbering.
    release.and_then(version).is_none_or(|version| version >= KEEPS_PROTOCOLS)
}

/// The first two numbers of a kernel's release, such as `6.1.0-18-amd64`.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|one: char| !one.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_begins_with_two_numbers() {
        assert_eq!(version("6.1.0-18-amd64"), Some((6, 1)));
        assert_eq!(version("5.4.0"), Some((5, 4)));
        assert_eq!(version("5.18-rc1"), Some((5, 18)));
        assert_eq!(version("next"), None);
    }

    #[test]
    fn who_put_an_address_there_is_known_where_the_kernel_keeps_it() {
        let by = |protocol, keeps| {
            let net = "192.0.2.1/24".parse().unwrap();
            let one = InterfaceAddress {
                address: net,
                secondary: false,
                tentative: false,
                duplicate: false,
                deprecated: false,
                protocol,
            };
            let found = address(&one, keeps);
            assert_eq!(found.net, net);
            found.by
        };
        assert_eq!([by(MARK, true), by(KEEPALIVED, true)], [PlacedBy::Vrrp; 2]);
        // 1 is the kernel itself, 2 a router's advertisement (linux/if_addr.h).
        assert_eq!([by(0, true), by(1, true), by(2, true)], [PlacedBy::Other; 3]);
        assert_eq!(by(0, false), PlacedBy::Unknown);
    }

    #[test]
    fn the_loopback_is_told_from_others() {
        let all = list().unwrap();
        let loopbacks = all.iter().filter(|one| one.loopback).map(|one| one.name.as_str());
        assert_eq!(loopbacks.collect::<Vec<_>>(), ["lo"]);
    }
}
