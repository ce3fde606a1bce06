//! The kernel as the address thread uses it: route netlink for addresses, packet sockets for announcements.

use std::fmt::Display;
use std::net::IpAddr;

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

    /// Announces each of `addresses` at `mac`.
    ///
    /// # Errors
    /// Not all were sent, and why the first of them was not.
    fn announce(
        &mut self,
        on: &Interface,
        mac: MacAddress,
        addresses: &[IpAddr],
    ) -> Result<(), String>;
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

    /// Every address [`BURST`] times, in turn. A queue that is full ends it: more would only fill it longer.
    fn announce(
        &mut self,
        on: &Interface,
        mac: MacAddress,
        addresses: &[IpAddr],
    ) -> Result<(), String> {
        let announcer = Announcer::open(on).map_err(|error| error.to_string())?;
        for _ in 0..BURST {
            for address in addresses {
                announcer.announce(mac, *address).map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }
}
