//! The canonical order of destinations, and which of them have to move so that a list is in it.
//!
//! The kernel adds at the head of its list. Additions come in ascending order of address, so the canonical list is descending. A
//! destination can only move to the head; therefore the longest run of the smallest addresses that is already in order stays, and all greater ones
//! move, in ascending order.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use crate::model::{Entry, ServiceKey};

/// The addresses of services' destinations in the kernel's order, the newest first.
pub type Orders = BTreeMap<ServiceKey, Vec<SocketAddr>>;

/// Whether destinations in the kernel's order, the newest first, are in the order that [`super::plan`] gives a service that it
/// programs from nothing: two directors of which this is true map flows alike.
pub fn is_canonical(kernel_order: &[SocketAddr]) -> bool {
    kernel_order.is_sorted_by(|newer, older| newer > older)
}

/// The wanted destinations that are in the kernel and have to be taken out and put in again.
///
/// Those that are not in the kernel come to the head of the list when they are added: whatever is greater than the smallest of them
/// has to move behind it.
pub(super) fn to_move(wanted: &Entry, kernel_order: &[SocketAddr]) -> BTreeSet<SocketAddr> {
    let age: BTreeMap<&SocketAddr, usize> =
        kernel_order.iter().rev().enumerate().map(|(age, address)| (address, age)).collect();
    let mut last = None;
    let mut addresses = wanted.destinations.keys();
    // What stays: as long as each is in the kernel and newer than the one before it.
    let first_moved = addresses.find(|address| {
        let here = age.get(*address).copied();
        let stays = here.is_some() && here > last;
        last = here;
        !stays
    });
    first_moved
        .into_iter()
        .chain(addresses)
        .filter(|address| age.contains_key(*address))
        .copied()
        .collect()
}
