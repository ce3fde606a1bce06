//! A change of this host's addresses, routes or rules.

use std::fmt;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::RouteNetlinkMessage;
use nix::errno::Errno;

use crate::interface::Interface;
use crate::placed::Placed;
use crate::route::Route;
use crate::rule::Rule;

/// What is added or removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// An address on an interface.
    Address(Interface, Placed),
    /// A route, with the daemon's mark.
    Route(Route),
    /// A rule, with the daemon's mark.
    Rule(Rule),
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Put there. What is there already is left as it is.
    Add,
    /// Give the address the whole of its lifetime again; one that has gone comes back. For what was added with an end.
    Renew,
    /// Take away. What somebody else has in its place stays.
    Remove,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What to do.
    pub verb: Verb,
    /// With what.
    pub item: Item,
}

/// What became of a change that the kernel did not refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It is done.
    Done,
    /// It was so before.
    AlreadySo,
}

impl Change {
    /// Adds `item`.
    pub const fn add(item: Item) -> Self {
        Self { verb: Verb::Add, item }
    }

    /// Renews an address.
    pub const fn renew(item: Item) -> Self {
        Self { verb: Verb::Renew, item }
    }

    /// Removes `item`.
    pub const fn remove(item: Item) -> Self {
        Self { verb: Verb::Remove, item }
    }

    /// The request and its flags.
    pub(crate) fn request(&self) -> (RouteNetlinkMessage, u16) {
        let message = match (self.verb, &self.item) {
            (Verb::Add | Verb::Renew, Item::Address(on, placed)) => {
                RouteNetlinkMessage::NewAddress(placed.message(on.index))
            }
            (Verb::Remove, Item::Address(on, placed)) => {
                RouteNetlinkMessage::DelAddress(placed.message(on.index))
            }
            (Verb::Add | Verb::Renew, Item::Route(route)) => {
                RouteNetlinkMessage::NewRoute(route.message())
            }
            (Verb::Remove, Item::Route(route)) => {
                RouteNetlinkMessage::DelRoute(route.key.removal())
            }
            (Verb::Add | Verb::Renew, Item::Rule(rule)) => {
                RouteNetlinkMessage::NewRule(rule.message())
            }
            (Verb::Remove, Item::Rule(rule)) => RouteNetlinkMessage::DelRule(rule.message()),
        };
        let flags = match self.verb {
            Verb::Add => NLM_F_CREATE | NLM_F_EXCL,
            Verb::Renew => NLM_F_REPLACE,
            Verb::Remove => 0,
        };
        (message, flags)
    }

    /// What the kernel's answer means. A route that is in the way of one of ours is somebody else's: an error.
    pub(crate) const fn effect(&self, answer: Result<(), Errno>) -> Result<Effect, Errno> {
        match (self.verb, &self.item, answer) {
            (_, _, Ok(())) => Ok(Effect::Done),
            (Verb::Add, Item::Address(..) | Item::Rule(_), Err(Errno::EEXIST))
            | (Verb::Remove, _, Err(Errno::ENODEV | Errno::ENXIO))
            | (Verb::Remove, Item::Address(..), Err(Errno::EADDRNOTAVAIL))
            | (Verb::Remove, Item::Route(_), Err(Errno::ESRCH))
            | (Verb::Remove, Item::Rule(_), Err(Errno::ENOENT)) => Ok(Effect::AlreadySo),
            (_, _, Err(errno)) => Err(errno),
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.verb, &self.item) {
            (Verb::Add, Item::Address(on, placed)) => write!(f, "add {placed} to {on}"),
            (Verb::Renew, Item::Address(on, placed)) => write!(f, "renew {placed} on {on}"),
            (Verb::Renew, Item::Route(route)) => write!(f, "renew the route {}", route.key),
            (Verb::Renew, Item::Rule(rule)) => write!(f, "renew the rule {rule}"),
            (Verb::Remove, Item::Address(on, placed)) => write!(f, "remove {placed} from {on}"),
            (Verb::Add, Item::Route(route)) => write!(f, "add the route {}", route.key),
            (Verb::Remove, Item::Route(route)) => write!(f, "remove the route {}", route.key),
            (Verb::Add, Item::Rule(rule)) => write!(f, "add the rule {rule}"),
            (Verb::Remove, Item::Rule(rule)) => write!(f, "remove the rule {rule}"),
        }
    }
}
