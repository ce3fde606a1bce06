//! Host names and service names of this host, as the C library knows them: `/etc/hosts`, DNS, `/etc/services` and whatever else
//! `nsswitch.conf` says.
//!
//! A lookup may wait for a DNS server, for many seconds.

use std::ffi::{CStr, CString, c_char, c_int};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs as _};
use std::sync::{Mutex, PoisonError};

use nix::sys::socket::{SockaddrLike as _, SockaddrStorage};

/// The C library's functions for services answer with a buffer that they share.
static SERVICES: Mutex<()> = Mutex::new(());

/// NI_MAXHOST, the longest host name with its NUL.
const HOST_MAX: usize = 1025;

/// A transport whose services have names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transport {
    /// `tcp` in `/etc/services`.
    Tcp,
    /// `udp`.
    Udp,
    /// `sctp`.
    Sctp,
}

impl Transport {
    const fn name(self) -> &'static CStr {
        match self {
            Self::Tcp => c"tcp",
            Self::Udp => c"udp",
            Self::Sctp => c"sctp",
        }
    }
}

/// The first IPv4 address of a host; `None` when it is not known or has none.
pub fn address_of(host: &str) -> Option<Ipv4Addr> {
    let addresses = (host, 0).to_socket_addrs().ok()?;
    addresses.map(|address| address.ip()).find_map(|address| match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    })
}

/// The port of a service's name.
#[expect(unsafe_code, reason = "no crate looks up a service by its name")]
pub fn port_of(service: &[u8], transport: Transport) -> Option<u16> {
    let service = CString::new(service).ok()?;
    let _alone = SERVICES.lock().unwrap_or_else(PoisonError::into_inner);
    // JUSTIFICATION: neither the standard library nor nix looks up services.
    // SAFETY: both pointers are to NUL-terminated strings that outlive the call. What is returned is null or a servent of the C
    // library's, which is valid until the next such call; the lock is held until it has been read.
    let port = unsafe {
        let found = libc::getservbyname(service.as_ptr(), transport.name().as_ptr());
        found.as_ref()?.s_port
    };
    u16::try_from(port).ok().map(u16::from_be)
}

/// The name of the service at a port.
#[expect(unsafe_code, reason = "no crate looks up a service by its port")]
pub fn service_of(port: u16, transport: Transport) -> Option<Vec<u8>> {
    let _alone = SERVICES.lock().unwrap_or_else(PoisonError::into_inner);
    // JUSTIFICATION: neither the standard library nor nix looks up services.
    // SAFETY: the pointer is to a NUL-terminated string that outlives the call. What is returned is null or a servent of the C
    // library's with a NUL-terminated name, valid until the next such call; the lock is held until it has been copied.
    unsafe {
        let found = libc::getservbyport(c_int::from(port.to_be()), transport.name().as_ptr());
        let name = found.as_ref()?.s_name;
        (!name.is_null()).then(|| CStr::from_ptr(name).to_bytes().to_vec())
    }
}

/// The name of a host.
#[expect(unsafe_code, reason = "no crate looks up a host by its address")]
pub fn host_of(address: IpAddr) -> Option<Vec<u8>> {
    let address = SockaddrStorage::from(SocketAddr::new(address, 0));
    let mut name: [c_char; HOST_MAX] = [0; HOST_MAX];
    let length = libc::socklen_t::try_from(HOST_MAX).ok()?;
    // JUSTIFICATION: neither the standard library nor nix looks up names by addresses.
    // SAFETY: the address is a live socket address of the length told, the buffer has the length told, and no service is asked for.
    let answer = unsafe {
        libc::getnameinfo(
            address.as_ptr(),
            address.len(),
            name.as_mut_ptr(),
            length,
            std::ptr::null_mut(),
            0,
            libc::NI_NAMEREQD,
        )
    };
    if answer != 0 {
        return None;
    }
    let bytes = name.map(c_char::cast_unsigned);
    CStr::from_bytes_until_nul(&bytes).ok().map(|name| name.to_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_every_host_knows() {
        assert_eq!(address_of("localhost"), Some(Ipv4Addr::LOCALHOST));
        assert_eq!(host_of(IpAddr::V4(Ipv4Addr::LOCALHOST)).as_deref(), Some(&b"localhost"[..]));
        assert_eq!(port_of(b"no-such-service", Transport::Tcp), None);
        assert_eq!(port_of(b"nul\0", Transport::Tcp), None);
        assert_eq!(service_of(1, Transport::Sctp), None);
    }

    #[test]
    fn services_where_there_is_a_list_of_them() {
        if std::path::Path::new("/etc/services").exists() {
            assert_eq!(port_of(b"http", Transport::Tcp), Some(80));
            assert_eq!(service_of(53, Transport::Udp).as_deref(), Some(&b"domain"[..]));
        }
    }
}
