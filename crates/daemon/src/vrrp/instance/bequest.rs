//! What an instance leaves to the process that may have to go on in this one's place, and what it takes up of the one before.

use std::net::IpAddr;

use holdfast_time::Instant;
use vrrp::{Event, Priority};

use super::super::testament::{Inherited, router};
use super::{Instance, Means};
use crate::supervisor::{Bequest, Goodbye, Stood};

impl Instance {
    /// Takes up what the process before this one has left. Of a reign that still counts the addresses are held until
    /// [`Instance::settle_inheritance`]: nobody may take them off before it is known who is Active.
    pub(in super::super) fn inherit(&mut self, now: Instant, inherited: Inherited) {
        let Inherited { advertised, released, yields } = inherited;
        self.role.inherit(released, yields);
        if let Some(advertised) = advertised {
            self.role.begin_at_once();
            self.router.handle(now, Event::Inherit { advertised });
            (self.inherits, self.wanted.held) = (true, true);
        }
    }

    /// Whether it may turn out to be Active in the place of the process before this one.
    pub(in super::super) const fn inherits(&self) -> bool {
        self.inherits
    }

    /// Everything that could make it Active at once has been told: if it is not, the addresses that it has been left go.
    pub(in super::super) fn settle_inheritance(&mut self, means: Means<'_>) {
        if !std::mem::take(&mut self.inherits) {
            return;
        }
        if self.router.status().holds_addresses() {
            tracing::warn!(instance = %self.config.name, "goes on as the Active in the place of a worker that died");
            return;
        }
        let why = self.fault.clone().or_else(|| self.role.fault());
        tracing::warn!(instance = %self.config.name, why, "can't go on as the Active in the place of a worker that died");
        self.wanted.held = false;
        self.tell(&means.addresses);
    }

    /// What it leaves, and how it stands.
    pub(in super::super) fn bequest(&self) -> (Bequest, Stood) {
        let lasts = self.router.params().inheritance_interval();
        let bequest = Bequest {
            name: self.config.name.to_string(),
            router: router(&self.config),
            lasts_ns: u64::try_from(lasts.as_nanos()).unwrap_or(u64::MAX),
            released: self.role.is_released(),
            yields: self.role.yields(),
            owner: self.config.priority == Priority::OWNER,
            addresses: self.config.held().map(|address| address.net.addr()).collect(),
            goodbyes: self.goodbyes(),
        };
        (bequest, Stood::of(self.router.state(), self.router.since()))
    }

    /// A goodbye for each destination of its advertisements; none while its interface can't be used.
    fn goodbyes(&self) -> Vec<Goodbye> {
        let (Some(on), Some(source)) = (&self.on, self.router.primary()) else {
            return Vec::new();
        };
        let goodbye = |destination: IpAddr| Goodbye {
            interface: (on.index.value(), on.name.clone()),
            source,
            destination,
            hop_limit: self.hop_limit(),
            mac: self.virtual_mac().map(|mac| mac.octets()),
            payload: self.router.encode(Priority::RELEASE, source, destination),
        };
        self.destinations().into_iter().map(goodbye).collect()
    }
}
