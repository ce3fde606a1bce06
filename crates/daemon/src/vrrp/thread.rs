//! The VRRP thread's loop: commands, links, packets, timers, in this order, then sleep until one of them has something new. Only
//! what has something new is asked, so that a turn costs the same with one instance as with a thousand.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use holdfast_config::Instance as InstanceConfig;
use holdfast_control as control;
use holdfast_net::{
    Datagram, LinkEvent, LinkMonitor, MonitorError, VrrpSocketError, Waker, now, realtime,
    suspended, wait_until,
};
use holdfast_time::Instant;
use vrrp::receive;
use vrrp::{InvalidAddresses, InvalidParams};

use super::addresses::{AddressThread, AddressThreadError};
use super::instance::{Instance, Means, identify};
use super::lateness::Lateness;
use super::roster::Roster;
use super::sockets::{SocketKey, Sockets};
use super::{Command, VrrpError};

/// Low among real-time priorities: above all usual processes, below what the kernel and hardware need.
const PRIORITY: u8 = 2;

/// A suspension of less is none: the two clocks are read one after the other.
const SUSPENSION: Duration = Duration::from_millis(10);

/// Everything that the thread owns.
#[derive(Debug)]
pub(super) struct VrrpThread {
    roster: Roster,
    sockets: Sockets,
    links: LinkMonitor,
    addresses: AddressThread,
    commands: Receiver<Command>,
    waker: Waker,
    /// Packets that no instance was there for, of each socket, by reason.
    strays: BTreeMap<SocketKey, vrrp::Discards>,
    lateness: Lateness,
    /// How long the machine had been suspended at the last look.
    suspended: Duration,
}

/// What there is to read after a sleep.
#[derive(Debug)]
struct News {
    links: bool,
    sockets: Vec<SocketKey>,
    /// Sockets that are not named were empty at this moment.
    idle_at: Instant,
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
        configured: Vec<InstanceConfig>,
        commands: Receiver<Command>,
        waker: Waker,
    ) -> Result<Self, VrrpError> {
        let links = LinkMonitor::open().map_err(|error| VrrpError::Thread(error.into()))?;
        let mut sockets = Sockets::default();
        let claims = configured.iter().map(Instance::claim).collect();
        let mut instances = Vec::new();
        // Nobody takes part before everybody can: a start that fails leaves nothing behind.
        for config in configured {
            let name = config.name.clone();
            let failed = |source| VrrpError::Instance { instance: name.clone(), source };
            let instance = Instance::new(config, now()).map_err(failed)?;
            instance.open_socket(&links, &mut sockets).map_err(|error| failed(error.into()))?;
            instances.push(instance);
        }
        let addresses = AddressThread::start(claims, waker.clone())
            .map_err(|error| VrrpError::Thread(error.into()))?;
        Ok(Self {
            roster: Roster::new(instances),
            sockets,
            links,
            addresses,
            commands,
            waker,
            strays: BTreeMap::new(),
            lateness: Lateness::default(),
            suspended: suspended(),
        })
    }

    /// Works until it is told to stop, or nobody is left to tell it.
    pub(super) fn run(mut self) {
        be_on_time();
        self.see_interfaces();
        let mut news = News { links: true, sockets: Vec::new(), idle_at: now() };
        while self.take_commands() {
            self.notice_suspension();
            if news.links {
                self.follow_links();
            }
            let read_until = self.read_packets(&news.sockets);
            self.fire_timers(&read_until, news.idle_at);
            news = self.sleep();
        }
        let means = Means { sockets: &self.sockets, addresses: &self.addresses };
        self.roster.each(|instance| instance.shut_down(now(), means));
        // Waits until the addresses are gone.
        drop(self.addresses);
    }

    /// Takes every command that waits; false when the thread is to stop.
    fn take_commands(&self) -> bool {
        self.waker.drain();
        if !self.addresses.works() {
            tracing::error!("the address thread ended by a fault of the daemon: VRRP stops");
            return false;
        }
        loop {
            match self.commands.try_recv() {
                // Whoever asked may have gone away meanwhile.
                Ok(Command::Status(answer)) => drop(answer.send(self.status())),
                Ok(Command::Stop) | Err(TryRecvError::Disconnected) => return false,
                Err(TryRecvError::Empty) => return true,
            }
        }
    }

    fn status(&self) -> Vec<control::Instance> {
        let at = now();
        let strays = |of: &Instance| self.strays.get(&of.socket()?);
        let view =
            |one: &Instance| one.status(at, strays(one), &self.addresses.outcome(one.name()));
        self.roster.iter().map(view).collect()
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
        let means = Means { sockets: &self.sockets, addresses: &self.addresses };
        self.roster.each(|instance| instance.resume(now(), means));
    }

    /// Takes the changes of interfaces that have been heard of, and lets every instance see what its interface is now.
    fn follow_links(&mut self) {
        let mut changed = false;
        loop {
            match self.links.recv() {
                Ok(Some(event)) => {
                    self.lose_what_is_gone(&event);
                    changed = true;
                }
                Ok(None) => break,
                Err(error) => {
                    tracing::warn!(%error, "the interfaces could not be followed");
                    break;
                }
            }
        }
        if changed {
            self.see_interfaces();
        }
    }

    fn see_interfaces(&mut self) {
        let Self { roster, sockets, links, addresses, .. } = self;
        roster.each(|instance| {
            if let Err(error) = instance.see_interface(now(), links, sockets, addresses) {
                tracing::error!(instance = %instance.name(), %error, "the instance has no socket");
            }
        });
        roster.find_sockets();
    }

    /// What is gone takes its part of every instance's state along, even if something that looks the same is there already.
    fn lose_what_is_gone(&mut self, event: &LinkEvent) {
        let means = Means { sockets: &self.sockets, addresses: &self.addresses };
        match event {
            LinkEvent::LinkRemoved(interface) => {
                self.roster.each(|instance| instance.interface_removed(now(), interface, means));
                self.sockets.close(interface.index);
                self.strays.retain(|(index, _), _| *index != interface.index);
            }
            LinkEvent::AddressRemoved { interface, address } => {
                self.roster.each(|instance| {
                    instance.address_removed(interface, address, means.addresses);
                });
            }
            LinkEvent::Link(_) | LinkEvent::Address { .. } => {}
        }
    }

    /// Gives every packet that has arrived to the instance that it is for.
    fn read_packets(&mut self, readable: &[SocketKey]) -> Vec<(SocketKey, Instant)> {
        let Self { roster, sockets, addresses, strays, .. } = self;
        let means = Means { sockets, addresses };
        sockets.drain(readable, |key, datagram, payload| {
            if let Err(reason) = dispatch(roster, means, key, datagram, payload) {
                strays.entry(key).or_default().count(reason);
            }
        })
    }

    fn fire_timers(&mut self, read_until: &[(SocketKey, Instant)], idle_at: Instant) {
        let Self { roster, sockets, addresses, lateness, .. } = self;
        let means = Means { sockets, addresses };
        roster.due(now(), |instance| {
            let read = read_until.iter().find(|(key, _)| instance.socket() == Some(*key));
            let read = read.map_or(idle_at, |(_, until)| *until);
            if let Some(late) = instance.fire(now(), read, means) {
                lateness.count(late);
            }
        });
    }

    fn sleep(&self) -> News {
        let deadline = self.roster.deadline();
        let descriptors: Vec<BorrowedFd<'_>> = [self.waker.as_fd(), self.links.as_fd()]
            .into_iter()
            .chain(self.sockets.descriptors())
            .collect();
        let before = now();
        match wait_until(&descriptors, deadline) {
            Ok(ready) => {
                // Nothing came before the deadline: every queue was empty when it had passed.
                let idle = deadline.filter(|_| !ready.contains(&true));
                let mut ready = ready.into_iter().skip(1);
                let links = ready.next().unwrap_or(true);
                let sockets = self.sockets.keys().zip(ready).filter(|(_, ready)| *ready);
                let sockets = sockets.map(|(key, _)| key).collect();
                News { links, sockets, idle_at: idle.map_or(before, |at| at.max(before)) }
            }
            Err(error) => {
                // The timers still have to be served; without this pause a kernel out of memory would be asked in a busy loop.
                tracing::error!(%error, "the VRRP thread could not sleep");
                std::thread::sleep(Duration::from_millis(1));
                News { links: true, sockets: self.sockets.keys().collect(), idle_at: before }
            }
        }
    }
}

/// Asks for what keeps the calling thread on time on a busy host. Without it the protocol works, a little later under load.
fn be_on_time() {
    for refused in
        [realtime::enter(PRIORITY), realtime::lock_memory()].into_iter().filter_map(Result::err)
    {
        tracing::info!(%refused, "advertisements may be late when the host is busy");
    }
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
    match roster.addressee(key, &packet, |instance| instance.receive(now(), &packet, means)) {
        Some(()) => Ok(()),
        None => receive::check(&packet, None).map(|_| ()),
    }
}
