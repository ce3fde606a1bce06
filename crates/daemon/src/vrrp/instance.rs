//! One VRRP instance: its machine, the interface that it is on now, and what its actions do.

mod interface;
mod status;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use holdfast_config::{Instance as InstanceConfig, Name};
use holdfast_net::{Datagram, Interface, Packet};
use holdfast_time::Instant;
use vrrp::receive::{self, Identified};
use vrrp::{
    Action, AddressFamily, AddressList, Event, Observation, Params, Priority, Timer, Transition,
    VirtualRouter, Vrid,
};

use super::addresses::{AddressThread, Claim, Wanted};
use super::sockets::{SocketKey, Sockets};
use super::thread::StartError;
use crate::rate::RateLimit;

/// VRRP's groups (RFC 9568 §5.1.1.2, §5.1.2.2), which the IPv6 checksum covers.
const GROUP_IPV4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
const GROUP_IPV6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);

/// A VRRP instance at work.
#[derive(Debug)]
pub(super) struct Instance {
    config: InstanceConfig,
    router: VirtualRouter,
    on: Option<Interface>,
    last: Option<Transition>,
    transitions: u64,
    /// What the address thread is told to do, and what it was told last.
    wanted: Wanted,
    told: Wanted,
    fault: Option<String>,
    chatter: RateLimit,
    discards: RateLimit,
}

/// What an instance needs to act: the sockets that it sends on, and the thread that moves its addresses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Means<'a> {
    pub(super) sockets: &'a Sockets,
    pub(super) addresses: &'a AddressThread,
}

impl Instance {
    /// The instance of `config`, which takes part as soon as its interface can be used.
    ///
    /// # Errors
    /// The configuration is of no virtual router, which the configuration's checks don't let happen.
    pub(super) fn new(config: InstanceConfig, now: Instant) -> Result<Self, StartError> {
        let mut router = VirtualRouter::new(now, params(&config)?);
        router.handle(now, Event::Startup);
        Ok(Self {
            config,
            router,
            on: None,
            last: None,
            transitions: 0,
            wanted: Wanted::default(),
            told: Wanted::default(),
            fault: None,
            chatter: RateLimit::default(),
            discards: RateLimit::default(),
        })
    }

    pub(super) const fn name(&self) -> &Name {
        &self.config.name
    }

    /// What the address thread has to know of it.
    pub(super) fn claim(config: &InstanceConfig) -> Claim {
        Claim {
            instance: config.name.clone(),
            owner: config.priority == Priority::OWNER,
            addresses: config.addresses.iter().map(|address| address.net).collect(),
        }
    }

    /// Gives a packet for this instance's VRID to the machine.
    pub(super) fn receive(&mut self, now: Instant, packet: &Identified<'_>, means: Means<'_>) {
        match receive::check(packet, Some(self.router.expectation())) {
            Err(reason) => {
                self.router.count_discard(reason);
                // RFC 9568 §7.1: "SHOULD log the event (subject to rate-limiting)".
                if self.discards.allows(now) {
                    tracing::warn!(
                        instance = %self.config.name,
                        reason = reason.label(),
                        source = %packet.source(),
                        "a packet was discarded"
                    );
                }
            }
            Ok(received) => {
                if received.observations.any() && self.chatter.allows(now) {
                    tracing::warn!(
                        instance = %self.config.name,
                        source = %packet.source(),
                        address_list_differs = received.observations.address_list_differs,
                        interval_differs = received.observations.interval_differs,
                        owner_conflict = received.observations.owner_conflict,
                        "an advertisement does not agree with this configuration"
                    );
                }
                self.router.handle(now, Event::Advertisement(received.advertisement));
                self.act(means);
            }
        }
    }

    /// Fires the timer if it is due, and says how late that was. A Backup may not take over before all that arrived until its deadline
    /// was read, and `read_until` says how far that is.
    pub(super) fn fire(
        &mut self,
        now: Instant,
        read_until: Instant,
        means: Means<'_>,
    ) -> Option<Duration> {
        let (deadline, timer) = self.router.poll_timeout()?;
        let may = match timer {
            // Both end with this router as the Active, unless another one is heard.
            Timer::ActiveDown | Timer::Release => deadline <= read_until,
            Timer::Adver => true,
        };
        (deadline <= now && may).then(|| {
            self.router.handle_timeout(now);
            self.act(means);
            now.saturating_since(deadline)
        })
    }

    /// Takes note that the whole machine slept.
    pub(super) fn resume(&mut self, now: Instant, means: Means<'_>) {
        self.router.handle(now, Event::Resumed);
        self.act(means);
    }

    /// Steps back for good.
    pub(super) fn shut_down(&mut self, now: Instant, means: Means<'_>) {
        self.router.handle(now, Event::Shutdown);
        // The second one ends the wait for another router.
        self.router.handle(now, Event::Shutdown);
        self.act(means);
    }

    /// When the instance wants to be woken.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.router.poll_timeout().map(|(at, _)| at)
    }

    /// Which socket is this instance's.
    pub(super) fn socket(&self) -> Option<SocketKey> {
        self.on.as_ref().map(|on| (on.index, self.config.family))
    }

    /// The virtual router's number.
    pub(super) const fn vrid(&self) -> Vrid {
        self.config.vrid
    }

    /// Does what the machine wants, in its order.
    fn act(&mut self, means: Means<'_>) {
        while let Some(action) = self.router.poll_action() {
            match action {
                Action::SendAdvertisement { priority } => self.advertise(priority, means.sockets),
                Action::InstallAddresses => self.wanted.held = true,
                Action::RemoveAddresses => self.wanted.held = false,
                Action::Announce => self.wanted.announcements += 1,
                Action::Report(transition) => self.report(transition),
                Action::Observe(observation) => self.observe(observation),
                // Only other parameters bring the first about, and they don't change while the daemon runs.
                action @ Action::UpdateAddresses { .. } | action => {
                    tracing::error!(?action, "an action that this daemon does not know")
                }
            }
        }
        self.tell(means.addresses);
    }

    /// Tells the address thread what is wanted now, if that has changed.
    fn tell(&mut self, addresses: &AddressThread) {
        self.wanted.interface.clone_from(&self.on);
        if self.wanted != self.told {
            self.told = self.wanted.clone();
            addresses.want(&self.config.name, self.told.clone());
        }
    }

    fn advertise(&self, priority: Priority, sockets: &Sockets) {
        let socket = self.socket().and_then(|key| sockets.get(key));
        let (Some(source), Some(socket)) = (self.router.primary(), socket) else { return };
        let group = match self.config.family {
            AddressFamily::Ipv4 => IpAddr::V4(GROUP_IPV4),
            AddressFamily::Ipv6 => IpAddr::V6(GROUP_IPV6),
        };
        let payload = self.router.encode(priority, source, group);
        let packet = Packet { source, destination: group, hop_limit: 255, payload: &payload };
        if let Err(error) = socket.send(&packet) {
            tracing::warn!(instance = %self.config.name, %error, "an advertisement was not sent");
        }
    }

    fn report(&mut self, transition: Transition) {
        self.transitions = self.transitions.saturating_add(1);
        self.last = Some(transition);
        tracing::info!(
            instance = %self.config.name,
            interface = self.config.interface,
            vrid = %self.config.vrid,
            from = transition.from.label(),
            to = transition.to.label(),
            reason = transition.reason.label(),
            "the VRRP state changed"
        );
    }

    fn observe(&mut self, observation: Observation) {
        if self.chatter.allows(holdfast_net::now()) {
            tracing::warn!(instance = %self.config.name, ?observation, "something is odd on the LAN");
        }
    }
}

/// The machine's parameters. The configuration has been checked by the same rules.
fn params(config: &InstanceConfig) -> Result<Params, StartError> {
    let addresses = AddressList::new(config.advertised().collect())?;
    Ok(Params::new(config.version, config.vrid, addresses)?
        .with_priority(config.priority)?
        .with_advertisement_interval(config.interval)?
        .with_preempt_mode(config.preempt))
}

/// Takes a packet apart as far as its VRID, for [`Instance::is_for`].
///
/// # Errors
/// It is too short to have one.
pub(super) fn identify<'a>(
    datagram: &Datagram,
    payload: &'a [u8],
) -> Result<Identified<'a>, vrrp::DiscardReason> {
    receive::identify(receive::Datagram {
        source: datagram.source,
        destination: datagram.destination,
        hop_limit: Some(datagram.hop_limit),
        payload,
    })
}
