//! Who told the daemon to do something, and why: kept with what it led to, and shown.

use std::fmt;

use holdfast_time::Instant;

/// Who gave a command, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// The user who gave it, as the caller names him; none when nobody knows.
    pub who: Option<String>,
    /// Why, in the operator's words; none when nothing was said. The caller sees to its length.
    pub reason: Option<String>,
}

/// An order that holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Who and why.
    pub order: Order,
    /// Since when.
    pub since: Instant,
}

impl Standing {
    /// An order that holds from `since` on.
    pub(crate) fn boxed(order: Order, since: Instant) -> Box<Self> {
        Box::new(Self { order, since })
    }
}

/// Who gives the daemon's own orders.
const OWN: &str = "holdfastd";

impl Order {
    /// One that the daemon gives itself.
    pub(crate) fn own(reason: &str) -> Self {
        Self { who: Some(OWN.to_owned()), reason: Some(reason.to_owned()) }
    }

    /// Whether it is one that the daemon gave itself.
    pub(crate) fn is_own(&self) -> bool {
        self.who.as_deref() == Some(OWN)
    }
}

/// ` by alice: kernel upgrade`; nothing where nothing is known.
impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(who) = &self.who {
            write!(f, " by {who}")?;
        }
        self.reason.as_ref().map_or(Ok(()), |reason| write!(f, ": {reason}"))
    }
}
