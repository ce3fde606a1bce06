//! The kernel as the address thread uses it: route netlink for addresses, packet sockets for announcements.

use std::fmt::Display;
use std::net::IpAddr;

use holdfast_config::Name;
use holdfast_net::{
    Addition, AddressError, AddressSocket, Announcer, Interface, MacAddress, Removal,
};
use ipnet::IpNet;

use super::tenant::Present;

/// How often an address is announced in one burst, as keepalived's `garp_master_repeat` by default.
const BURST: usize = 5;

/// What the address thread asks of the kernel; in tests another one.
pub(super) trait Kernel {
    /// Why the kernel did not do it.
    type Error: Display;

    /// The addresses of every interface.
    fn list(&mut self) -> Result<Present, Self::Error>;

    /// Adds `addresses` to `on`, and says of each how it went.
    fn add(&mut self, on: &Interface, addresses: &[IpNet]) -> Vec<Result<Addition, Self::Error>>;

    /// Removes `addresses` from `on`, and says of each how it went.
    fn remove(&mut self, on: &Interface, addresses: &[IpNet]) -> Vec<Result<Removal, Self::Error>>;

    /// Announces each of `addresses` at `mac`; what goes wrong is for the log.
    fn announce(&mut self, of: &Name, on: &Interface, mac: MacAddress, addresses: &[IpAddr]);
}

impl Kernel for AddressSocket {
    type Error = AddressError;

    fn list(&mut self) -> Result<Present, AddressError> {
        let mut present = Present::new();
        for (index, address) in self.list_all()? {
            present.entry(index).or_default().push(address.address);
        }
        Ok(present)
    }

    fn add(&mut self, on: &Interface, addresses: &[IpNet]) -> Vec<Result<Addition, AddressError>> {
        Self::add(self, on, addresses)
    }

    fn remove(
        &mut self,
        on: &Interface,
        addresses: &[IpNet],
    ) -> Vec<Result<Removal, AddressError>> {
        Self::remove(self, on, addresses)
    }

    /// Every address [`BURST`] times, in turn.
    fn announce(&mut self, of: &Name, on: &Interface, mac: MacAddress, addresses: &[IpAddr]) {
        let announcer = match Announcer::open(on) {
            Ok(announcer) => announcer,
            Err(error) => {
                return tracing::error!(instance = %of, %error, "nothing could be announced");
            }
        };
        for _ in 0..BURST {
            for address in addresses {
                if let Err(error) = announcer.announce(mac, *address) {
                    tracing::warn!(instance = %of, %error, "a virtual address could not be announced");
                }
            }
        }
    }
}
