//! Addresses that end with their daemon: the kernel gives each one a lifetime, which this process renews as long as it lives
//! ([`super::renewing`]). When the whole process tree was killed, or stands still, nobody does, and the kernel takes them off.

use std::sync::Arc;
use std::time::Duration;

use holdfast_net::{IfIndex, Inventory, Item};
use ipnet::IpNet;

use super::claim::Key;
use super::few::Few;
use super::renewing::{Renewal, Way};

/// Up to so many addresses live as long as is configured; of more, all live longer by as much as they are more, so that their renewal costs
/// no more than that of these.
const CROWD: usize = 128;

/// The lifetime of one instance's addresses.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lease {
    /// Whole seconds; none = for ever.
    seconds: Option<u32>,
}

impl Lease {
    /// Lets addresses live so long from now on, where a node has `crowd` of them in all; whether that is another time than before.
    pub(super) fn set(&mut self, lifetime: Option<Duration>, crowd: usize) -> bool {
        let stretch = u64::try_from(crowd.div_ceil(CROWD).max(1)).unwrap_or(u64::MAX);
        let seconds = lifetime.map(|lifetime| lifetime.as_secs().saturating_mul(stretch));
        let seconds = seconds.map(|seconds| u32::try_from(seconds).unwrap_or(u32::MAX - 1));
        std::mem::replace(&mut self.seconds, seconds) != seconds
    }

    /// What renews those of `items` that are there and are claimed.
    pub(super) fn renewal(
        &self,
        items: &Arc<Few<Key, Item>>,
        is_claimed: impl Fn(&Key) -> bool,
        host: &Inventory,
    ) -> Renewal {
        let there = |on: IfIndex, net: IpNet| {
            host.placed(net.addr(), on).iter().find(|placed| placed.net == net)
        };
        let way = |item: &Item| {
            let Item::Address(on, ours) = item else { return None };
            let left = there(on.index, ours.net)?.lifetime;
            self.concerns(ours.net, left).then(|| self.way(on.index, ours.net, host))
        };
        let ways = items.iter();
        let ways = ways.map(|(key, item)| way(item).filter(|_| is_claimed(key))).collect();
        Renewal { items: Arc::clone(items), ways, seconds: self.seconds }
    }

    fn way(&self, on: IfIndex, net: IpNet, host: &Inventory) -> Way {
        if self.seconds.is_some() && host.has_own_route(on, net) {
            Way::Routeless
        } else {
            Way::Plain
        }
    }

    /// `item` as it is given to the kernel: of the daemon's own addresses with the lifetime.
    pub(super) fn limit(&self, item: Item, host: &Inventory) -> Item {
        match item {
            Item::Address(on, mut placed) if placed.marked => {
                placed.lifetime = self.seconds;
                placed.routeless = self.way(on.index, placed.net, host) == Way::Routeless;
                Item::Address(on, placed)
            }
            Item::Address(..) | Item::Route(_) | Item::Rule(_) => item,
        }
    }

    /// Whether an address with this `left` of its lifetime can be renewed: one of IPv6 without an end is never given one (`holdfast_net`
    /// says why), and one without an end needs nothing where there shall be none.
    const fn concerns(&self, net: IpNet, left: Option<u32>) -> bool {
        match (net, left, self.seconds) {
            (_, Some(_), _) | (IpNet::V4(_), None, Some(_)) => true,
            (IpNet::V6(_), None, _) | (IpNet::V4(_), None, None) => false,
        }
    }
}

/// `item` as it is compared: a lifetime is nothing that two addresses are told apart by.
pub(super) fn endless(mut item: Item) -> Item {
    if let Item::Address(_, placed) = &mut item {
        (placed.lifetime, placed.routeless) = (None, false);
    }
    item
}

/// How many addresses `claims` have together.
pub(super) fn count<'a>(claims: impl Iterator<Item = &'a super::claim::Claim>) -> usize {
    claims.map(|claim| claim.addresses.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_lives_longer() {
        let mut lease = Lease::default();
        assert!(!lease.set(None, 1000) && lease.seconds.is_none());
        let four = Some(Duration::from_secs(4));
        assert!(lease.set(four, 128) && lease.seconds == Some(4));
        assert!(!lease.set(four, 1), "it is the same");
        assert!(lease.set(four, 1000) && lease.seconds == Some(32));
        assert!(lease.set(None, 1000));
    }

    #[test]
    fn no_end_is_given_to_an_ipv6_address_that_has_none() {
        let mut lease = Lease::default();
        let (v4, v6) = ("192.0.2.1/24".parse().unwrap(), "2001:db8::1/64".parse().unwrap());
        assert!(!lease.concerns(v4, None) && !lease.concerns(v6, None));
        assert!(lease.concerns(v4, Some(3)) && lease.concerns(v6, Some(3)));
        lease.set(Some(Duration::from_secs(4)), 1);
        assert!(
            lease.concerns(v4, None) && !lease.concerns(v6, None) && lease.concerns(v6, Some(3))
        );
    }
}
