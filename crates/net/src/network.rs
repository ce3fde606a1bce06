//! This host's addresses, routes and rules: follows them as they change, and changes them.
//!
//! The calls wait for the kernel, which may take milliseconds for hundreds of addresses: they belong in a thread of their own
//! and not in the one that sends advertisements.
//!
//! What is there is known from one listing and the kernel's messages since ([`Inventory`]), so that nothing has to be listed to put back
//! what somebody has taken. The kernel queues the message of a change before it answers who asked for it: whoever reads all
//! messages before comparing sees its own changes too. When messages were lost (ENOBUFS), everything is listed again.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::LinkMessage;
use netlink_packet_route::route::RouteMessage;
use netlink_packet_route::rule::RuleMessage;
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::errno::Errno;

use crate::answer::Answer;
use crate::change::{Change, Effect, Item, Verb};
use crate::inventory::{Device, Inventory, Loss};
use crate::netlink::{RouteSocket, messages};

/// `RTMGRP_…` of linux/rtnetlink.h: links and addresses of both families; routes; rules.
const LINKS_AND_ADDRESSES: u32 = 0x1 | 0x10 | 0x100;
const ROUTES: u32 = 0x40 | 0x400;
const RULES: u32 = 0x80 | 0x4_0000;
/// Room for some thousand messages; beyond it they are lost and everything is listed again.
const RECEIVE_BUFFER: usize = 4 << 20;
/// So many datagrams are read at a time; the rest waits for the next call.
const DATAGRAMS_MAX: usize = 4096;
/// Beyond so many lost addresses they are not told one by one any more.
const LOSSES_MAX: usize = 4096;

/// What is followed besides links and addresses; without, it is known as it was at the start, until everything is listed again. A host with hundreds of thousands of routes need not be read for nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watched {
    /// The daemon's routes.
    pub routes: bool,
    /// The daemon's rules.
    pub rules: bool,
}

/// What has gone since the last time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Addresses that have gone from an interface.
    pub addresses: BTreeSet<IpAddr>,
    /// Interfaces came, changed or went; the daemon's routes or rules may have gone.
    pub others: bool,
    /// Nobody knows: messages were lost, and everything was listed again.
    pub everything: bool,
}

/// The network of the namespace that it was opened in.
#[derive(Debug)]
pub struct Network {
    events: RouteSocket,
    requests: RouteSocket,
    inventory: Inventory,
    watched: Watched,
    /// Messages were lost since the last listing.
    stale: bool,
    /// IPv4 routes go along with links and addresses, and the kernel does not tell.
    routes_in_doubt: bool,
}

impl Network {
    /// Opens the sockets and lists what there is. CAP_NET_ADMIN is asked for by the changes, not here.
    ///
    /// # Errors
    /// The kernel answers no route netlink, or the process has no file descriptor left.
    pub fn open(watched: Watched) -> Result<Self, NetworkError> {
        let opened = |errno| NetworkError::Open { answer: Answer::of_netlink(errno) };
        let groups = LINKS_AND_ADDRESSES
            | if watched.routes { ROUTES } else { 0 }
            | if watched.rules { RULES } else { 0 };
        let mut network = Self {
            // Heard first and listed second, so that no change falls in between.
            events: RouteSocket::for_events(groups, RECEIVE_BUFFER).map_err(opened)?,
            requests: RouteSocket::for_requests().map_err(opened)?,
            inventory: Inventory::default(),
            watched,
            stale: false,
            routes_in_doubt: false,
        };
        network.list()?;
        // What is not followed is known from the start all the same: an earlier run may have left it.
        if !watched.rules {
            network.list_rules()?;
        }
        if !watched.routes {
            network.list_routes()?;
        }
        Ok(network)
    }

    /// What there is, as far as messages have been read.
    pub const fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    /// Takes note of an interface that was just made or changed by another socket, of which the message was not read yet.
    pub fn note(&mut self, device: Device) {
        self.inventory.add_device(device);
    }

    /// Reads the kernel's messages and says what has gone.
    ///
    /// # Errors
    /// The kernel failed to answer. The next call tries again.
    pub fn follow(&mut self) -> Result<Losses, NetworkError> {
        let mut losses = Losses::default();
        // A list is newer than all messages only when none waits.
        let is_empty = self.read(&mut losses)?;
        if self.stale && is_empty {
            self.list()?;
            losses.everything = true;
        }
        Ok(losses)
    }

    /// Lists the daemon's routes again if some may have gone without a word; whether it did. It takes its time on a host with many
    /// routes, so that what was heard of is better dealt with before.
    ///
    /// # Errors
    /// The kernel failed to answer. The next call tries again.
    pub fn recheck(&mut self) -> Result<bool, NetworkError> {
        let is_due = self.routes_in_doubt && self.watched.routes;
        if is_due {
            self.list_routes()?;
        }
        Ok(is_due)
    }

    /// Lists everything again.
    ///
    /// # Errors
    /// The kernel failed to answer.
    pub fn refresh(&mut self) -> Result<(), NetworkError> {
        self.stale = true;
        self.follow().map(drop)
    }

    /// Carries out `changes` in their order and says for each how it went. One that fails keeps none of the others back.
    pub fn change(&mut self, changes: &[Change]) -> Vec<Result<Effect, NetworkError>> {
        let Self { inventory, requests, .. } = self;
        let told = carry_out(requests, changes).into_iter().zip(changes).map(|(told, change)| {
            let effect = told?;
            match (change.verb, effect) {
                // IPv6: the message comes later, from a work queue.
                (Verb::Add | Verb::Renew, Effect::Done) => inventory.add(&change.item),
                // It may be there in another form, of which the kernel has told.
                (Verb::Add | Verb::Renew, Effect::AlreadySo) => {}
                (Verb::Remove, Effect::Done | Effect::AlreadySo) => inventory.remove(&change.item),
            }
            Ok(effect)
        });
        told.collect()
    }

    /// Reads what waits, up to [`DATAGRAMS_MAX`]; whether that was all.
    fn read(&mut self, losses: &mut Losses) -> Result<bool, NetworkError> {
        for _ in 0..DATAGRAMS_MAX {
            match self.events.receive() {
                Ok(datagram) => {
                    let inventory = &mut self.inventory;
                    let told = messages(datagram)
                        .filter_map(|m| inventory.apply(m.kind, m.flags, m.payload));
                    for loss in told {
                        self.routes_in_doubt |= matches!(loss, Loss::Address(_) | Loss::Link);
                        losses.count(loss);
                    }
                }
                // Go on reading: the kernel queues nothing more until its queue was found empty, and only then is a list complete.
                Err(Errno::ENOBUFS) => self.stale = true,
                Err(Errno::EAGAIN) => return Ok(true),
                Err(errno) => {
                    return Err(NetworkError::Follow { answer: Answer::of_netlink(errno) });
                }
            }
        }
        Ok(false)
    }

    fn list(&mut self) -> Result<(), NetworkError> {
        let mut inventory = Inventory::default();
        let links = RouteNetlinkMessage::GetLink(LinkMessage::default());
        let addresses = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        fill(&mut inventory, &mut self.requests, "links", &links)?;
        fill(&mut inventory, &mut self.requests, "addresses", &addresses)?;
        self.inventory = inventory;
        self.stale = false;
        if self.watched.rules {
            self.list_rules()?;
        }
        if self.watched.routes { self.list_routes() } else { Ok(()) }
    }

    fn list_rules(&mut self) -> Result<(), NetworkError> {
        let rules = RouteNetlinkMessage::GetRule(RuleMessage::default());
        fill(&mut self.inventory, &mut self.requests, "rules", &rules)
    }

    fn list_routes(&mut self) -> Result<(), NetworkError> {
        self.inventory.forget_routes();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut request = RouteMessage::default();
            request.header.address_family = family;
            let request = RouteNetlinkMessage::GetRoute(request);
            fill(&mut self.inventory, &mut self.requests, "routes", &request)?;
        }
        self.routes_in_doubt = false;
        Ok(())
    }
}

/// A socket of its own for changes, which waits for nothing that somebody else asks of the kernel. It keeps no account of what is there.
#[derive(Debug)]
pub struct Changes(RouteSocket);

impl Changes {
    /// Opens the socket.
    ///
    /// # Errors
    /// The kernel answers no route netlink, or the process has no file descriptor left.
    pub fn open() -> Result<Self, NetworkError> {
        let opened = |errno| NetworkError::Open { answer: Answer::of_netlink(errno) };
        RouteSocket::for_requests().map(Self).map_err(opened)
    }

    /// Carries out `changes` as [`Network::change`] does.
    pub fn change(&mut self, changes: &[Change]) -> Vec<Result<Effect, NetworkError>> {
        carry_out(&mut self.0, changes)
    }
}

fn carry_out(requests: &mut RouteSocket, changes: &[Change]) -> Vec<Result<Effect, NetworkError>> {
    let answers = requests.change(changes.iter().map(Change::request));
    let told = answers.into_iter().zip(changes);
    told.map(|(answer, change)| change.effect(answer).map_err(|errno| refusal(change, errno)))
        .collect()
}

/// Takes in what the kernel lists.
fn fill(
    inventory: &mut Inventory,
    socket: &mut RouteSocket,
    what: &'static str,
    request: &RouteNetlinkMessage,
) -> Result<(), NetworkError> {
    let read =
        |kind, payload: &[u8]| Inventory::concerns(kind, payload).then(|| (kind, payload.to_vec()));
    let listed = socket
        .dump(request, read)
        .map_err(|errno| NetworkError::List { what, answer: Answer::of_netlink(errno) })?;
    for (kind, payload) in listed {
        inventory.apply(kind, 0, &payload);
    }
    Ok(())
}

fn refusal(change: &Change, errno: Errno) -> NetworkError {
    let answer = match (&change.item, change.verb, errno) {
        (Item::Route(_), Verb::Add, Errno::EEXIST) => Answer::advising(
            errno,
            "another route has the same destination, table and metric; it is left alone",
        ),
        (Item::Route(_), Verb::Add, Errno::ENETUNREACH | Errno::EHOSTUNREACH) => {
            Answer::advising(errno, "the next hop is on no link that is up")
        }
        _ => Answer::of_netlink(errno),
    };
    NetworkError::Change { change: Box::new(change.clone()), answer }
}

impl Losses {
    fn count(&mut self, loss: Loss) {
        match loss {
            Loss::Address(_) if self.addresses.len() >= LOSSES_MAX => self.everything = true,
            Loss::Address(address) => drop(self.addresses.insert(address)),
            Loss::Link | Loss::Route | Loss::Rule => self.others = true,
        }
    }
}

impl AsFd for Network {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }
}

/// Why the network was not followed or changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// No socket.
    #[error("open route netlink for addresses: {answer}")]
    Open {
        /// What the kernel answered.
        answer: Answer,
    },
    /// Something was not listed.
    #[error("list the {what} of this host: {answer}")]
    List {
        /// What.
        what: &'static str,
        /// What the kernel answered.
        answer: Answer,
    },
    /// The changes could not be heard.
    #[error("receive changes of addresses: {answer}")]
    Follow {
        /// What the kernel answered.
        answer: Answer,
    },
    /// A change was refused.
    #[error("{change}: {answer}")]
    Change {
        /// The change.
        change: Box<Change>,
        /// What the kernel answered.
        answer: Answer,
    },
}

impl NetworkError {
    /// What the kernel answered.
    pub const fn answer(&self) -> Answer {
        match self {
            Self::Open { answer }
            | Self::List { answer, .. }
            | Self::Follow { answer }
            | Self::Change { answer, .. } => *answer,
        }
    }
}
