//! Hears from the kernel which links and addresses come, go and change.
//!
//! The kernel's messages are folded into [`Interfaces`], and an event is told only for what is different then: the first
//! reading, a repeated message and a resynchronisation all look the same to the caller. When the kernel had to drop messages
//! (ENOBUFS), everything is listed again once the queue is empty, and the differences are told.
//!
//! It never holds its caller up after [`LinkMonitor::open`]: messages and the parts of a listing are read in turns of
//! [`DATAGRAMS_PER_TURN`], between which the caller does something else.

mod listing;

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;

use self::listing::{Listing, Progress};
use crate::answer::Answer;
use crate::link_state::{Interfaces, LinkEvent, parse};
use crate::netlink::{RouteSocket, messages};

/// `RTMGRP_LINK`, `RTMGRP_IPV4_IFADDR` and `RTMGRP_IPV6_IFADDR` of linux/rtnetlink.h.
const GROUPS: u32 = 0x1 | 0x10 | 0x100;
/// Room for some thousand messages, a host's whole start; beyond it they are lost and everything is listed again.
const RECEIVE_BUFFER: usize = 4 << 20;
/// So many datagrams are read before [`LinkMonitor::recv`] says that there is nothing more for now: a flood of messages, or a list of
/// ten thousand interfaces, takes several turns of the caller's.
const DATAGRAMS_PER_TURN: usize = 16;

/// Watches the links and addresses of the network namespace that it was opened in.
#[derive(Debug)]
pub struct LinkMonitor {
    events: RouteSocket,
    requests: RouteSocket,
    interfaces: Interfaces,
    /// What was read and not yet told: the differences of one datagram (64 KiB) or of one listing.
    pending: VecDeque<LinkEvent>,
    /// Messages were lost, and no listing was begun since.
    stale: bool,
    listing: Option<Listing>,
    /// So many datagrams are read yet in this turn.
    left: usize,
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
        let listed = |errno| MonitorError::List { answer: Answer::of_netlink(errno) };
        // Heard first and listed second, so that no change falls in between.
        let events = RouteSocket::for_events(GROUPS, bytes).map_err(opened)?;
        let mut requests = RouteSocket::for_requests().map_err(opened)?;
        let target = listing::all(&mut requests).map_err(listed)?;
        let mut interfaces = Interfaces::default();
        Ok(Self {
            events,
            requests,
            pending: interfaces.become_like(&target),
            interfaces,
            stale: false,
            listing: None,
            left: DATAGRAMS_PER_TURN,
            resynchronisations: 0,
        })
    }

    /// The interfaces as they are known: what all events lead to, including those that [`LinkMonitor::recv`] has still to tell.
    pub const fn interfaces(&self) -> &Interfaces {
        &self.interfaces
    }

    /// How often everything was listed again because the kernel had dropped messages.
    pub const fn resynchronisations(&self) -> u64 {
        self.resynchronisations
    }

    /// The next event; none when there is nothing more to tell in this turn. Ask until it is none before waiting for the descriptors.
    ///
    /// # Errors
    /// The kernel failed to answer, or nothing stays as it is for long enough. The monitor stays usable and tries again at the next
    /// call, which is best made a little later.
    pub fn recv(&mut self) -> Result<Option<LinkEvent>, MonitorError> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Ok(Some(event));
            }
            let more = if self.left == 0 { Ok(false) } else { self.read() };
            match more {
                Ok(true) => self.left -= 1,
                // What was not read is found at the next turn, for the descriptors are readable still.
                Ok(false) => {
                    self.left = DATAGRAMS_PER_TURN;
                    return Ok(None);
                }
                Err(error) => {
                    self.left = DATAGRAMS_PER_TURN;
                    return Err(error);
                }
            }
        }
    }

    /// What becomes readable when there is something for [`LinkMonitor::recv`]. They change: ask before each wait.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        std::iter::once(self.events.as_fd())
            .chain(self.listing.as_ref().map(|_| self.requests.as_fd()))
    }

    /// Reads one datagram, of messages first; false when there is none now.
    fn read(&mut self) -> Result<bool, MonitorError> {
        match self.events.receive() {
            Ok(datagram) => {
                for change in messages(datagram).filter_map(|m| parse(m.kind, m.payload)) {
                    if let Some(listing) = &mut self.listing {
                        listing.hear(&change);
                    }
                    self.pending.extend(self.interfaces.apply(change));
                }
                Ok(true)
            }
            // Go on reading: the kernel queues nothing more until its queue was found empty, and only then is a list complete.
            Err(Errno::ENOBUFS) => {
                self.stale = true;
                self.listing.iter_mut().for_each(Listing::give_up);
                Ok(true)
            }
            Err(Errno::EAGAIN) => self.list_on().inspect_err(|_| self.stale = true),
            Err(errno) => Err(MonitorError::Receive { answer: Answer::of_netlink(errno) }),
        }
    }

    /// Begins the listing that is due, or reads on in the one under way; false when there is nothing to read now.
    fn list_on(&mut self) -> Result<bool, MonitorError> {
        let Self { requests, listing, stale, .. } = self;
        let refused = |errno| MonitorError::List { answer: Answer::of_netlink(errno) };
        let under_way = match listing {
            Some(listing) => listing,
            None if !*stale => return Ok(false),
            None => {
                let begun = Listing::begin(requests).map_err(refused)?;
                *stale = false;
                listing.insert(begun)
            }
        };
        match under_way.read(requests).map_err(refused)? {
            Progress::Waits => Ok(false),
            Progress::Read => Ok(true),
            Progress::Vain => {
                *listing = None;
                // Where messages were lost once more it is begun again; where nothing stays as it is, later.
                if *stale { Ok(true) } else { Err(MonitorError::Overtaken) }
            }
            Progress::Complete(target) => {
                *listing = None;
                self.pending.extend(self.interfaces.become_like(&target));
                self.resynchronisations += 1;
                Ok(true)
            }
        }
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
    /// So much changes that no list was complete.
    #[error("list links and addresses: they change faster than they can be listed")]
    Overtaken,
    /// The changes could not be heard.
    #[error("receive changes of links and addresses: {answer}")]
    Receive {
        /// What the kernel answered.
        answer: Answer,
    },
}
