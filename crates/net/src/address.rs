//! Adds virtual addresses to interfaces, and removes them.
//!
//! The calls wait for the kernel, which may take milliseconds for hundreds of addresses: they belong in a thread of their own
//! and not in the one that sends advertisements.
//!
//! Asking for what is so already is a success, so whoever lost track may repeat everything. What was there before is reported,
//! because an address that somebody else configured may not be ours to remove.
//!
//! - IPv4 addresses get the prefix length that they are given. A second address of the same prefix is a *secondary* one: the
//!   kernel does not choose it as a source, and removes it along with the first unless the sysctl promote_secondaries is set.
//! - IPv6 addresses come without duplicate address detection (IFA_F_NODAD: RFC 9568 §6.4.3 has the virtual address usable at
//!   once, and its owner has just changed) and *deprecated* (preferred lifetime 0, valid for ever): they serve whoever connects
//!   to them and whoever binds them, but the kernel does not choose them as a source while there is another (RFC 6724 §5
//!   rule 3), so that this host's own connections survive their leaving.

use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressMessage, AddressScope, CacheInfo,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::errno::Errno;

use crate::answer::Answer;
use crate::interface::{IfIndex, Interface};
use crate::link_state::{Change, InterfaceAddress, parse};
use crate::netlink::RouteSocket;

/// A lifetime without end (linux/addrconf.h, INFINITY_LIFE_TIME).
const FOR_EVER: u32 = u32::MAX;

/// What became of an address that was to be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addition {
    /// It is there now.
    Added,
    /// It was there before, and was left as it is.
    AlreadyPresent,
}

/// What became of an address that was to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It is gone now.
    Removed,
    /// It was not there; perhaps its interface wasn't either.
    Absent,
}

/// Changes the addresses of the network namespace that it was opened in.
#[derive(Debug)]
pub struct AddressSocket {
    socket: RouteSocket,
}

impl AddressSocket {
    /// Opens the socket. CAP_NET_ADMIN is asked for by the changes, not here.
    ///
    /// # Errors
    /// The kernel answers no route netlink, or the process has no file descriptor left.
    pub fn open() -> Result<Self, AddressError> {
        RouteSocket::for_requests()
            .map(|socket| Self { socket })
            .map_err(|errno| AddressError::Open { answer: Answer::of_netlink(errno) })
    }

    /// Adds `addresses` to `interface` and says for each, in their order, how it went. One that fails keeps none of the others back.
    pub fn add(
        &mut self,
        interface: &Interface,
        addresses: &[IpNet],
    ) -> Vec<Result<Addition, AddressError>> {
        let requests = addresses
            .iter()
            .map(|address| RouteNetlinkMessage::NewAddress(message(interface.index, *address)))
            .map(|request| (request, NLM_F_CREATE | NLM_F_EXCL));
        let results = self.socket.change(requests);
        results
            .into_iter()
            .zip(addresses)
            .map(|(result, address)| match result {
                Ok(()) => Ok(Addition::Added),
                Err(Errno::EEXIST) => Ok(Addition::AlreadyPresent),
                Err(errno) => Err(AddressError::Add {
                    address: *address,
                    interface: interface.clone(),
                    answer: Answer::of_netlink(errno),
                }),
            })
            .collect()
    }

    /// Removes `addresses` from `interface` and says for each, in their order, how it went. An interface that is gone has none.
    pub fn remove(
        &mut self,
        interface: &Interface,
        addresses: &[IpNet],
    ) -> Vec<Result<Removal, AddressError>> {
        let requests = addresses
            .iter()
            .map(|address| RouteNetlinkMessage::DelAddress(message(interface.index, *address)))
            .map(|request| (request, 0));
        let results = self.socket.change(requests);
        results
            .into_iter()
            .zip(addresses)
            .map(|(result, address)| match result {
                Ok(()) => Ok(Removal::Removed),
                Err(Errno::EADDRNOTAVAIL | Errno::ENODEV | Errno::ENXIO) => Ok(Removal::Absent),
                Err(errno) => Err(AddressError::Remove {
                    address: *address,
                    interface: interface.clone(),
                    answer: Answer::of_netlink(errno),
                }),
            })
            .collect()
    }

    /// The addresses that `interface` has now, in the kernel's order; none when it is gone.
    ///
    /// # Errors
    /// The kernel failed to answer.
    pub fn list(&mut self, interface: &Interface) -> Result<Vec<InterfaceAddress>, AddressError> {
        let listed = self
            .dump()
            .map_err(|answer| AddressError::List { interface: interface.clone(), answer })?;
        let here = listed.into_iter().filter(|(index, _)| *index == interface.index);
        Ok(here.map(|(_, address)| address).collect())
    }

    /// The addresses of all interfaces, each with its interface's number, in the kernel's order.
    ///
    /// # Errors
    /// The kernel failed to answer.
    pub fn list_all(&mut self) -> Result<Vec<(IfIndex, InterfaceAddress)>, AddressError> {
        self.dump().map_err(|answer| AddressError::ListAll { answer })
    }

    fn dump(&mut self) -> Result<Vec<(IfIndex, InterfaceAddress)>, Answer> {
        let request = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        let address = |kind, payload: &[u8]| match parse(kind, payload) {
            Some(Change::Address(index, address)) => Some((index, address)),
            Some(Change::AddressGone(..) | Change::Link { .. } | Change::LinkGone(_)) | None => {
                None
            }
        };
        self.socket.dump(&request, address).map_err(Answer::of_netlink)
    }
}

/// The message that names an address, to add and to remove it.
fn message(index: IfIndex, address: IpNet) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.index = index.value();
    message.header.prefix_len = address.prefix_len();
    message.header.scope = scope(address.addr());
    message.attributes =
        vec![AddressAttribute::Local(address.addr()), AddressAttribute::Address(address.addr())];
    match address {
        IpNet::V4(_) => message.header.family = AddressFamily::Inet,
        IpNet::V6(_) => {
            message.header.family = AddressFamily::Inet6;
            let mut lifetimes = CacheInfo::default();
            lifetimes.ifa_preferred = 0;
            lifetimes.ifa_valid = FOR_EVER;
            message.attributes.extend([
                AddressAttribute::Flags(AddressFlags::Nodad),
                AddressAttribute::CacheInfo(lifetimes),
            ]);
        }
    }
    message
}

/// How far the address is known: a link-local one on its link only. (The kernel derives IPv6 scopes itself.)
const fn scope(address: IpAddr) -> AddressScope {
    match address {
        IpAddr::V4(v4) if v4.is_link_local() => AddressScope::Link,
        IpAddr::V4(_) | IpAddr::V6(_) => AddressScope::Universe,
    }
}

/// Why addresses were not changed or listed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// No socket.
    #[error("open route netlink for addresses: {answer}")]
    Open {
        /// What the kernel answered.
        answer: Answer,
    },
    /// An address was not added.
    #[error("add {address} to {interface}: {answer}")]
    Add {
        /// The address.
        address: IpNet,
        /// The interface.
        interface: Interface,
        /// What the kernel answered.
        answer: Answer,
    },
    /// An address was not removed.
    #[error("remove {address} from {interface}: {answer}")]
    Remove {
        /// The address.
        address: IpNet,
        /// The interface.
        interface: Interface,
        /// What the kernel answered.
        answer: Answer,
    },
    /// The addresses were not listed.
    #[error("list the addresses of {interface}: {answer}")]
    List {
        /// The interface.
        interface: Interface,
        /// What the kernel answered.
        answer: Answer,
    },
    /// The addresses of all interfaces were not listed.
    #[error("list the addresses of all interfaces: {answer}")]
    ListAll {
        /// What the kernel answered.
        answer: Answer,
    },
}

impl AddressError {
    /// What the kernel answered.
    pub const fn answer(&self) -> Answer {
        match self {
            Self::Open { answer }
            | Self::Add { answer, .. }
            | Self::Remove { answer, .. }
            | Self::List { answer, .. }
            | Self::ListAll { answer } => *answer,
        }
    }
}
