//! Host names and service names, which somebody else looks up.

use std::net::{IpAddr, Ipv4Addr};

use crate::model::Protocol;

/// Looks up names. Each method answers `None` for a name or number that is not known.
pub trait Names {
    /// The first IPv4 address of a host: ipvsadm knows IPv6 addresses only as numbers.
    fn address_of(&mut self, host: &[u8]) -> Option<Ipv4Addr>;
    /// The port of a service's name, as in `/etc/services`.
    fn port_of(&mut self, service: &[u8], protocol: Protocol) -> Option<u16>;
    /// The name of an address.
    fn host_of(&mut self, address: IpAddr) -> Option<Vec<u8>>;
    /// The service's name that belongs to a port.
    fn service_of(&mut self, port: u16, protocol: Protocol) -> Option<Vec<u8>>;
}

/// Knows no name, so that everything is a number.
#[derive(Clone, Copy, Debug, Default)]
pub struct Numbers;

impl Names for Numbers {
    fn address_of(&mut self, _host: &[u8]) -> Option<Ipv4Addr> {
        None
    }

    fn port_of(&mut self, _service: &[u8], _protocol: Protocol) -> Option<u16> {
        None
    }

    fn host_of(&mut self, _address: IpAddr) -> Option<Vec<u8>> {
        None
    }

    fn service_of(&mut self, _port: u16, _protocol: Protocol) -> Option<Vec<u8>> {
        None
    }
}
