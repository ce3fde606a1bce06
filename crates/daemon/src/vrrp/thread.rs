//! The VRRP thread's loop: commands, links, packets, timers, in this order, then sleep until one of them has something new. Only
//! what has something new is asked, so that a turn costs the same with one instance as with a thousand.

mod links;
mod sleep;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use holdfast_config::{Name, Tracker};
use holdfast_control as control;
use holdfast_net::{Datagram, LinkMonitor, MonitorError, Waker, now, realtime, suspended};
use holdfast_time::Instant;
use vrrp::receive::{self, Identified};

use self::sleep::News;
use super::addresses::{AddressThread, AddressThreadError};
use super::groups::Groups;
use super::instance::{Instance, Means, Outside, Role, identify};
use super::lateness::{Hesitation, Lateness, STANDSTILL};
use super::reconfigure::{Leaving, brought};
use super::roster::Roster;
use super::sockets::{SocketKey, Sockets};
use super::testament::{Inheritance, Testament};
use super::tracking::Tracking;
use super::{Command, Plan, RoleError, Roles, Snapshot, Stop, StopSign, VrrpError};
use crate::api::RoleVerb;
use crate::chatter::Chatter;

/// Low among real-time priorities: above all usual processes, below what the kernel and hardware need.
const PRIORITY: u8 = 2;

/// A suspension of less is none: the two clocks are read one after the other.
const SUSPENSION: Duration = Duration::from_millis(10);

/// Everything that the thread owns.
#[derive(Debug)]
pub(super) struct VrrpThread {
    pub(super) roster: Roster,
    pub(super) outside: Outside,
    pub(super) links: LinkMonitor,
    pub(super) leaving: Leaving,
    /// When to ask [`Self::links`] though nothing was heard: it has failed.
    links_again: Option<Instant>,
    commands: Receiver<Command>,
    waker: Waker,
    /// Packets that no instance was there for, of each socket, by reason.
    pub(super) strays: BTreeMap<SocketKey, vrrp::Discards>,
    pub(super) tracking: Tracking,
    /// What is configured of the trackers.
    pub(super) trackers: BTreeMap<Name, Tracker>,
    pub(super) groups: Groups,
    lateness: Lateness,
    hesitation: Hesitation,
    /// How long the machine had been suspended at the last look.
    suspended: Duration,
    /// What keeps the thread on time, as far as the kernel allows it.
    /// What keeps it on time, once there is an instance: without one there is nothing to be late with.
    timing: Option<control::Timing>,
    pub(super) stop: Stop,
    sign: StopSign,
}

/// What the thread itself lacks at its start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum OpenError {
    /// No netlink socket for links.
    #[error(transparent)]
    Monitor(#[from] MonitorError),
    /// No thread for addresses.
    #[error(transparent)]
    Addresses(#[from] AddressThreadError),
}

impl VrrpThread {
    /// Opens everything, in the thread that will use it.
    ///
    /// # Errors
    /// A socket can't be had: a capability is missing, say.
    pub(super) fn open(
        plan: Plan,
        commands: Receiver<Command>,
        waker: Waker,
    ) -> Result<Self, VrrpError> {
        let links = LinkMonitor::open().map_err(|error| VrrpError::Thread(error.into()))?;
        let mut sockets = Sockets::default();
        let at = now();
        let inheritance = Inheritance::of(plan.estate.as_deref());
        let mut tracking = Tracking::new(at, &plan.settings, &plan.instances, plan.readings);
        tracking.inherit(at, inheritance.readings(&plan.settings.trackers));
        tracking.follow_links(at, links.interfaces());
        let groups = Groups::new(&plan.node, plan.settings.groups.values());
        let virtual_addresses = brought(&plan.instances);
        let claims = plan.instances.iter().map(Instance::claim).collect();
        let delay = Some(plan.settings.startup_delay).filter(|delay| !delay.is_zero());
        let starts_at = delay.map(|delay| at + delay);
        let mut instances = Vec::with_capacity(plan.instances.len());
        // Nobody takes part before everybody can: a start that fails leaves nothing behind.
        for config in plan.instances {
            let name = config.name.clone();
            let released = plan.released.contains(&name);
            let mut role = Role::new(config.priority, starts_at, released);
            let group = groups.name_of(&name).cloned();
            let failed = |source| VrrpError::Instance { instance: name.clone(), source };
            let inherited = inheritance.for_instance(at, &config);
            // Who goes on at once needs to know at once; of others it is said where they stand.
            if inherited.advertised.is_some()
                && let Some(standing) = tracking.standing(&name)
            {
                role.reposition(standing);
            }
            let mut instance = Instance::new(config, at, role, group).map_err(failed)?;
            instance.inherit(at, inherited);
            instance.open_socket(&links, &mut sockets).map_err(|error| failed(error.into()))?;
            instances.push(instance);
        }
        let interfaces = &plan.settings.interfaces;
        let heirs = instances.iter().filter(|one| one.inherits());
        let heirs = heirs.map(|one| one.name().clone()).collect();
        let addresses = AddressThread::start(claims, heirs, interfaces, &plan.state, waker.clone())
            .map_err(|error| VrrpError::Thread(error.into()))?;
        Ok(Self {
            roster: Roster::new(instances),
            outside: Outside {
                sockets,
                addresses,
                hooks: plan.hooks,
                fate: plan.fate,
                chatter: Chatter::default(),
                board: plan.board,
                testament: Testament::new(plan.estate),
                virtual_addresses,
            },
            trackers: plan.settings.trackers,
            links,
            leaving: Leaving::none(interfaces),
            links_again: None,
            commands,
            waker,
            strays: BTreeMap::new(),
            tracking,
            groups,
            lateness: Lateness::default(),
            hesitation: Hesitation::default(),
            suspended: suspended(),
            timing: None,
            stop: Stop::No,
            sign: plan.stop,
        })
    }

    /// Asks for what keeps the thread on time, once, when there is an instance.
    pub(super) fn be_on_time(&mut self) {
        if self.roster.iter().next().is_some() {
            self.timing.get_or_insert_with(ask_for_time);
        }
    }

    /// Works until it is told to stop and the addresses have another keeper, or nobody is left to tell it.
    pub(super) fn run(mut self) {
        self.be_on_time();
        self.see_all_interfaces();
        if self.roster.iter().any(Instance::inherits) {
            // All of a group that go on do so before the group is asked.
            self.enter();
        }
        self.settle();
        self.enter();
        self.settle_inheritances();
        let mut news = News::at_start(now());
        let mut looked_again = false;
        loop {
            self.take_commands();
            if self.is_over() {
                break;
            }
            self.notice_suspension();
            if news.links || self.links_again.is_some_and(|at| at <= now()) {
                self.follow_links();
            }
            if self.tracking.links_timeout(now()) {
                self.see_all_interfaces();
            }
            let read_until = self.read_packets(&news.sockets);
            // What came meanwhile is read before any timer fires; but a flood can't hold them up for ever.
            looked_again = !looked_again && self.stood_still(&news);
            if looked_again {
                news = self.sleep();
                continue;
            }
            match self.hesitation.begins(news.slept_at, news.at, news.late) {
                // An Active advertises; a Backup knows no more than before the sleep.
                Some(known) => self.fire_timers(&[], known),
                None => self.fire_timers(&read_until, news.idle_at),
            }
            self.settle();
            self.drop_leaving();
            self.vouch(&news, &read_until);
            // The last one may have come out of it by a timer, and then nothing wakes anybody any more.
            if self.is_over() {
                break;
            }
            news = self.sleep();
        }
        // Waits until the addresses are gone.
        drop(self.outside);
    }

    /// Gives the threads that put addresses there and renew them this one's word that it still means what it has said of them.
    fn vouch(&self, news: &News, read_until: &[(SocketKey, Instant)]) {
        let read = read_until.iter().map(|(_, until)| *until);
        self.outside.addresses.vouch(read.fold(news.idle_at, Instant::min), now());
    }

    /// Whether this thread was held up since it looked for packets, and a timer is due: what has come meanwhile was not seen, and the
    /// turn looks again.
    fn stood_still(&self, news: &News) -> bool {
        let at = now();
        at.saturating_since(news.at) >= STANDSTILL
            && self.roster.deadline().is_some_and(|deadline| deadline <= at)
    }

    /// Lets every instance take part that shall.
    pub(super) fn enter(&mut self) {
        let Self { roster, outside, .. } = self;
        roster.each(|instance| instance.apply(now(), outside));
    }

    /// Who is not Active in the place of a worker that died has no more chance to be.
    fn settle_inheritances(&mut self) {
        let Self { roster, outside, .. } = self;
        roster.each(|instance| instance.settle_inheritance(outside));
    }

    /// Lets trackers and groups say what follows from all that is new.
    pub(super) fn settle(&mut self) {
        let Self { roster, outside, tracking, groups, stop, .. } = self;
        for (name, unseated) in outside.addresses.seats() {
            roster.with(&name, |instance| instance.see_seat(now(), unseated, outside));
        }
        tracking.settle(now(), roster, outside);
        groups.settle(now(), *stop != Stop::No, roster, outside);
        outside.fate.settle(|wanted| roster.iter().for_each(|one| one.watch(wanted)));
        outside.chatter.sum_up(now());
    }

    fn is_over(&self) -> bool {
        match self.stop {
            Stop::No => false,
            Stop::Relieved => self.roster.iter().all(Instance::is_out),
            Stop::Now => true,
        }
    }

    /// Takes every command that waits.
    fn take_commands(&mut self) {
        self.waker.drain();
        if !self.outside.addresses.works() {
            tracing::error!("the address thread ended by a fault of the daemon: VRRP stops");
            self.step_back(Stop::Now);
            return;
        }
        match self.sign.shows() {
            Stop::Now => self.stop = Stop::Now,
            Stop::Relieved if self.stop == Stop::No => self.step_back(Stop::Relieved),
            Stop::Relieved | Stop::No => {}
        }
        loop {
            match self.commands.try_recv() {
                // Whoever asked may have gone away meanwhile, here and below.
                Ok(Command::Status(answer)) => drop(answer.send(self.snapshot())),
                Ok(Command::Alive(answer)) => drop(answer.send(())),
                Ok(Command::Role { instances, verb, permit, answer }) => {
                    if permit.take() {
                        drop(answer.send(self.change_roles(&instances, verb)));
                    }
                }
                Ok(Command::Reconfigure { next, permit, answer }) => {
                    if permit.take() {
                        drop(answer.send(self.reconfigure(*next)));
                    }
                }
                Err(TryRecvError::Disconnected) => return self.step_back(Stop::Now),
                Err(TryRecvError::Empty) => return,
            }
        }
    }

    fn step_back(&mut self, stop: Stop) {
        self.stop = stop;
        let Self { roster, outside, .. } = self;
        roster.each(|instance| instance.shut_down(now(), outside));
    }

    /// What the operator wants of `names`, of all or, when one of them can't, of none.
    fn change_roles(&mut self, names: &[Name], verb: RoleVerb) -> Result<Roles, RoleError> {
        let Self { roster, outside, .. } = self;
        for name in names {
            roster.with(name, |instance| instance.may(verb)).transpose()?;
        }
        let at = now();
        let mut changed = false;
        outside.testament.outdate();
        for name in names {
            let new = roster.with(name, |instance| match verb {
                RoleVerb::Release { .. } => instance.release(at, outside),
                RoleVerb::Resume => instance.take_part_again(at, outside),
                RoleVerb::Failover => instance.fail_over(at, outside),
            });
            changed |= new.unwrap_or(false);
        }
        let instances = names.iter().filter_map(|name| self.roster.get(name));
        Ok(Roles { changed, instances: instances.map(|one| self.view(at, one)).collect() })
    }

    fn snapshot(&self) -> Snapshot {
        let at = now();
        Snapshot {
            instances: self.roster.iter().map(|one| self.view(at, one)).collect(),
            groups: self.groups.view(),
            trackers: self.tracking.view(at),
            bfd: Vec::new(),
            bfd_strays: BTreeMap::new(),
            fate: None,
            timing: control::Timing {
                lost_packets: self.outside.sockets.dropped(),
                link_resynchronisations: self.links.resynchronisations(),
                ..self.lateness.view(self.timing.clone().unwrap_or_default())
            },
        }
    }

    fn view(&self, at: Instant, instance: &Instance) -> control::Instance {
        let strays = instance.socket().and_then(|key| self.strays.get(&key));
        instance.status(at, strays, &self.outside.addresses.outcome(instance.name()))
    }

    /// After a sleep of the whole machine the queues have lost what peers sent meanwhile (C5).
    fn notice_suspension(&mut self) {
        let suspended = suspended();
        let slept = suspended.saturating_sub(self.suspended);
        if slept < SUSPENSION {
            return;
        }
        self.suspended = suspended;
        tracing::warn!(?slept, "the machine was suspended: Backups listen anew");
        let Self { roster, outside, .. } = self;
        roster.each(|instance| instance.resume(now(), outside));
    }

    /// Gives every packet that has arrived to the instance that it is for.
    fn read_packets(&mut self, readable: &[SocketKey]) -> Vec<(SocketKey, Instant)> {
        let Self { roster, outside, strays, .. } = self;
        outside.sockets.drain(readable, |key, datagram, payload| {
            if let Err(reason) = dispatch(roster, outside, key, datagram, payload) {
                strays.entry(key).or_default().count(reason);
            }
        })
    }

    fn fire_timers(&mut self, read_until: &[(SocketKey, Instant)], idle_at: Instant) {
        let Self { roster, outside, lateness, .. } = self;
        roster.due(now(), |instance| {
            let read = read_until.iter().find(|(key, _)| instance.socket() == Some(*key));
            let read = read.map_or(idle_at, |(_, until)| *until);
            if let Some(late) = instance.fire(now(), read, outside) {
                lateness.count(late);
            }
        });
    }
}

/// Asks for what keeps the calling thread on time on a busy host. Without it the protocol works, a little later under load.
fn ask_for_time() -> control::Timing {
    let realtime = realtime::enter(PRIORITY);
    let memory = realtime::lock_memory();
    let timing = control::Timing {
        realtime: realtime.is_ok(),
        memory_locked: memory.is_ok(),
        ..control::Timing::default()
    };
    for refused in [realtime, memory].into_iter().filter_map(Result::err) {
        tracing::info!(%refused, "advertisements may be late when the host is busy");
    }
    timing
}

/// Gives a packet to the instance that it is for.
///
/// # Errors
/// No instance is, for the reason that comes first.
fn dispatch(
    roster: &mut Roster,
    means: Means<'_>,
    key: SocketKey,
    datagram: &Datagram,
    payload: &[u8],
) -> Result<(), vrrp::DiscardReason> {
    let packet = identify(datagram, payload)?;
    let heard = roster.addressee(key, &packet, |instance| {
        let hears = instance.hears(datagram.destination);
        hears.then(|| instance.receive(now(), &packet, means))
    });
    if heard.is_none() {
        notice_other_vrid(roster, means, key, &packet);
    }
    match heard.flatten() {
        Some(()) => Ok(()),
        None => receive::check(&packet, None).map(|_| ()),
    }
}

/// A packet for a VRID that no instance has may have one's address: the same virtual router was meant, or the address is given twice.
fn notice_other_vrid(
    roster: &mut Roster,
    means: Means<'_>,
    key: SocketKey,
    packet: &Identified<'_>,
) {
    if !receive::is_sound(packet) {
        return;
    }
    let ours = |address: &IpAddr| means.virtual_addresses.contains(address);
    if let Some(address) = packet.addresses().and_then(|mut all| all.find(ours)) {
        roster.bringer(key, address, |one| one.hear_other_vrid(now(), packet, address, means));
    }
}
