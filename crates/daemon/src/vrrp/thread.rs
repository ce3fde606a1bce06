//! The VRRP thread's loop: commands, links, packets, timers, in this order, then sleep until one of them has something new.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::mpsc::{Receiver, TryRecvError};

use holdfast_config::Instance as InstanceConfig;
use holdfast_net::{
    Datagram, LinkEvent, LinkMonitor, MonitorError, VrrpSocketError, Waker, now, realtime,
    wait_until,
};
use holdfast_time::Instant;
use vrrp::receive;
use vrrp::{InvalidAddresses, InvalidParams};

use super::addresses::{AddressThread, AddressThreadError};
use super::instance::{Instance, Means, identify};
use super::sockets::{SocketKey, Sockets};
use super::{Command, VrrpError};

/// Low among real-time priorities: above all usual processes, below what the kernel and hardware need.
const PRIORITY: u8 = 2;

/// Everything that the thread owns.
#[derive(Debug)]
pub(super) struct VrrpThread {
    instances: Vec<Instance>,
    sockets: Sockets,
    links: LinkMonitor,
    addresses: AddressThread,
    commands: Receiver<Command>,
    waker: Waker,
    /// Packets that no instance was there for, of each socket, by reason.
    strays: BTreeMap<SocketKey, vrrp::Discards>,
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
        let strays = BTreeMap::new();
        Ok(Self { instances, sockets, links, addresses, commands, waker, strays })
    }

    /// Works until it is told to stop, or nobody is left to tell it.
    pub(super) fn run(mut self) {
        be_on_time();
        self.see_interfaces();
        while self.take_commands() {
            self.follow_links();
            let read_until = self.read_packets();
            self.fire_timers(&read_until);
            self.sleep();
        }
        let means = Means { sockets: &self.sockets, addresses: &self.addresses };
        for instance in &mut self.instances {
            instance.shut_down(now(), means);
        }
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
                Ok(Command::Status(answer)) => {
                    let at = now();
                    let strays = |of: &Instance| self.strays.get(&of.socket()?);
                    let status = self.instances.iter().map(|one| {
                        one.status(at, strays(one), &self.addresses.outcome(one.name()))
                    });
                    let status = status.collect();
                    // Whoever asked may have gone away meanwhile.
                    drop(answer.send(status));
                }
                Ok(Command::Stop) | Err(TryRecvError::Disconnected) => return false,
                Err(TryRecvError::Empty) => return true,
            }
        }
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
        for instance in &mut self.instances {
            let seen =
                instance.see_interface(now(), &self.links, &mut self.sockets, &self.addresses);
            if let Err(error) = seen {
                tracing::error!(instance = %instance.name(), %error, "the instance has no socket");
            }
        }
    }

    /// What is gone takes its part of every instance's state along, even if something that looks the same is there already.
    fn lose_what_is_gone(&mut self, event: &LinkEvent) {
        match event {
            LinkEvent::LinkRemoved(interface) => {
                let means = Means { sockets: &self.sockets, addresses: &self.addresses };
                for instance in &mut self.instances {
                    instance.interface_removed(now(), interface, means);
                }
                self.sockets.close(interface.index);
                self.strays.retain(|(index, _), _| *index != interface.index);
            }
            LinkEvent::AddressRemoved { interface, address } => {
                for instance in &mut self.instances {
                    instance.address_removed(interface, address, &self.addresses);
                }
            }
            LinkEvent::Link(_) | LinkEvent::Address { .. } => {}
        }
    }

    /// Gives every packet that has arrived to the instance that it is for.
    fn read_packets(&mut self) -> BTreeMap<SocketKey, Instant> {
        let Self { instances, sockets, addresses, strays, .. } = self;
        let means = Means { sockets, addresses };
        sockets.drain(|key, datagram, payload| {
            if let Err(reason) = dispatch(instances, means, key, datagram, payload) {
                strays.entry(key).or_default().count(reason);
            }
        })
    }

    fn fire_timers(&mut self, read_until: &BTreeMap<SocketKey, Instant>) {
        let means = Means { sockets: &self.sockets, addresses: &self.addresses };
        for instance in &mut self.instances {
            let now = now();
            let read = instance.socket().and_then(|key| read_until.get(&key)).copied();
            instance.fire(now, read.unwrap_or(now), means);
        }
    }

    fn sleep(&self) {
        let deadline = self.instances.iter().filter_map(Instance::deadline).min();
        let descriptors: Vec<BorrowedFd<'_>> = [self.waker.as_fd(), self.links.as_fd()]
            .into_iter()
            .chain(self.sockets.descriptors())
            .collect();
        if let Err(error) = wait_until(&descriptors, deadline) {
            // The timers still have to be served; without this pause a kernel out of memory would be asked in a busy loop.
            tracing::error!(%error, "the VRRP thread could not sleep");
            std::thread::sleep(std::time::Duration::from_millis(1));
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
    instances: &mut [Instance],
    means: Means<'_>,
    key: SocketKey,
    datagram: &Datagram,
    payload: &[u8],
) -> Result<(), vrrp::DiscardReason> {
    let packet = identify(datagram, payload)?;
    match instances.iter_mut().find(|instance| instance.is_for(key, &packet)) {
        Some(instance) => {
            instance.receive(now(), &packet, means);
            Ok(())
        }
        None => receive::check(&packet, None).map(|_| ()),
    }
}
