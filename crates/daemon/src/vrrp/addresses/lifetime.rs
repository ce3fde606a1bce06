//! Addresses that end with their daemon: the kernel gives each one a lifetime, which this process renews as long as it lives. When the
//! whole process tree was killed, or stands still, nobody does, and the kernel takes them off.

use std::time::Duration;

use holdfast_net::{Inventory, Item};
use holdfast_time::Instant;
use ipnet::IpNet;

/// An address is renewed so often in its lifetime: most of that is left to a successor, whenever the worker dies.
const RENEWALS: u32 = 4;

/// Up to so many addresses live as long as is configured; of more, all live longer by as much as they are more, so that their renewal costs
/// no more than that of these.
const CROWD: usize = 128;

/// What is due so soon is renewed along with what is due: the kernel is asked once for all of them.
pub(super) const TOGETHER: Duration = Duration::from_millis(100);

/// The lifetime of one instance's addresses, and when they are renewed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lease {
    /// Whole seconds; none = for ever.
    seconds: Option<u32>,
    renew_at: Option<Instant>,
}

impl Lease {
    /// Lets addresses live so long from now on, where a node has `crowd` of them in all. Those that are `held` follow at once.
    pub(super) fn set(
        &mut self,
        now: Instant,
        lifetime: Option<Duration>,
        crowd: usize,
        held: bool,
    ) {
        let stretch = u64::try_from(crowd.div_ceil(CROWD).max(1)).unwrap_or(u64::MAX);
        let seconds = lifetime.map(|lifetime| lifetime.as_secs().saturating_mul(stretch));
        let seconds = seconds.map(|seconds| u32::try_from(seconds).unwrap_or(u32::MAX - 1));
        if seconds != self.seconds {
            self.seconds = seconds;
            self.renew_at = held.then_some(now);
        }
    }

    /// Addresses are there: they are renewed in time, those of a predecessor (`inherited`) at once.
    pub(super) fn begin(&mut self, now: Instant, inherited: bool) {
        if inherited {
            self.renew_at = Some(now);
        } else if self.renew_at.is_none() {
            self.renew_at = self.next(now);
        }
    }

    /// No address is there any more.
    pub(super) const fn end(&mut self) {
        self.renew_at = None;
    }

    /// When addresses are to be renewed.
    pub(super) const fn at(&self) -> Option<Instant> {
        self.renew_at
    }

    /// Takes note that they are renewed now.
    pub(super) fn renewed(&mut self, now: Instant) {
        self.renew_at = self.next(now);
    }

    fn next(&self, now: Instant) -> Option<Instant> {
        let seconds = self.seconds?;
        Some(now + Duration::from_secs(seconds.into()) / RENEWALS)
    }

    /// `item` as it is given to the kernel: of the daemon's own addresses with the lifetime.
    pub(super) fn limit(&self, item: Item, host: &Inventory) -> Item {
        match item {
            Item::Address(on, mut placed) if placed.marked => {
                placed.lifetime = self.seconds;
                placed.routeless =
                    self.seconds.is_some() && host.has_own_route(on.index, placed.net);
                Item::Address(on, placed)
            }
            Item::Address(..) | Item::Route(_) | Item::Rule(_) => item,
        }
    }

    /// Whether an address with this `left` of its lifetime can be renewed: one of IPv6 without an end is never given one (`holdfast_net`
    /// says why), and one without an end needs nothing where there shall be none.
    pub(super) const fn concerns(&self, net: IpNet, left: Option<u32>) -> bool {
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

    fn at(seconds: u64) -> Instant {
        Instant::from_start(Duration::from_secs(seconds))
    }

    #[test]
    fn a_lease_is_renewed_four_times_and_by_a_crowd_less_often() {
        let mut lease = Lease::default();
        lease.begin(at(0), false);
        assert_eq!(lease.at(), None, "without an end there is nothing to renew");
        lease.set(at(1), Some(Duration::from_secs(4)), 1, true);
        assert_eq!(lease.at(), Some(at(1)));
        lease.renewed(at(1));
        assert_eq!(lease.at(), Some(at(2)));
        lease.set(at(2), Some(Duration::from_secs(4)), 1000, true);
        lease.renewed(at(2));
        assert_eq!(lease.at(), Some(at(10)), "32 seconds");
        lease.set(at(3), None, 1000, true);
        assert_eq!(lease.at(), Some(at(3)), "what is there is to stay for ever from now on");
        lease.renewed(at(3));
        assert_eq!(lease.at(), None);
    }

    #[test]
    fn no_end_is_given_to_an_ipv6_address_that_has_none() {
        let mut lease = Lease::default();
        let (v4, v6) = ("192.0.2.1/24".parse().unwrap(), "2001:db8::1/64".parse().unwrap());
        assert!(!lease.concerns(v4, None) && !lease.concerns(v6, None));
        assert!(lease.concerns(v4, Some(3)) && lease.concerns(v6, Some(3)));
        lease.set(at(0), Some(Duration::from_secs(4)), 1, true);
        assert!(
            lease.concerns(v4, None) && !lease.concerns(v6, None) && lease.concerns(v6, Some(3))
        );
    }
}
