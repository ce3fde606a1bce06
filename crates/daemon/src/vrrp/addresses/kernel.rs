//! The kernel as the address thread uses it: route netlink for addresses, routes and rules, packet sockets for announcements.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt::Display;
use std::net::IpAddr;
use std::os::fd::AsFd;

use holdfast_net::{
    Announcer, Change, Effect, IfIndex, Interface, Inventory, Losses, MacAddress, Network,
    NetworkError, Waker, Watched, wait_until,
};
use holdfast_time::Instant;

/// What the address thread asks of the kernel; in tests another one.
pub(super) trait Kernel {
    /// Why the kernel did not do it.
    type Error: Display;

    /// What there is, as far as it was heard.
    fn inventory(&self) -> &Inventory;

    /// Hears of what has changed, and says what has gone.
    fn follow(&mut self) -> Result<Losses, Self::Error>;

    /// Lists everything again.
    fn refresh(&mut self) -> Result<(), Self::Error>;

    /// Carries out `changes` in their order, and says of each how it went.
    fn change(&mut self, changes: &[Change]) -> Vec<Result<Effect, Self::Error>>;

    /// Announces `address` once at `mac`.
    ///
    /// # Errors
    /// It was not sent, and why.
    fn announce(&mut self, on: &Interface, mac: MacAddress, address: IpAddr) -> Result<(), String>;

    /// Sleeps until there is something to hear, `waker` is woken or `until` has come.
    fn wait(&self, waker: &Waker, until: Instant);
}

/// The kernel of this host.
#[derive(Debug)]
pub(super) struct Host {
    network: Network,
    /// One for each interface that addresses were announced on; to close one takes the kernel milliseconds.
    announcers: BTreeMap<IfIndex, Announcer>,
}

impl Host {
    /// Opens the sockets and lists what there is.
    ///
    /// # Errors
    /// No netlink socket can be had.
    pub(super) fn open(watched: Watched) -> Result<Self, NetworkError> {
        Ok(Self { network: Network::open(watched)?, announcers: BTreeMap::new() })
    }
}

impl Kernel for Host {
    type Error = NetworkError;

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

    fn refresh(&mut self) -> Result<(), NetworkError> {
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

    fn wait(&self, waker: &Waker, until: Instant) {
        if let Err(error) = wait_until(&[waker.as_fd(), self.network.as_fd()], Some(until)) {
            // Without this pause a kernel out of memory would be asked in a busy loop.
            tracing::error!(%error, "the address thread could not sleep");
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }
}
