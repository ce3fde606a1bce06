//! One VRRP instance: its machine, the interface that it is on now, and what its actions do.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use holdfast_config::{Instance as InstanceConfig, Name};
use holdfast_control as control;
use holdfast_net::{Datagram, Interface, InterfaceState, LinkMonitor, VrrpSocketError};
use holdfast_time::Instant;
use ipnet::IpNet;
use vrrp::receive::{self, Identified};
use vrrp::{
    Action, AddressFamily, AddressList, Event, Observation, Params, Priority, Status, Timer,
    Transition, VirtualRouter, Vrid,
};

use super::addresses::{AddressThread, Claim, Outcome, Wanted};
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

    /// Opens the socket on the interface, where there is one.
    ///
    /// # Errors
    /// The socket can't be opened.
    pub(super) fn open_socket(
        &self,
        links: &LinkMonitor,
        sockets: &mut Sockets,
    ) -> Result<(), VrrpSocketError> {
        match links.interfaces().by_name(&self.config.interface) {
            Some(state) => sockets.open(&state.link.interface, self.config.family),
            None => Ok(()),
        }
    }

    /// Takes note of what the interface is now: there or not, up or not, with which address. Opens the socket for one that is new.
    ///
    /// # Errors
    /// The socket can't be opened; the instance stays in Initialize and says so.
    pub(super) fn see_interface(
        &mut self,
        now: Instant,
        links: &LinkMonitor,
        sockets: &mut Sockets,
        addresses: &AddressThread,
    ) -> Result<(), VrrpSocketError> {
        let opened = self.open_socket(links, sockets);
        let means = Means { sockets, addresses };
        let found = links.interfaces().by_name(&self.config.interface);
        if let Some(state) = found {
            self.on = Some(state.link.interface.clone());
            self.wanted.mac = state.link.mac;
        }
        let fault = match (&opened, found) {
            (Err(error), _) => Err(error.to_string()),
            (Ok(()), None) => Err(self.no_interface()),
            (Ok(()), Some(state)) => self.usable(state),
        };
        match fault {
            Ok(primary) => {
                self.fault = None;
                self.router.handle(now, Event::InterfaceUp { primary });
                self.act(means);
            }
            Err(fault) => self.lose_interface(now, fault, means),
        }
        if found.is_none() {
            self.on = None;
        }
        self.tell(addresses);
        opened
    }

    /// The address to advertise from.
    ///
    /// # Errors
    /// The interface can't be used, and why.
    fn usable(&self, state: &InterfaceState) -> Result<IpAddr, String> {
        let name = &self.config.interface;
        if !state.link.up {
            return Err(format!("interface {name} is down"));
        }
        let kind = match self.config.family {
            AddressFamily::Ipv4 => "IPv4 address",
            AddressFamily::Ipv6 => "usable link-local IPv6 address",
        };
        let none = || format!("interface {name} has no {kind} of its own to advertise from");
        self.primary(state).ok_or_else(none)
    }

    /// Takes note that an interface is gone. One that has its name now, and even its number, has nothing of what this instance had
    /// put on it.
    pub(super) fn interface_removed(&mut self, now: Instant, gone: &Interface, means: Means<'_>) {
        if self.on.as_ref() == Some(gone) {
            self.lose_interface(now, self.no_interface(), means);
            self.on = None;
            self.wanted.losses += 1;
            self.tell(means.addresses);
        }
    }

    /// Takes note that an address has gone from an interface. What somebody has taken from an Active is put back: the kernel itself
    /// takes IPv6 ones when the interface goes down for a moment.
    pub(super) fn address_removed(
        &mut self,
        interface: &Interface,
        address: &IpNet,
        addresses: &AddressThread,
    ) {
        let here = self.wanted.held && self.on.as_ref() == Some(interface);
        if here && self.config.addresses.iter().any(|one| one.net.addr() == address.addr()) {
            self.wanted.looks += 1;
            self.tell(addresses);
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
            Timer::ActiveDown => deadline <= read_until,
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

    fn no_interface(&self) -> String {
        format!("there is no interface {}", self.config.interface)
    }

    fn lose_interface(&mut self, now: Instant, fault: String, means: Means<'_>) {
        if self.fault.as_ref() != Some(&fault) {
            tracing::warn!(instance = %self.config.name, fault, "the instance can't take part");
        }
        self.fault = Some(fault);
        self.router.handle(now, Event::InterfaceDown);
        self.act(means);
    }

    /// The address that advertisements come from: one of the interface's own.
    fn primary(&self, state: &InterfaceState) -> Option<IpAddr> {
        let virtual_addresses: Vec<IpAddr> = match self.config.priority {
            Priority::OWNER => Vec::new(),
            _ => self.config.advertised().collect(),
        };
        match self.config.family {
            AddressFamily::Ipv4 => state.primary_ipv4(&virtual_addresses).map(IpAddr::V4),
            AddressFamily::Ipv6 => state.link_local(&virtual_addresses).map(IpAddr::V6),
        }
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
        let packet = self.router.encode(priority, source, group);
        if let Err(error) = socket.send(source, &packet) {
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

    /// The instance as the API shows it. `strays` were discarded on its socket because they were for no instance; `outcome` is
    /// what the address thread has done.
    pub(super) fn status(
        &self,
        now: Instant,
        strays: Option<&vrrp::Discards>,
        outcome: &Outcome,
    ) -> control::Instance {
        let config = &self.config;
        control::Instance {
            name: config.name.to_string(),
            state: self.router.status().label().to_owned(),
            since_s: now.saturating_since(self.router.since()).as_secs(),
            reason: self
                .last
                .map_or_else(|| "start".to_owned(), |last| last.reason.label().to_owned()),
            interface: config.interface.clone(),
            vrid: config.vrid.value(),
            version: match config.version {
                vrrp::Version::V2 => 2,
                vrrp::Version::V3 => 3,
            },
            family: match config.family {
                AddressFamily::Ipv4 => "ipv4".to_owned(),
                AddressFamily::Ipv6 => "ipv6".to_owned(),
            },
            priority: self.router.priority().value(),
            interval_ms: u64::try_from(config.interval.duration().as_millis()).unwrap_or(u64::MAX),
            preempt: config.preempt,
            addresses: config.addresses.iter().map(ToString::to_string).collect(),
            holds_addresses: outcome.holds,
            active: match self.router.status() {
                Status::Backup => self.router.active_address(),
                Status::Initialize | Status::Active => None,
            },
            fault: self.fault.clone().or_else(|| outcome.fault()),
            transitions: self.transitions,
            counters: counters(self.router.counters(), strays),
        }
    }
}

/// `discarded_…` were for this instance; `stray_…` were for none, so that every instance of the socket has the same.
fn counters(counters: &vrrp::Counters, strays: Option<&vrrp::Discards>) -> BTreeMap<String, u64> {
    let discarded = counters.discarded.iter().map(|(reason, count)| ("discarded", reason, count));
    let strays = strays.into_iter().flat_map(vrrp::Discards::iter);
    let strays = strays.map(|(reason, count)| ("stray", reason, count));
    let discarded = discarded.chain(strays).filter(|(_, _, count)| *count > 0);
    [
        ("became_active", counters.became_active),
        ("advertisements_received", counters.advertisements_received),
        ("advertisements_sent", counters.advertisements_sent),
        ("priority_zero_received", counters.priority_zero_received),
        ("priority_zero_sent", counters.priority_zero_sent),
        ("lower_priority_heard", counters.lower_priority_heard),
        ("duplicate_source", counters.duplicate_source),
        ("stalls", counters.stalls),
    ]
    .map(|(name, count)| (name.to_owned(), count))
    .into_iter()
    .chain(discarded.map(|(kind, reason, count)| (format!("{kind}_{}", reason.label()), count)))
    .collect()
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
