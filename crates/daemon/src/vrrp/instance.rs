//! One VRRP instance: its machine, the interface that it is on now, and what its actions do.

mod bequest;
mod disagreements;
mod interface;
mod reconfigure;
mod role;
mod status;
mod telling;
mod transitions;
mod transmit;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use holdfast_config::{Checksum, Instance as InstanceConfig, Name, Password, Peer as ConfigPeer};
use holdfast_engine::vrrp::{Member, Succession};
use holdfast_net::{Datagram, Interface, VrrpSocketError, now};
use holdfast_time::Instant;
use vrrp::receive::{self, Identified};
use vrrp::{
    Action, AddressList, ChecksumChoice, DiscardReason, Event, InvalidAddresses, InvalidParams,
    Params, Peer, Reason, State, Timer, Transition, VirtualRouter, Vrid,
};

use self::disagreements::Disagreements;
pub(super) use self::role::Role;
pub(crate) use self::role::RoleError;
use self::transitions::Transitions;
use super::addresses::{AddressThread, Claim, Wanted};
use super::fate::{self, Fate};
use super::sockets::{SocketKey, Sockets};
use super::testament::Testament;
use crate::chatter::{Chatter, Topic};
use crate::hooks::HookSender;
use crate::rate::RateLimit;
use crate::upkeep::Board;

/// How long a node that was relieved keeps the addresses: the other one advertises first and installs them then.
const LINGER: Duration = Duration::from_millis(20);

/// A VRRP instance at work.
#[derive(Debug)]
pub(super) struct Instance {
    config: InstanceConfig,
    router: VirtualRouter,
    /// The unicast peers; empty with multicast.
    peers: Vec<Peer>,
    role: Role,
    /// The sync group that it is in.
    group: Option<Name>,
    /// What is known of the Active's reign where nobody preempts.
    succession: Succession,
    /// How far its packets have been read.
    read_until: Instant,
    on: Option<Interface>,
    last: Option<Transition>,
    transitions: Transitions,
    /// Who is Active, as a Backup knows it.
    active: Option<IpAddr>,
    /// What the address thread is told to do, and what it was told last.
    wanted: Wanted,
    told: Wanted,
    /// When it lets the addresses go that another router has taken over.
    lets_go_at: Option<Instant>,
    /// It holds the addresses of the process before this one, until it is known whether it is Active in its place.
    inherits: bool,
    fault: Option<String>,
    chatter: RateLimit,
    discards: RateLimit,
    discarded: Option<Discarded>,
    /// Another node that has priority 255 too, and when it was heard.
    other_owner: Option<(IpAddr, Instant)>,
    /// What other nodes seem to be configured with otherwise.
    disagreements: Disagreements,
}

/// The last packet for an instance that broke a rule.
#[derive(Clone, Copy, Debug)]
struct Discarded {
    reason: DiscardReason,
    source: IpAddr,
    at: Instant,
}

/// What an instance needs to act: the sockets that it sends on, the thread that moves its addresses, the commands that want to know.
#[derive(Debug)]
pub(super) struct Outside {
    pub(super) sockets: Sockets,
    pub(super) addresses: AddressThread,
    pub(super) hooks: HookSender,
    /// Where it is told whose process is watched.
    pub(super) fate: Fate,
    /// How much the instances may say in the log.
    pub(super) chatter: Chatter,
    /// Where it is told who is Active, for connection synchronisation.
    pub(super) board: Board,
    /// Where it is told for a process that may have to go on in this one's place.
    pub(super) testament: Testament,
    /// The addresses that instances bring along: none of them is an interface's own. Those of an owner are.
    pub(super) virtual_addresses: BTreeSet<IpAddr>,
}

/// The way there.
pub(super) type Means<'a> = &'a Outside;

impl Instance {
    /// The instance of `config`, which takes part as `role` says, as soon as its interface can be used and [`Instance::apply`] was
    /// called. In a `group` it takes over when that says so.
    ///
    /// # Errors
    /// The configuration is of no virtual router, which the configuration's checks don't let happen.
    pub(super) fn new(
        config: InstanceConfig,
        now: Instant,
        role: Role,
        group: Option<Name>,
    ) -> Result<Self, StartError> {
        let router = VirtualRouter::new(now, params(&config)?);
        Ok(Self {
            peers: peers(&config),
            role,
            group,
            succession: Succession::default(),
            read_until: now,
            config,
            router,
            on: None,
            last: None,
            transitions: Transitions::default(),
            active: None,
            wanted: Wanted::default(),
            told: Wanted::default(),
            lets_go_at: None,
            inherits: false,
            fault: None,
            chatter: RateLimit::default(),
            discards: RateLimit::default(),
            discarded: None,
            other_owner: None,
            disagreements: Disagreements::default(),
        })
    }

    pub(super) const fn name(&self) -> &Name {
        &self.config.name
    }

    /// What the address thread has to know of it.
    pub(super) fn claim(config: &InstanceConfig) -> Claim {
        Claim::of(config)
    }

    /// Gives a packet for this instance's VRID to the machine.
    pub(super) fn receive(&mut self, now: Instant, packet: &Identified<'_>, means: Means<'_>) {
        match receive::check(packet, Some(self.router.expectation().with_peers(&self.peers))) {
            Err(reason) => {
                self.router.count_discard(reason);
                self.disagreements.hear_discarded(now, packet, reason, &self.config);
                self.discarded = Some(Discarded { reason, source: packet.source(), at: now });
                // RFC 9568 §7.1: "SHOULD log the event (subject to rate-limiting)".
                if self.discards.allows(now) && means.chatter.allows(now, Topic::Packet) {
                    tracing::warn!(
                        instance = %self.config.name,
                        reason = reason.label(),
                        source = %packet.source(),
                        "a packet was discarded"
                    );
                }
            }
            Ok(received) => {
                self.disagreements.hear(now, packet, received.observations, &self.config);
                if received.observations.owner_conflict {
                    self.other_owner = Some((packet.source(), now));
                }
                if received.observations.any()
                    && self.chatter.allows(now)
                    && means.chatter.allows(now, Topic::Packet)
                {
                    tracing::warn!(
                        instance = %self.config.name,
                        source = %packet.source(),
                        address_list_differs = received.observations.address_list_differs,
                        interval_differs = received.observations.interval_differs,
                        owner_conflict = received.observations.owner_conflict,
                        "an advertisement does not agree with this configuration"
                    );
                }
                if self.config.lifetime_unsaid
                    && self.router.peers().is_empty()
                    && means.chatter.allows(now, Topic::Packet)
                {
                    tracing::warn!(
                        instance = %self.config.name,
                        other = %packet.source(),
                        "another node takes part, and the configuration names none: the addresses of a daemon that dies as a whole stay here (`lifetime`)"
                    );
                }
                self.router.handle(now, Event::Advertisement(received.advertisement));
                self.succession.hear(now, received.advertisement, &self.router);
                self.act(means);
            }
        }
    }

    /// Takes note that somebody advertises `address`, which is this instance's, as another virtual router's.
    pub(super) fn hear_other_vrid(
        &mut self,
        now: Instant,
        packet: &Identified<'_>,
        address: IpAddr,
        means: Means<'_>,
    ) {
        let Some(vrid) = packet.vrid() else { return };
        self.disagreements.hear_other_vrid(now, packet, vrid, address);
        if self.chatter.allows(now) && means.chatter.allows(now, Topic::Packet) {
            tracing::warn!(
                instance = %self.config.name,
                source = %packet.source(),
                %address,
                vrid = %vrid,
                ours = %self.config.vrid,
                "somebody advertises an address of this instance with another VRID"
            );
        }
    }

    /// Whether it brings this address.
    pub(super) fn brings(&self, address: IpAddr) -> bool {
        self.config.held().any(|one| one.net.addr() == address)
    }

    /// Fires the timer if it is due, and says how late that was. A Backup may not take over before all that arrived until its deadline
    /// was read, and `read_until` says how far that is. In a group it waits until all of the group may.
    pub(super) fn fire(
        &mut self,
        now: Instant,
        read_until: Instant,
        means: Means<'_>,
    ) -> Option<Duration> {
        self.read_until = self.read_until.max(read_until);
        if self.role.starts_at().is_some_and(|at| at <= now) {
            self.begin(now, means);
        }
        if self.lets_go_at.is_some_and(|at| at <= now) {
            self.lets_go_at = None;
            self.wanted.held = false;
            self.tell(&means.addresses);
        }
        if self.group.is_none() && self.has_fallen() {
            self.router.handle(now, Event::ActiveFallen);
            self.act(means);
        }
        let (deadline, timer) = self.router.poll_timeout()?;
        let may = match timer {
            Timer::ActiveDown => self.group.is_none() && deadline <= self.read_until,
            Timer::Release => deadline <= self.read_until,
            Timer::Adver => true,
        };
        (deadline <= now && may).then(|| {
            self.router.handle_timeout(now);
            self.act(means);
            now.saturating_since(deadline)
        })
    }

    /// Whether the Active has become worse than this router, which takes over from it then though nobody preempts.
    fn has_fallen(&self) -> bool {
        self.succession.is_due(self.read_until, self.router.priority())
    }

    /// What its group has to know of it.
    pub(super) fn member(&self) -> Member {
        let fault = self.fault.clone().or_else(|| self.role.own_fault());
        Member::of(&self.router, fault, self.read_until).or_fallen(self.has_fallen())
    }

    /// The sync group that it is in.
    pub(super) const fn group_name(&self) -> Option<&Name> {
        self.group.as_ref()
    }

    /// Takes note that `peer` is gone for all that is known: if it is the Active, that counts as its goodbye.
    pub(super) fn lose_active(&mut self, now: Instant, peer: IpAddr, means: Means<'_>) {
        self.router.handle(now, Event::ActiveLost { address: peer });
        self.act(means);
    }

    /// Takes note that the process has died that was Active at this address.
    pub(super) fn bury_active(&mut self, now: Instant, address: IpAddr, means: Means<'_>) {
        self.router.handle(now, Event::ActiveDied { address });
        self.act(means);
    }

    /// Takes note that the whole machine slept.
    pub(super) fn resume(&mut self, now: Instant, means: Means<'_>) {
        self.router.handle(now, Event::Resumed);
        self.act(means);
    }

    /// When the instance wants to be woken. What waits for the group waits for no time.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let timer = self.router.poll_timeout().map(|(at, timer)| (at, timer == Timer::ActiveDown));
        let fallen = self.succession.poll_timeout().map(|at| (at, true));
        let waits = |at: Instant, down: bool| down && self.group.is_some() && at <= self.read_until;
        let timers = timer.into_iter().chain(fallen).filter(|(at, down)| !waits(*at, *down));
        timers.map(|(at, _)| at).chain(self.role.starts_at()).chain(self.lets_go_at).min()
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
        let actions: Vec<Action> = std::iter::from_fn(|| self.router.poll_action()).collect();
        let relieved = actions.iter().any(is_relief);
        let yielded = self.role.yields();
        for action in actions {
            match action {
                Action::SendAdvertisement { priority } => self.advertise(priority, means),
                Action::InstallAddresses => {
                    self.wanted.held = true;
                    self.lets_go_at = None;
                }
                Action::RemoveAddresses if relieved => {
                    self.lets_go_at = Some(now() + LINGER);
                }
                Action::RemoveAddresses => {
                    self.wanted.held = false;
                    self.lets_go_at = None;
                }
                Action::Announce => self.wanted.announcements += 1,
                Action::Report(transition) => self.report(transition, means),
                Action::Observe(observation) => self.observe(observation, means),
                // What it claims has been told to the address thread, which does this by itself.
                Action::UpdateAddresses { .. } => {}
                action => {
                    tracing::error!(?action, "an action that this daemon does not know")
                }
            }
        }
        self.tell(&means.addresses);
        self.see_active(means);
        means.testament.write(&self.config.name, self.router.state(), self.router.since());
        if yielded && !self.role.yields() {
            // What it left to others is its own again, and so is its right to preempt.
            self.apply(now(), means);
        }
    }

    /// Takes note of who is Active now, whose process is watched.
    fn see_active(&mut self, means: Means<'_>) {
        let active = match self.router.state() {
            State::Backup { active, .. } => *active,
            State::Initialize | State::Active { .. } | State::Releasing { .. } => None,
        };
        if active != self.active {
            self.active = active;
            means.fate.outdate();
        }
    }

    /// Where peers' watches on this node are taken, and which Active is watched; nothing while it has no interface.
    pub(super) fn watch(&self, wanted: &mut fate::Wanted) {
        let Some(interface) = self.on.clone() else { return };
        let unicast = self.config.unicast.as_ref().map(|unicast| &unicast.peers);
        let peers = unicast.map(|peers| peers.iter().map(|peer| peer.address).collect());
        // The channel's packets begin with 255: none arrives with less than an advertisement.
        let least = |peers: &Vec<ConfigPeer>| peers.iter().map(|peer| peer.ttl.0).min();
        let least_ttl = unicast.and_then(least).unwrap_or(u8::MAX);
        let door = fate::Door { interface, peers, least_ttl };
        wanted.add(self.config.family, door, self.active, self.router.primary());
    }

    /// Tells the address thread what is wanted now, if that has changed.
    fn tell(&mut self, addresses: &AddressThread) {
        self.wanted.interface.clone_from(&self.on);
        if self.wanted != self.told {
            self.told = self.wanted.clone();
            addresses.want(&self.config.name, self.told.clone());
        }
    }
}

/// Whether another router has taken the addresses over.
fn is_relief(action: &Action) -> bool {
    matches!(action, Action::Report(Transition { reason: Reason::TakenOver, .. }))
}

/// What an instance lacks at its start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum StartError {
    /// No raw socket.
    #[error(transparent)]
    Socket(#[from] VrrpSocketError),
    /// Its addresses are not a virtual router's.
    #[error(transparent)]
    Addresses(#[from] InvalidAddresses),
    /// Its parameters are not a virtual router's.
    #[error(transparent)]
    Params(#[from] InvalidParams),
}

/// The machine's parameters. The configuration has been checked by the same rules.
fn params(config: &InstanceConfig) -> Result<Params, StartError> {
    let addresses = AddressList::new(config.advertised().collect())?;
    Ok(Params::new(config.version, config.vrid, addresses)?
        .with_priority(config.priority)?
        .with_advertisement_interval(config.interval)?
        .with_preempt_mode(config.preempt)
        .with_preempt_delay(config.preempt_delay)
        .with_down_adverts(config.down_adverts)
        .with_password(config.password.as_ref().map(Password::bytes))
        .with_checksum(match config.checksum {
            Checksum::Auto => ChecksumChoice::Auto,
            Checksum::Rfc9568 => ChecksumChoice::Rfc9568,
            Checksum::PseudoHeader => ChecksumChoice::PseudoHeader,
        }))
}

/// Who is heard where advertisements go to peers.
fn peers(config: &InstanceConfig) -> Vec<Peer> {
    let peers = config.unicast.iter().flat_map(|unicast| &unicast.peers);
    peers.map(|peer| Peer { address: peer.address, ttl: peer.ttl }).collect()
}

/// Takes a packet apart as far as its VRID.
///
/// # Errors
/// It is too short to have one.
pub(super) fn identify<'a>(
    datagram: &Datagram,
    payload: &'a [u8],
) -> Result<Identified<'a>, DiscardReason> {
    receive::identify(receive::Datagram {
        source: datagram.source,
        destination: datagram.destination,
        hop_limit: Some(datagram.hop_limit),
        payload,
    })
}
