//! The interface of a virtual MAC address (RFC 9568 §7.3): a macvlan on the interface that VRRP runs on. It is made down, so that
//! nobody learns its address from a Backup, and is up only while the node is the Active.
//!
//! Its mode is *bridge* and not *private*: a private one takes every multicast frame whose source is its own address for itself,
//! and the parent never hears it. Two Actives of one virtual router send from the same address: neither would hear the other. In bridge
//! mode the parent hears them, and macvlans of containers beside it reach the virtual addresses too.
//!
//! What is made here belongs to the group [`MARK`] (IFLA_GROUP): thus a later run knows what a killed one has left. Everything here
//! waits for the kernel.

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NlasIterator};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoMacVlan, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, MacVlanMode,
};
use nix::errno::Errno;

use crate::answer::Answer;
use crate::interface::{IfIndex, Interface, MacAddress};
use crate::netlink::RouteSocket;
use crate::placed::MARK;

/// `RTM_NEWLINK` of linux/rtnetlink.h.
const RTM_NEWLINK: u16 = 16;
/// Length of `struct ifinfomsg`, and where its index and flags are (linux/rtnetlink.h).
const HEADER_LEN: usize = 16;
const INDEX: std::ops::Range<usize> = 4..8;
const FLAGS: std::ops::Range<usize> = 8..12;
/// Attributes of a link (linux/if_link.h).
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_LINK: u16 = 5;
const IFLA_LINKINFO: u16 = 18;
const IFLA_GROUP: u16 = 27;
const IFLA_INFO_KIND: u16 = 1;

/// A macvlan of the daemon's, of this run or an earlier one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Macvlan {
    /// Its index and name.
    pub interface: Interface,
    /// The interface that it is on; none if that is in another network namespace.
    pub parent: Option<IfIndex>,
    /// Its Ethernet address.
    pub mac: MacAddress,
    /// Whether it is set up (IFF_UP).
    pub up: bool,
}

/// Makes and removes macvlans in the network namespace that it was opened in.
#[derive(Debug)]
pub struct Macvlans {
    requests: RouteSocket,
}

impl Macvlans {
    /// Opens the socket.
    ///
    /// # Errors
    /// The kernel answers no route netlink, or the process has no file descriptor left.
    pub fn open() -> Result<Self, MacvlanError> {
        let requests = RouteSocket::for_requests()
            .map_err(|errno| MacvlanError::Open { answer: Answer::of_netlink(errno) })?;
        Ok(Self { requests })
    }

    /// The daemon's macvlans, whichever run has made them.
    ///
    /// # Errors
    /// The kernel did not list its interfaces.
    pub fn list(&mut self) -> Result<Vec<Macvlan>, MacvlanError> {
        let all = RouteNetlinkMessage::GetLink(LinkMessage::default());
        self.requests
            .dump(&all, parse)
            .map_err(|errno| MacvlanError::List { answer: Answer::of_netlink(errno) })
    }

    /// Makes the macvlan `name` with the address `mac` on `parent`, down. One that is there already, made here, on this parent and
    /// with this address, is taken as it is.
    ///
    /// # Errors
    /// Another interface has the name, the parent can have no macvlan (it is gone, a bridge's or bond's port, or no Ethernet), the
    /// kernel knows none, or CAP_NET_ADMIN is missing.
    pub fn create(
        &mut self,
        name: &str,
        parent: &Interface,
        mac: MacAddress,
    ) -> Result<Macvlan, MacvlanError> {
        let created = self.request(creation(name, parent, mac), NLM_F_CREATE | NLM_F_EXCL);
        let refused = |answer| MacvlanError::Create {
            name: name.to_owned(),
            parent: parent.clone(),
            mac,
            answer,
        };
        match created {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(refused(creation_answer(errno))),
        }
        let ours = self.list()?.into_iter().find(|one| one.interface.name == name);
        ours.filter(|one| one.parent == Some(parent.index) && one.mac == mac).ok_or_else(|| {
            refused(Answer::advising(
                Errno::EEXIST,
                "another interface has this name: give one of the two another name",
            ))
        })
    }

    /// Sets the interface up or down. Setting it down takes its IPv6 addresses from it.
    ///
    /// # Errors
    /// It is gone, or CAP_NET_ADMIN is missing.
    pub fn set_up(&mut self, interface: &Interface, up: bool) -> Result<(), MacvlanError> {
        let mut message = LinkMessage::default();
        message.header.index = interface.index.value();
        message.header.change_mask = LinkFlags::Up;
        message.header.flags = if up { LinkFlags::Up } else { LinkFlags::empty() };
        self.request(RouteNetlinkMessage::SetLink(message), 0).map_err(|errno| {
            let answer = Answer::of_netlink(errno);
            MacvlanError::SetUp { interface: interface.clone(), up, answer }
        })
    }

    /// Removes the interface, if it is there.
    ///
    /// # Errors
    /// CAP_NET_ADMIN is missing.
    pub fn delete(&mut self, interface: &Interface) -> Result<(), MacvlanError> {
        let mut message = LinkMessage::default();
        message.header.index = interface.index.value();
        match self.request(RouteNetlinkMessage::DelLink(message), 0) {
            Ok(()) | Err(Errno::ENODEV | Errno::ENXIO) => Ok(()),
            Err(errno) => Err(MacvlanError::Delete {
                interface: interface.clone(),
                answer: Answer::of_netlink(errno),
            }),
        }
    }

    fn request(&mut self, message: RouteNetlinkMessage, flags: u16) -> Result<(), Errno> {
        self.requests.change([(message, flags)]).into_iter().collect()
    }
}

/// The request for a new macvlan.
fn creation(name: &str, parent: &Interface, mac: MacAddress) -> RouteNetlinkMessage {
    let mode = InfoData::MacVlan(vec![InfoMacVlan::Mode(MacVlanMode::Bridge)]);
    let mut message = LinkMessage::default();
    message.attributes = vec![
        LinkAttribute::IfName(name.to_owned()),
        LinkAttribute::Link(parent.index.value()),
        LinkAttribute::Address(mac.octets().to_vec()),
        LinkAttribute::Group(MARK.into()),
        LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::MacVlan), LinkInfo::Data(mode)]),
    ];
    RouteNetlinkMessage::NewLink(message)
}

/// A listed link, if it is a macvlan with the daemon's mark. Attributes that are not needed are not looked at.
fn parse(kind: u16, payload: &[u8]) -> Option<Macvlan> {
    if kind != RTM_NEWLINK {
        return None;
    }
    let word = |at| <[u8; 4]>::try_from(payload.get(at)?).ok().map(u32::from_ne_bytes);
    let (index, flags) = (IfIndex::new(word(INDEX)?)?, word(FLAGS)?);
    let (mut name, mut mac, mut parent, mut is_ours, mut is_macvlan) =
        (None, None, None, false, false);
    for attribute in NlasIterator::new(payload.get(HEADER_LEN..)?).map_while(Result::ok) {
        let value = attribute.value();
        let number = || value.try_into().ok().map(u32::from_ne_bytes);
        match attribute.kind() {
            IFLA_IFNAME => name = string(value),
            IFLA_ADDRESS => mac = <[u8; 6]>::try_from(value).ok().map(MacAddress::new),
            IFLA_LINK => parent = number().and_then(IfIndex::new),
            IFLA_GROUP => is_ours = number() == Some(MARK.into()),
            IFLA_LINKINFO => {
                let mut inner = NlasIterator::new(value).map_while(Result::ok);
                is_macvlan = inner.any(|one| {
                    one.kind() == IFLA_INFO_KIND
                        && string(one.value()).as_deref() == Some("macvlan")
                });
            }
            _ => {}
        }
    }
    let interface = Interface { index, name: name? };
    let up = LinkFlags::from_bits_retain(flags).contains(LinkFlags::Up);
    (is_ours && is_macvlan).then_some(Macvlan { interface, parent, mac: mac?, up })
}

/// A string of the kernel, without the zero at its end.
fn string(bytes: &[u8]) -> Option<String> {
    let text = bytes.split(|byte| *byte == 0).next()?;
    std::str::from_utf8(text).ok().map(str::to_owned)
}

fn creation_answer(errno: Errno) -> Answer {
    if errno == Errno::EOPNOTSUPP {
        Answer::advising(errno, "the kernel has no macvlan: `modprobe macvlan`")
    } else if errno == Errno::EBUSY {
        let advice = "the interface is a port of a bridge or a bond: name the bridge or the bond";
        Answer::advising(errno, advice)
    } else if errno == Errno::EINVAL {
        Answer::advising(errno, "only Ethernet interfaces other than lo can have a macvlan")
    } else {
        Answer::of_netlink(errno)
    }
}

/// Why a macvlan is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MacvlanError {
    /// No socket.
    #[error("open route netlink for macvlans: {answer}")]
    Open {
        /// What the kernel answered.
        answer: Answer,
    },
    /// The interfaces were not listed.
    #[error("list interfaces: {answer}")]
    List {
        /// What the kernel answered.
        answer: Answer,
    },
    /// It was not made.
    #[error("make the macvlan {name} with {mac} on {parent}: {answer}")]
    Create {
        /// Its name.
        name: String,
        /// The interface below it.
        parent: Interface,
        /// Its Ethernet address.
        mac: MacAddress,
        /// What the kernel answered.
        answer: Answer,
    },
    /// It was not set up or down.
    #[error("set the macvlan {interface} {}: {answer}", if *.up { "up" } else { "down" })]
    SetUp {
        /// The interface.
        interface: Interface,
        /// What was wanted.
        up: bool,
        /// What the kernel answered.
        answer: Answer,
    },
    /// It was not removed.
    #[error("remove the macvlan {interface}: {answer}")]
    Delete {
        /// The interface.
        interface: Interface,
        /// What the kernel answered.
        answer: Answer,
    },
}

impl MacvlanError {
    /// What the kernel answered.
    pub const fn answer(&self) -> Answer {
        match self {
            Self::Open { answer }
            | Self::List { answer }
            | Self::Create { answer, .. }
            | Self::SetUp { answer, .. }
            | Self::Delete { answer, .. } => *answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            drop(parse(RTM_NEWLINK, &bytes));
        }
    }
}
