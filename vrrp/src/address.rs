//! The addresses of a virtual router, checked once at the door.

use std::net::IpAddr;

use thiserror::Error;

use crate::types::AddressFamily;
use crate::wire::Addresses;

/// The IPvX addresses of one virtual router in the order in which they are advertised: 1 to 255, of one family, no two the
/// same; of IPv6 the first is link-local (RFC 9568 §5.2.9 with erratum 8300).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressList {
    addresses: Vec<IpAddr>,
    /// The same addresses in ascending order, for the comparison with a received list.
    sorted: Vec<IpAddr>,
}

impl AddressList {
    /// The most that the count field of an advertisement can say. (A link's MTU of 1500 bytes holds 90 IPv6 addresses; what
    /// does not fit is refused by the socket, since advertisements are not fragmented.)
    pub const MAX: usize = u8::MAX as usize;

    /// The list of these `addresses`, in this order.
    ///
    /// # Errors
    /// When the list breaks one of the rules that the type promises; the first one broken is named.
    pub fn new(addresses: Vec<IpAddr>) -> Result<Self, InvalidAddresses> {
        let first = *addresses.first().ok_or(InvalidAddresses::Empty)?;
        if addresses.len() > Self::MAX {
            return Err(InvalidAddresses::TooMany { count: addresses.len() });
        }
        let family = AddressFamily::of(first);
        for &address in &addresses {
            if AddressFamily::of(address) != family {
                return Err(InvalidAddresses::MixedFamilies { first, other: address });
            }
            if address.is_unspecified() || address.is_multicast() {
                return Err(InvalidAddresses::NotUnicast { address });
            }
        }
        if !is_link_local_where_needed(first) {
            return Err(InvalidAddresses::FirstNotLinkLocal { first });
        }
        let mut sorted = addresses.clone();
        sorted.sort_unstable();
        if let Some(address) = sorted.windows(2).find_map(|pair| match pair {
            [a, b] if a == b => Some(*a),
            _ => None,
        }) {
            return Err(InvalidAddresses::Repeated { address });
        }
        Ok(Self { addresses, sorted })
    }

    /// The addresses in the order in which they are advertised.
    pub fn as_slice(&self) -> &[IpAddr] {
        &self.addresses
    }

    /// Their family.
    pub fn family(&self) -> AddressFamily {
        // A list is never empty; the fallback only satisfies the compiler.
        self.addresses.first().map_or(AddressFamily::Ipv4, |&first| AddressFamily::of(first))
    }

    /// Whether `address` is one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.sorted.binary_search(&address).is_ok()
    }

    /// Whether `advertised` has the same addresses in any order. Allocates nothing: the received list may be hostile.
    pub fn matches(&self, advertised: Addresses<'_>) -> bool {
        let mut seen = [false; Self::MAX];
        let mut count = 0_usize;
        for address in advertised {
            let Ok(index) = self.sorted.binary_search(&address) else { return false };
            match seen.get_mut(index) {
                Some(seen) if !*seen => *seen = true,
                // An address said twice takes the place of another.
                Some(_) | None => return false,
            }
            count += 1;
        }
        count == self.addresses.len()
    }
}

/// RFC 9568 §5.2.9, erratum 8300: of IPv6 the first address MUST be link-local; of IPv4 any will do.
pub(crate) fn is_link_local_where_needed(first: IpAddr) -> bool {
    match first {
        IpAddr::V4(_) => true,
        IpAddr::V6(first) => first.is_unicast_link_local(),
    }
}

/// Why a list of addresses can't be a virtual router's.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidAddresses {
    /// There is none.
    #[error("a virtual router needs at least one address")]
    Empty,
    /// More than an advertisement can count.
    #[error("an advertisement holds at most {max} addresses, not {count}", max = AddressList::MAX)]
    TooMany {
        /// How many there are.
        count: usize,
    },
    /// IPv4 and IPv6 together: they are two virtual routers.
    #[error("{other} is not of the same family as {first}: make it another virtual router")]
    MixedFamilies {
        /// The list's first address.
        first: IpAddr,
        /// The first one of the other family.
        other: IpAddr,
    },
    /// Unspecified or multicast.
    #[error("{address} is not a unicast address")]
    NotUnicast {
        /// The address.
        address: IpAddr,
    },
    /// IPv6 and the first is not in fe80::/10.
    #[error("the first IPv6 address must be link-local (fe80::/10), not {first}")]
    FirstNotLinkLocal {
        /// The list's first address.
        first: IpAddr,
    },
    /// The same address twice.
    #[error("{address} is listed twice")]
    Repeated {
        /// The address.
        address: IpAddr,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(addresses: &[&str]) -> Result<AddressList, InvalidAddresses> {
        AddressList::new(addresses.iter().map(|a| a.parse().unwrap()).collect())
    }

    #[test]
    fn every_rule_of_the_list_is_kept() {
        assert_eq!(list(&[]), Err(InvalidAddresses::Empty));
        let many = (0..=255).map(|n| IpAddr::from([10, 0, 1, n])).collect();
        assert_eq!(AddressList::new(many), Err(InvalidAddresses::TooMany { count: 256 }));
        assert!(matches!(
            list(&["192.0.2.1", "2001:db8::1"]),
            Err(InvalidAddresses::MixedFamilies { .. })
        ));
        assert!(matches!(list(&["0.0.0.0"]), Err(InvalidAddresses::NotUnicast { .. })));
        assert!(matches!(list(&["fe80::1", "ff02::1"]), Err(InvalidAddresses::NotUnicast { .. })));
        assert!(matches!(list(&["2001:db8::1"]), Err(InvalidAddresses::FirstNotLinkLocal { .. })));
        assert!(matches!(
            list(&["192.0.2.1", "192.0.2.2", "192.0.2.1"]),
            Err(InvalidAddresses::Repeated { .. })
        ));
        let good = list(&["fe80::1", "2001:db8::1"]).unwrap();
        assert_eq!(good.family(), AddressFamily::Ipv6);
        assert!(good.contains("2001:db8::1".parse().unwrap()));
        assert!(!good.contains("2001:db8::2".parse().unwrap()));
    }

    #[test]
    fn a_received_list_matches_in_any_order_and_not_with_a_repetition() {
        let ours = list(&["192.0.2.1", "192.0.2.2"]).unwrap();
        let matches = |bytes: &[u8]| ours.matches(Addresses::of_ipv4(bytes));
        assert!(matches(&[192, 0, 2, 1, 192, 0, 2, 2]));
        assert!(matches(&[192, 0, 2, 2, 192, 0, 2, 1]));
        assert!(!matches(&[192, 0, 2, 1, 192, 0, 2, 1]));
        assert!(!matches(&[192, 0, 2, 1]));
        assert!(!matches(&[192, 0, 2, 1, 192, 0, 2, 2, 192, 0, 2, 3]));
        assert!(!matches(&[]));
    }
}
