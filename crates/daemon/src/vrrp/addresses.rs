//! The address thread: adds, removes and announces virtual addresses, in the order in which the protocol asked for it.
//!
//! The VRRP thread never waits for it: work that does not fit into the queue is refused, and the refusal is reported.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use holdfast_config::Name;
use holdfast_net::{AddressError, AddressSocket, Announcer, Interface, MacAddress, now};
use holdfast_time::Instant;
use ipnet::IpNet;

/// So much work waits; what comes then is refused.
const WORK_MAX: usize = 1024;

/// How often an address is announced in one burst, as keepalived's `garp_master_repeat` by default.
const BURST: usize = 5;

/// When the burst is repeated, as keepalived's `garp_master_delay` by default: switches that missed the first one learn then.
const REPEAT_DELAY: Duration = Duration::from_secs(5);

/// What is to be done, for one instance on one interface.
#[derive(Clone, Debug)]
pub(super) struct Work {
    pub(super) instance: Name,
    pub(super) interface: Interface,
    pub(super) task: Task,
}

/// What is to be done.
#[derive(Clone, Debug)]
pub(super) enum Task {
    /// Put the addresses on the interface.
    Install(Vec<IpNet>),
    /// Take them away. An announcement that was to be repeated is not.
    Remove(Vec<IpNet>),
    /// Announce them at this MAC address, now and once more after [`REPEAT_DELAY`].
    Announce(Vec<IpAddr>, MacAddress),
}

/// What became of a change of addresses: empty when all went well.
#[derive(Clone, Debug)]
pub(super) struct Done {
    pub(super) instance: Name,
    pub(super) problems: Vec<String>,
}

/// The address thread from outside.
#[derive(Debug)]
pub(super) struct AddressThread {
    work: SyncSender<Work>,
    done: Receiver<Done>,
    thread: JoinHandle<()>,
}

impl AddressThread {
    /// Starts the thread.
    ///
    /// # Errors
    /// No thread or no netlink socket can be had.
    pub(super) fn start() -> Result<Self, AddressThreadError> {
        let (work, receiver) = sync_channel(WORK_MAX);
        let (sender, done) = sync_channel(WORK_MAX);
        let socket = AddressSocket::open().map_err(AddressThreadError::Socket)?;
        let thread = std::thread::Builder::new()
            .name("addresses".to_owned())
            .spawn(move || Worker { socket, done: sender, repeats: VecDeque::new() }.run(&receiver))
            .map_err(AddressThreadError::Thread)?;
        Ok(Self { work, done, thread })
    }

    /// Hands over `work` without waiting; false when there is no room for it.
    pub(super) fn submit(&self, work: Work) -> bool {
        match self.work.try_send(work) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }

    /// What has been done since the last call.
    pub(super) fn done(&self) -> impl Iterator<Item = Done> + '_ {
        self.done.try_iter()
    }

    /// Lets the thread finish what it was given, and waits for it.
    pub(super) fn finish(self) {
        drop(self.work);
        if self.thread.join().is_err() {
            tracing::error!("the address thread had panicked: addresses may be left behind");
        }
    }
}

/// Why there is no address thread.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum AddressThreadError {
    /// The operating system has no thread left.
    #[error("start the address thread")]
    Thread(#[source] io::Error),
    /// No netlink socket.
    #[error(transparent)]
    Socket(AddressError),
}

/// An announcement that is due again.
#[derive(Debug)]
struct Repeat {
    at: Instant,
    work: Work,
}

#[derive(Debug)]
struct Worker {
    socket: AddressSocket,
    done: SyncSender<Done>,
    /// Ordered by time, since all wait equally long. At most one for each instance.
    repeats: VecDeque<Repeat>,
}

impl Worker {
    /// Works until the VRRP thread lets go of the queue.
    fn run(mut self, queue: &Receiver<Work>) {
        loop {
            let next = self.repeats.front().map(|repeat| repeat.at.saturating_since(now()));
            let received = match next {
                Some(wait) => queue.recv_timeout(wait),
                None => queue.recv().map_err(RecvTimeoutError::from),
            };
            match received {
                Ok(work) => self.perform(work),
                Err(RecvTimeoutError::Timeout) => self.repeat(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn perform(&mut self, work: Work) {
        match &work.task {
            Task::Install(addresses) => {
                let results = self.socket.add(&work.interface, addresses);
                self.tell(&work, results.into_iter().filter_map(Result::err).collect());
            }
            Task::Remove(addresses) => {
                self.forget_repeat(&work.instance);
                let results = self.socket.remove(&work.interface, addresses);
                self.tell(&work, results.into_iter().filter_map(Result::err).collect());
            }
            Task::Announce(addresses, mac) => {
                announce(&work, addresses, *mac);
                self.forget_repeat(&work.instance);
                self.repeats.push_back(Repeat { at: now() + REPEAT_DELAY, work });
            }
        }
    }

    fn tell(&self, work: &Work, problems: Vec<AddressError>) {
        for problem in &problems {
            tracing::error!(instance = %work.instance, %problem, "a virtual address could not be changed");
        }
        let problems = problems.iter().map(ToString::to_string).collect();
        // The VRRP thread empties this queue at each turn; a report too many is in the log.
        drop(self.done.try_send(Done { instance: work.instance.clone(), problems }));
    }

    fn repeat(&mut self) {
        let Some(Repeat { work, .. }) = self.repeats.pop_front() else { return };
        if let Task::Announce(addresses, mac) = &work.task {
            announce(&work, addresses, *mac);
        }
    }

    fn forget_repeat(&mut self, instance: &Name) {
        self.repeats.retain(|repeat| repeat.work.instance != *instance);
    }
}

/// Announces every address [`BURST`] times, in turn.
fn announce(work: &Work, addresses: &[IpAddr], mac: MacAddress) {
    let announcer = match Announcer::open(&work.interface) {
        Ok(announcer) => announcer,
        Err(error) => {
            tracing::error!(instance = %work.instance, %error, "nothing could be announced");
            return;
        }
    };
    for _ in 0..BURST {
        for address in addresses {
            if let Err(error) = announcer.announce(mac, *address) {
                tracing::warn!(instance = %work.instance, %error, "a virtual address could not be announced");
            }
        }
    }
}
