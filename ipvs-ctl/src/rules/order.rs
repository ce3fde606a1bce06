//! The order of ipvsadm's listings.
//!
//! ipvsadm compares by the sign of a difference of 32 bits, so that addresses more than half the address space apart change places:
//! 192.0.2.1 comes before 10.0.0.1. Such an order is none, and what comes out depends on how it is sorted: here as the C library
//! does up to glibc 2.36, by merging halves.

use super::kernel::{KernelDestination, KernelService};

/// Whether the difference says that `one` belongs behind `other`.
type Difference = i32;

/// Sorts services.
pub(super) fn sort_services(services: Vec<KernelService>) -> Vec<KernelService> {
    merge_sort(services, &|one: &KernelService, other: &KernelService| {
        first_of([
            difference(one.mark, other.mark),
            i32::from(one.family).wrapping_sub(i32::from(other.family)),
            i32::from(one.protocol).wrapping_sub(i32::from(other.protocol)),
            addresses(one.is_ipv6(), &one.address, &other.address),
            i32::from(one.port).wrapping_sub(i32::from(other.port)),
        ])
    })
}

/// Sorts destinations.
pub(super) fn sort_destinations(destinations: Vec<KernelDestination>) -> Vec<KernelDestination> {
    merge_sort(destinations, &|one: &KernelDestination, other: &KernelDestination| {
        first_of([
            addresses(one.is_ipv6(), &one.address, &other.address),
            i32::from(one.port).wrapping_sub(i32::from(other.port)),
        ])
    })
}

fn first_of<const N: usize>(differences: [Difference; N]) -> Difference {
    differences.into_iter().find(|difference| *difference != 0).unwrap_or(0)
}

const fn difference(one: u32, other: u32) -> Difference {
    one.wrapping_sub(other).cast_signed()
}

fn addresses(ipv6: bool, one: &[u8; 16], other: &[u8; 16]) -> Difference {
    let words = if ipv6 { 4 } else { 1 };
    let (one, _) = one.as_chunks::<4>();
    let (other, _) = other.as_chunks::<4>();
    let pairs = one.iter().zip(other).take(words);
    pairs
        .map(|(one, other)| difference(u32::from_be_bytes(*one), u32::from_be_bytes(*other)))
        .find(|difference| *difference != 0)
        .unwrap_or(0)
}

fn merge_sort<T>(mut items: Vec<T>, compare: &impl Fn(&T, &T) -> Difference) -> Vec<T> {
    if items.len() <= 1 {
        return items;
    }
    let right = items.split_off(items.len() / 2);
    let left = merge_sort(items, compare);
    let right = merge_sort(right, compare);
    let mut sorted = Vec::with_capacity(left.len() + right.len());
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    while let (Some(one), Some(other)) = (left.peek(), right.peek()) {
        let next = if compare(one, other) <= 0 { left.next() } else { right.next() };
        sorted.extend(next);
    }
    sorted.extend(left);
    sorted.extend(right);
    sorted
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn at(address: &str, port: u16) -> KernelDestination {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&address.parse::<Ipv4Addr>().unwrap().octets());
        KernelDestination { family: 2, address: bytes, port, ..KernelDestination::default() }
    }

    fn sorted(list: Vec<KernelDestination>) -> Vec<String> {
        sort_destinations(list).iter().map(|one| format!("{}:{}", one.ip(), one.port)).collect()
    }

    #[test]
    fn near_addresses_stand_in_order() {
        let list =
            vec![at("10.0.0.3", 80), at("10.0.0.1", 81), at("10.0.0.2", 80), at("10.0.0.1", 80)];
        assert_eq!(sorted(list), ["10.0.0.1:80", "10.0.0.1:81", "10.0.0.2:80", "10.0.0.3:80"]);
    }

    #[test]
    fn addresses_far_apart_change_places() {
        let list = vec![at("10.0.0.1", 80), at("192.0.2.1", 80)];
        assert_eq!(sorted(list), ["192.0.2.1:80", "10.0.0.1:80"]);
    }
}
