//! Who has been heard: what an operator wants to know of the other routers of this virtual router.

use std::net::IpAddr;

use holdfast_time::Instant;
use serde::Serialize;

use super::Advertisement;
use crate::types::{Interval, Priority};
use crate::wire::ChecksumForm;

/// Another router, as its last valid advertisement showed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SeenPeer {
    /// Its primary address.
    pub address: IpAddr,
    /// Its priority; 0 when it gave up.
    pub priority: Priority,
    /// Its interval.
    pub interval: Interval,
    /// The form of its checksum.
    pub checksum_form: ChecksumForm,
    /// When it was heard last.
    pub last: Instant,
    /// How many valid advertisements came from it.
    pub count: u64,
}

/// The routers that were heard, those heard first in front. Of more than [`Peers::MAX`] the one that has been silent for longest
/// is forgotten: who may send advertisements may make up as many sources as he likes.
#[derive(Clone, Debug, Default)]
pub(super) struct Peers {
    seen: Vec<SeenPeer>,
    /// The form of the last one's checksum.
    last_form: Option<ChecksumForm>,
}

impl Peers {
    /// How many are remembered.
    const MAX: usize = 16;

    /// Takes note of a valid advertisement.
    pub(super) fn hear(&mut self, now: Instant, heard: Advertisement) {
        let Advertisement { source: address, priority, interval, checksum_form } = heard;
        self.last_form = Some(checksum_form);
        let fresh = SeenPeer { address, priority, interval, checksum_form, last: now, count: 1 };
        if let Some(peer) = self.seen.iter_mut().find(|peer| peer.address == address) {
            *peer = SeenPeer { count: peer.count.saturating_add(1), ..fresh };
            return;
        }
        if self.seen.len() >= Self::MAX {
            let oldest = self.seen.iter().enumerate().min_by_key(|(_, peer)| peer.last);
            if let Some((place, _)) = oldest {
                self.seen.remove(place);
            }
        }
        self.seen.push(fresh);
    }

    /// All that are remembered.
    pub(super) fn seen(&self) -> &[SeenPeer] {
        &self.seen
    }

    /// The form of the checksum that was heard last, whoever sent it.
    pub(super) const fn last_form(&self) -> Option<ChecksumForm> {
        self.last_form
    }
}
