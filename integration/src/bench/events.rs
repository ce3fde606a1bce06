//! Addresses and the carrier of a node as they come and go, with the time at which the kernel's message was read.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use holdfast_net::{LinkEvent, LinkMonitor, now, realtime, wait_until};
use holdfast_testkit::lab::Node;
use holdfast_time::Instant;

/// How often the listener looks whether it is to end.
const TURN: Duration = Duration::from_millis(50);

/// Above the daemons' own real-time priorities, where it is allowed.
const PRIORITY: u8 = 4;

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The address is there.
    Added(IpAddr),
    /// The address is gone.
    Removed(IpAddr),
    /// `eth0` has no carrier.
    CarrierLost,
}

/// When, and what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// When the message was read.
    pub at: Instant,
    /// What it says.
    pub what: What,
}

/// A listener on a node, in a thread of its own, until it is dropped.
#[derive(Debug)]
pub struct Events {
    events: Arc<Mutex<Vec<Event>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Events {
    /// Listens on `node`; what is there already is told first.
    ///
    /// # Errors
    /// The netlink socket can't be opened.
    pub fn start(node: &Node) -> Result<Self> {
        let monitor = node.enter(LinkMonitor::open)?.context("listen to netlink")?;
        let (events, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let thread = std::thread::spawn({
            let (events, stop) = (Arc::clone(&events), Arc::clone(&stop));
            move || listen(monitor, &events, &stop)
        });
        Ok(Self { events, stop, thread: Some(thread) })
    }

    /// What has happened at `since` or later, in order.
    pub fn since(&self, since: Instant) -> Vec<Event> {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let from = events.partition_point(|event| event.at < since);
        events.iter().skip(from).copied().collect()
    }

    /// When `what` first happened, at `since` or later.
    pub fn first(&self, what: What, since: Instant) -> Option<Instant> {
        self.since(since).into_iter().find(|event| event.what == what).map(|event| event.at)
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn listen(mut monitor: LinkMonitor, events: &Mutex<Vec<Event>>, stop: &AtomicBool) {
    // Refused, it measures all the same, with more noise.
    let _refused = realtime::enter(PRIORITY);
    while !stop.load(Ordering::Relaxed) {
        let descriptors: Vec<_> = monitor.descriptors().collect();
        wait_until(&descriptors, Some(now() + TURN)).expect("the listener can sleep");
        while let Ok(Some(event)) = monitor.recv() {
            let at = now();
            if let Some(what) = what(&event) {
                events.lock().unwrap_or_else(PoisonError::into_inner).push(Event { at, what });
            }
        }
    }
}

fn what(event: &LinkEvent) -> Option<What> {
    match event {
        LinkEvent::Address { address, .. } => Some(What::Added(address.address.addr())),
        LinkEvent::AddressRemoved { address, .. } => Some(What::Removed(address.addr())),
        LinkEvent::Link(link) if link.interface.name == "eth0" && !link.up => {
            Some(What::CarrierLost)
        }
        LinkEvent::Link(_) | LinkEvent::LinkRemoved(_) => None,
    }
}
