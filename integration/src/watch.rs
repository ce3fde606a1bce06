//! Listens to every advertisement on the wire, and says whether two routers have claimed the same addresses at once.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use holdfast_net::{Interface, MAX_DATAGRAM, VrrpSocket, now, wait_until};
use holdfast_testkit::lab::Node;
use holdfast_time::Instant;
use vrrp::AddressFamily;

use crate::pair::LIMIT;

/// How often the listener looks whether it is to end.
const TURN: Duration = Duration::from_millis(50);

/// An advertisement that was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// When the kernel received it.
    pub at: Instant,
    /// Who sent it.
    pub source: IpAddr,
    /// The priority in it; 0 says goodbye.
    pub priority: u8,
}

/// A listener on a node, in a thread of its own, until it is dropped.
#[derive(Debug)]
pub struct Watch {
    heard: Arc<Mutex<Vec<Heard>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Listens on `node`'s `eth0` for one family: to what goes to VRRP's group, and to this node itself.
    ///
    /// # Errors
    /// The raw socket can't be opened.
    pub fn start(node: &Node, family: AddressFamily) -> Result<Self> {
        Self::start_in(node, family, None)
    }

    /// As [`Watch::start`], in another group, too.
    ///
    /// # Errors
    /// The raw socket can't be opened.
    pub fn start_in(node: &Node, family: AddressFamily, group: Option<IpAddr>) -> Result<Self> {
        let socket = node
            .enter(|| {
                let interface = Interface::by_name("eth0").context("find eth0")?;
                let socket = VrrpSocket::open(&interface, family);
                let socket = socket.context("open a socket to listen")?;
                group.map_or(Ok(()), |group| socket.join(group)).context("join the group")?;
                anyhow::Ok(socket)
            })
            .context("listen to advertisements")??;
        let (heard, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let thread = std::thread::spawn({
            let (heard, stop) = (Arc::clone(&heard), Arc::clone(&stop));
            move || listen(&socket, &heard, &stop)
        });
        Ok(Self { heard, stop, thread: Some(thread) })
    }

    /// All that was heard until now, in order.
    pub fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until `source` has said goodbye: what was sent is heard a moment later.
    ///
    /// # Errors
    /// It has not.
    pub fn wait_released(&self, source: IpAddr) -> Result<()> {
        let released = || self.has_released(source).then_some(());
        holdfast_testkit::lab::wait_until(LIMIT, &format!("a goodbye of {source}"), released)
    }

    /// Whether `source` has said goodbye.
    pub fn has_released(&self, source: IpAddr) -> bool {
        self.heard().iter().any(|one| one.source == source && one.priority == 0)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // One that panicked has heard nothing more, which its reader notices.
            drop(thread.join());
        }
    }
}

fn listen(socket: &VrrpSocket, heard: &Mutex<Vec<Heard>>, stop: &AtomicBool) {
    use std::os::fd::AsFd;
    let mut buffer = [0; MAX_DATAGRAM];
    while !stop.load(Ordering::Relaxed) {
        wait_until(&[socket.as_fd()], Some(now() + TURN)).expect("the listener can sleep");
        while let Ok(Some(datagram)) = socket.recv(&mut buffer) {
            let priority = buffer.get(datagram.payload.clone()).and_then(|bytes| bytes.get(2));
            if let Some(&priority) = priority {
                let one = Heard { at: datagram.received_at, source: datagram.source, priority };
                heard.lock().unwrap_or_else(PoisonError::into_inner).push(one);
            }
        }
    }
}

/// The longest time for which two sources both claimed the addresses. A claim lasts from a source's first advertisement to its
/// last one before it says goodbye, or is silent for longer than half as much again as `interval`: who has taken over again after
/// a short reign of somebody else has made two claims.
pub fn longest_overlap(heard: &[Heard], interval: Duration) -> Duration {
    let mut claims: Vec<(IpAddr, Instant, Instant)> = Vec::new();
    let mut open: Vec<(IpAddr, Instant, Instant)> = Vec::new();
    for one in heard {
        let known = open.iter().position(|(source, _, _)| *source == one.source);
        let mut claim = known.map(|position| open.swap_remove(position));
        let is_old = |(_, _, last): &(_, _, Instant)| {
            one.priority == 0 || one.at.saturating_since(*last) > interval * 3 / 2
        };
        claims.extend(claim.take_if(|claim| is_old(claim)));
        if one.priority > 0 {
            open.push((one.source, claim.map_or(one.at, |(_, first, _)| first), one.at));
        }
    }
    claims.append(&mut open);
    let pairs = claims.iter().enumerate().flat_map(|(index, one)| {
        claims
            .iter()
            .skip(index + 1)
            .filter(|other| other.0 != one.0)
            .map(move |other| (one, other))
    });
    pairs
        .map(|(one, other)| one.2.min(other.2).saturating_since(one.1.max(other.1)))
        .max()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(100);

    fn heard(all: &[(u32, u8, u8)]) -> Vec<Heard> {
        let start = now();
        all.iter()
            .map(|&(at, host, priority)| Heard {
                at: start + INTERVAL * at / 10,
                source: IpAddr::from([192, 0, 2, host]),
                priority,
            })
            .collect()
    }

    #[test]
    fn one_after_the_other_is_no_overlap() {
        let silence =
            heard(&[(0, 1, 150), (10, 1, 150), (46, 2, 100), (56, 2, 100), (100, 1, 150)]);
        assert_eq!(longest_overlap(&silence, INTERVAL), Duration::ZERO);
        let goodbye = heard(&[(0, 1, 150), (10, 1, 150), (15, 1, 0), (16, 2, 100), (26, 2, 100)]);
        assert_eq!(longest_overlap(&goodbye, INTERVAL), Duration::ZERO);
        let short_reign = heard(&[
            (0, 1, 100),
            (10, 1, 100),
            (15, 2, 150),
            (25, 2, 150),
            (28, 2, 0),
            (33, 1, 100),
        ]);
        assert_eq!(longest_overlap(&short_reign, INTERVAL), Duration::ZERO);
    }

    #[test]
    fn a_contest_lasts_as_long_as_both_go_on() {
        let contest = [
            (0, 1, 100),
            (10, 1, 100),
            (12, 2, 150),
            (20, 1, 100),
            (22, 2, 150),
            (30, 1, 100),
            (32, 2, 150),
        ];
        assert_eq!(longest_overlap(&heard(&contest), INTERVAL), INTERVAL * 18 / 10);
        let yields = heard(&[(0, 1, 100), (10, 2, 150), (11, 1, 100), (20, 2, 150), (30, 2, 150)]);
        assert_eq!(longest_overlap(&yields, INTERVAL), INTERVAL / 10);
    }
}
