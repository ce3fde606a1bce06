//! What can go wrong with a VRRP socket, and what to do about it.

use std::net::IpAddr;

use nix::errno::Errno;
use vrrp::AddressFamily;

use crate::answer::Answer;
use crate::interface::Interface;

/// Why a VRRP socket failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VrrpSocketError {
    /// The socket was not opened.
    #[error("open a VRRP socket for {family} on {interface}: {answer}")]
    Open {
        /// The interface.
        interface: Interface,
        /// The family.
        family: AddressFamily,
        /// What the kernel answered.
        answer: Answer,
    },
    /// A group was not joined.
    #[error("join {group} on {interface}: {answer}")]
    Join {
        /// The interface.
        interface: Interface,
        /// The group.
        group: IpAddr,
        /// What the kernel answered.
        answer: Answer,
    },
    /// A packet was not received.
    #[error("receive VRRP for {family} on {interface}: {answer}")]
    Receive {
        /// The interface.
        interface: Interface,
        /// The family.
        family: AddressFamily,
        /// What the kernel answered.
        answer: Answer,
    },
    /// An advertisement was not sent.
    #[error(
        "send an advertisement from {source_address} to {destination} on {interface}: {answer}"
    )]
    Send {
        /// The interface.
        interface: Interface,
        /// The source address that was asked for.
        source_address: IpAddr,
        /// The group or peer.
        destination: IpAddr,
        /// What the kernel answered.
        answer: Answer,
    },
}

impl VrrpSocketError {
    /// What the kernel answered.
    pub const fn answer(&self) -> Answer {
        match self {
            Self::Open { answer, .. }
            | Self::Join { answer, .. }
            | Self::Receive { answer, .. }
            | Self::Send { answer, .. } => *answer,
        }
    }
}

pub(super) fn send_answer(errno: Errno) -> Answer {
    if errno == Errno::EINVAL || errno == Errno::ENETUNREACH {
        // Kernels differ in which of the two they answer to a source that they don't find on the interface.
        Answer::advising(
            errno,
            "the source address is not on the interface or still tentative, no route leads to the peer, or the interface is down or gone",
        )
    } else if errno == Errno::EAGAIN {
        Answer::advising(errno, "the interface's queue is full: the next one may pass")
    } else {
        Answer::of_socket(errno)
    }
}

/// ENOBUFS is what the kernel says when the socket has its most groups.
pub(super) fn join_answer(errno: Errno) -> Answer {
    if errno == Errno::ENOBUFS {
        let advice = "the interface's groups are more than net.ipv4.igmp_max_memberships allows";
        Answer::advising(errno, advice)
    } else if errno == Errno::EINVAL {
        Answer::advising(errno, "it is no multicast group")
    } else {
        Answer::of_socket(errno)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_is_not_there_is_told_from_a_full_queue() {
        for errno in [Errno::EINVAL, Errno::ENETUNREACH] {
            assert!(send_answer(errno).to_string().contains("not on the interface"));
        }
        assert!(send_answer(Errno::EAGAIN).to_string().contains("queue is full"));
    }
}
