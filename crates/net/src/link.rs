//! Hears from the kernel which links and addresses come, go and change.
//!
//! The kernel's messages are folded into [`Interfaces`], and an event is told only for what is different then: the first
//! reading, a repeated message and a resynchronisation all look the same to the caller. When the kernel had to drop messages
//! (ENOBUFS), everything is listed again once the queue is empty, and the differences are told.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::LinkMessage;
use nix::errno::Errno;

use crate::answer::Answer;
use crate::link_state::{Interfaces, LinkEvent, parse};
use crate::netlink::{RouteSocket, messages};

/// `RTMGRP_LINK`, `RTMGRP_IPV4_IFADDR` and `RTMGRP_IPV6_IFADDR` of linux/rtnetlink.h.
const GROUPS: u32 = 0x1 | 0x10 | 0x100;
/// Room for some thousand messages, a host's whole start; beyond it they are lost and everything is listed again.
const RECEIVE_BUFFER: usize = 4 << 20;

/// Watches the links and addresses of the network namespace that it was opened in.
#[derive(Debug)]
pub struct LinkMonitor {
    events: RouteSocket,
    requests: RouteSocket,
    interfaces: Interfaces,
    /// What was read and not yet told: the differences of one datagram (64 KiB) or of one listing.
    pending: VecDeque<LinkEvent>,
    /// Messages were lost since the last listing.
    stale: bool,
    resynchronisations: u64,
}

impl LinkMonitor {
    /// Opens the monitor and lists what is there: the first events describe it.
    ///
    /// # Errors
    /// The kernel answers no route netlink, or the process has no file descriptor left. No capability is needed.
    pub fn open() -> Result<Self, MonitorError> {
        Self::open_with_receive_buffer(RECEIVE_BUFFER)
    }

    /// As [`LinkMonitor::open`], with a queue of about `bytes` for messages that are not read yet.
    ///
    /// # Errors
    /// As [`LinkMonitor::open`].
    pub fn open_with_receive_buffer(bytes: usize) -> Result<Self, MonitorError> {
        let opened = |errno| MonitorError::Open { answer: Answer::of_netlink(errno) };
        let mut monitor = Self {
            // Heard first and listed second, so that no change falls in between.
            events: RouteSocket::for_events(GROUPS, bytes).map_err(opened)?,
            requests: RouteSocket::for_requests().map_err(opened)?,
            interfaces: Interfaces::default(),
            pending: VecDeque::new(),
            stale: false,
            resynchronisations: 0,
        };
        monitor.list().map_err(|errno| MonitorError::List { answer: Answer::of_netlink(errno) })?;
        Ok(monitor)
    }

    /// The interfaces as they are known: what all events lead to, including those that [`LinkMonitor::recv`] has still to tell.
    pub const fn interfaces(&self) -> &Interfaces {
        &self.interfaces
    }

    /// How often everything was listed again because the kernel had dropped messages.
    pub const fn resynchronisations(&self) -> u64 {
        self.resynchronisations
    }

    /// The next event; none when there is nothing more to tell now. Ask until it is none before waiting for the descriptor.
    ///
    /// # Errors
    /// The kernel failed to answer. The monitor stays usable and tries again at the next call.
    pub fn recv(&mut self) -> Result<Option<LinkEvent>, MonitorError> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Ok(Some(event));
            }
            match self.events.receive() {
                Ok(datagram) => {
                    let changes = messages(datagram).filter_map(|m| parse(m.kind, m.payload));
                    self.pending.extend(changes.filter_map(|change| self.interfaces.apply(change)));
                }
                // Go on reading: the kernel queues nothing more until its queue was found empty, and only then is a list complete.
                Err(Errno::ENOBUFS) => self.stale = true,
                Err(Errno::EAGAIN) if self.stale => self.resynchronise()?,
                Err(Errno::EAGAIN) => return Ok(None),
                Err(errno) => {
                    return Err(MonitorError::Receive { answer: Answer::of_netlink(errno) });
                }
            }
        }
    }

    fn resynchronise(&mut self) -> Result<(), MonitorError> {
        self.list().map_err(|errno| MonitorError::List { answer: Answer::of_netlink(errno) })?;
        self.stale = false;
        self.resynchronisations += 1;
        Ok(())
    }

    fn list(&mut self) -> Result<(), Errno> {
        let links = RouteNetlinkMessage::GetLink(LinkMessage::default());
        let addresses = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        let mut listed = self.requests.dump(&links, parse)?;
        listed.extend(self.requests.dump(&addresses, parse)?);
        self.pending.extend(self.interfaces.become_like(&Interfaces::listed(listed)));
        Ok(())
    }
}

impl AsFd for LinkMonitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }
}

/// Why links and addresses can't be watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MonitorError {
    /// No socket.
    #[error("open route netlink for links and addresses: {answer}")]
    Open {
        /// What the kernel answered.
        answer: Answer,
    },
    /// The links and addresses could not be listed.
    #[error("list links and addresses: {answer}")]
    List {
        /// What the kernel answered.
        answer: Answer,
    },
    /// The changes could not be heard.
    #[error("receive changes of links and addresses: {answer}")]
    Receive {
        /// What the kernel answered.
        answer: Answer,
    },
}
