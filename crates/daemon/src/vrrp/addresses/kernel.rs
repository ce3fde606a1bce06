//! The kernel as the address thread uses it: route netlink for addresses, routes and rules, packet sockets for announcements.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::Display;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::path::Path;

use holdfast_config::Name;
use holdfast_net::{
    Announcer, Change, Effect, IfIndex, Interface, Inventory, Losses, MacAddress, Network,
    NetworkError, Waker, Watched, wait_until,
};
use holdfast_time::Instant;

use super::acceptance::Acceptance;
use super::claim::Claim;
use super::virtual_mac::{SeatError, Seats};

/// What stands in the way of an instance's addresses.
#[derive(Debug, Default)]
pub(super) struct Hindrances {
    /// What is not as it should be, though the addresses can be there.
    pub(super) problems: Vec<String>,
    /// Why the interface of the virtual MAC address is not there: the addresses have no place.
    pub(super) unseated: Option<String>,
}

/// What the address thread asks of the kernel; in tests another one.
pub(super) trait Kernel {
    /// Why the kernel did not do it.
    type Error: Display;

    /// What there is, as far as it was heard.
    fn inventory(&self) -> &Inventory;

    /// Hears of what has changed, and says what has gone.
    fn follow(&mut self) -> Result<Losses, Self::Error>;

    /// Looks for what may have gone without a word; whether it did.
    fn recheck(&mut self) -> Result<bool, Self::Error> {
        Ok(false)
    }

    /// Lists everything again.
    fn refresh(&mut self) -> Result<(), Self::Error>;

    /// Carries out `changes` in their order, and says of each how it went.
    fn change(&mut self, changes: &[Change]) -> Vec<Result<Effect, Self::Error>>;

    /// Announces `address` once at `mac`.
    ///
    /// # Errors
    /// It was not sent, and why.
    fn announce(&mut self, on: &Interface, mac: MacAddress, address: IpAddr) -> Result<(), String>;

    /// Does what comes before everything else.
    fn begin(&mut self, _now: Instant) {}

    /// Makes what all instances share fit to what they claim from now on: what is followed, the firewall's table, the interfaces of virtual
    /// MAC addresses. Whether what is there has to be compared anew for all of them.
    fn reclaim(&mut self, _claims: &[&Claim]) -> bool {
        false
    }

    /// Makes ready what an instance's addresses need, when it is on the interface `below` and `held` or not: the interface of its
    /// virtual MAC address, and what keeps packets from being accepted.
    fn prepare(
        &mut self,
        _now: Instant,
        _claim: &Claim,
        _below: Option<&Interface>,
        _held: bool,
    ) -> Hindrances {
        Hindrances::default()
    }

    /// Silences the interface of an instance's virtual MAC address, now that its addresses have gone. The answer is what stands in the way.
    fn rest(&mut self, _claim: &Claim) -> Vec<String> {
        Vec::new()
    }

    /// Sleeps until there is something to hear, `waker` is woken or `until` has come.
    fn wait(&self, waker: &Waker, until: Instant);
}

/// An error with what caused it, in one sentence.
pub(super) fn told(error: &dyn Error) -> String {
    let causes = std::iter::successors(Some(error), |error| (*error).source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Why the kernel can't be used.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) enum HostError {
    /// No netlink socket.
    Network(#[from] NetworkError),
    /// Virtual MAC addresses can't be had.
    Seats(#[from] SeatError),
}

/// The kernel of this host.
#[derive(Debug)]
pub(super) struct Host {
    network: Network,
    /// What the network shall follow, and what it does; they differ only after a refusal.
    to_watch: Watched,
    watched: Watched,
    /// One for each interface that addresses were announced on; to close one takes the kernel milliseconds.
    announcers: BTreeMap<IfIndex, Announcer>,
    seats: Seats,
    acceptance: Acceptance,
}

impl Host {
    /// Opens the sockets and lists what there is, without what an earlier run has left of virtual MAC addresses. `state` is the
    /// directory of what outlives the daemon. The virtual MAC addresses of `heirs` stay.
    ///
    /// # Errors
    /// No netlink socket can be had, or what sysctls were can't be read.
    pub(super) fn open(
        claims: &[Claim],
        heirs: &BTreeSet<Name>,
        state: &Path,
    ) -> Result<Self, HostError> {
        let watched = watched(claims.iter());
        // First, so that what is removed is not listed.
        let seat = |claim: &'_ Claim| Some((claim.seat.clone()?, heirs.contains(&claim.instance)));
        let seats = Seats::open(&claims.iter().filter_map(seat).collect::<Vec<_>>(), state)?;
        let closed = claims.iter().flat_map(|claim| claim.closed.iter().cloned()).collect();
        Ok(Self {
            network: Network::open(watched)?,
            to_watch: watched,
            watched,
            announcers: BTreeMap::new(),
            seats,
            acceptance: Acceptance::new(closed),
        })
    }
}

/// What has to be followed for `claims`.
fn watched<'a>(mut claims: impl Iterator<Item = &'a Claim> + Clone) -> Watched {
    Watched {
        routes: claims.clone().any(|claim| !claim.routes.is_empty()),
        rules: claims.any(|claim| !claim.rules.is_empty()),
    }
}

impl Host {
    /// Follows what is to be followed and was not; whether everything was listed anew for that.
    ///
    /// # Errors
    /// The kernel refuses. What was followed still is.
    fn watch(&mut self) -> Result<bool, NetworkError> {
        let more = (self.to_watch.routes && !self.watched.routes)
            || (self.to_watch.rules && !self.watched.rules);
        if more {
            self.network = Network::open(self.to_watch)?;
            self.watched = self.to_watch;
        }
        Ok(more)
    }
}

impl Kernel for Host {
    type Error = NetworkError;

    fn reclaim(&mut self, claims: &[&Claim]) -> bool {
        self.to_watch = watched(claims.iter().copied());
        let renewed = self.watch().unwrap_or_else(|error| {
            tracing::error!(%error, "routes or rules can't be followed; it is tried again every ten seconds");
            false
        });
        self.seats.keep_only(claims.iter().filter_map(|claim| claim.seat.as_ref()));
        self.acceptance.set(claims.iter().flat_map(|claim| claim.closed.iter().cloned()).collect());
        renewed
    }

    fn inventory(&self) -> &Inventory {
        self.network.inventory()
    }

    fn follow(&mut self) -> Result<Losses, NetworkError> {
        let losses = self.network.follow()?;
        if losses.others || losses.everything {
            let inventory = self.network.inventory();
            self.announcers.retain(|index, _| inventory.device_by_index(*index).is_some());
        }
        Ok(losses)
    }

    fn recheck(&mut self) -> Result<bool, NetworkError> {
        self.network.recheck()
    }

    fn refresh(&mut self) -> Result<(), NetworkError> {
        if self.watch()? {
            return Ok(());
        }
        self.network.refresh()
    }

    fn change(&mut self, changes: &[Change]) -> Vec<Result<Effect, NetworkError>> {
        self.network.change(changes)
    }

    fn announce(&mut self, on: &Interface, mac: MacAddress, address: IpAddr) -> Result<(), String> {
        let announcer = match self.announcers.entry(on.index) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(none) => {
                none.insert(Announcer::open(on).map_err(|error| error.to_string())?)
            }
        };
        announcer.announce(mac, address).map_err(|error| error.to_string())
    }

    fn begin(&mut self, now: Instant) {
        self.acceptance.begin(now);
    }

    fn prepare(
        &mut self,
        now: Instant,
        claim: &Claim,
        below: Option<&Interface>,
        held: bool,
    ) -> Hindrances {
        let mut hindrances = Hindrances::default();
        if !claim.closed.is_empty() {
            hindrances.problems.extend(self.acceptance.enforce(now).err());
        }
        if let Some(seat) = &claim.seat {
            match self.seats.prepare(seat, below, held, self.network.inventory()) {
                Ok(device) => device.into_iter().for_each(|device| self.network.note(device)),
                Err(error) => hindrances.unseated = Some(told(&error)),
            }
        }
        hindrances
    }

    fn rest(&mut self, claim: &Claim) -> Vec<String> {
        let Some(seat) = &claim.seat else { return Vec::new() };
        let rested = self.seats.rest(seat, self.network.inventory());
        rested.err().map(|error| told(&error)).into_iter().collect()
    }

    fn wait(&self, waker: &Waker, until: Instant) {
        if let Err(error) = wait_until(&[waker.as_fd(), self.network.as_fd()], Some(until)) {
            // Without this pause a kernel out of memory would be asked in a busy loop.
            tracing::error!(%error, "the address thread could not sleep");
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }
}
