//! Questions at a steady pace to the virtual address, and who answers: an echo on each director puts its number into the answer.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use holdfast_net::{now, realtime};
use holdfast_testkit::lab::Node;
use holdfast_time::Instant;

/// The echo's port.
const PORT: u16 = 7007;

/// Above the daemons' own real-time priorities, where it is allowed: what is late shall be theirs, not ours.
const PRIORITY: u8 = 4;

/// How often a thread that hears nothing looks whether it is to end.
const TURN: Duration = Duration::from_millis(50);

/// Threads that end when this is dropped.
#[derive(Debug, Default)]
struct Threads {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Threads {
    /// Starts a thread that does `turn` again and again.
    fn start(&mut self, mut turn: impl FnMut() + Send + 'static) {
        let stop = Arc::clone(&self.stop);
        self.threads.push(std::thread::spawn(move || {
            // Refused, it measures all the same, with more noise.
            let _refused = realtime::enter(PRIORITY);
            while !stop.load(Ordering::Relaxed) {
                turn();
            }
        }));
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}

/// Answers every datagram at its node with the node's number.
#[derive(Debug)]
pub struct Echo {
    _threads: Threads,
}

impl Echo {
    /// Starts answering at all addresses that `node` has, now and later.
    ///
    /// # Errors
    /// The socket can't be opened.
    pub fn start(node: &Node, number: u8) -> Result<Self> {
        let socket = socket(node, PORT)?;
        let mut threads = Threads::default();
        threads.start(move || {
            let mut question = [0; 16];
            if let Ok((_, from)) = socket.recv_from(&mut question) {
                // What can't be sent back is an answer that is missing, which is what is measured.
                drop(socket.send_to(&[number], from));
            }
        });
        Ok(Self { _threads: threads })
    }
}

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// When it was read.
    pub at: Instant,
    /// The number of the node that gave it.
    pub node: u8,
}

/// Asks one address at a steady pace, until it is dropped.
#[derive(Debug)]
pub struct Prober {
    replies: Arc<Mutex<Vec<Reply>>>,
    _threads: Threads,
}

impl Prober {
    /// Starts asking `vip` every `pace` from `client`.
    ///
    /// # Errors
    /// The socket can't be opened.
    pub fn start(client: &Node, vip: Ipv4Addr, pace: Duration) -> Result<Self> {
        let asking = socket(client, 0)?;
        let hearing = asking.try_clone().context("share a socket")?;
        let replies = Arc::new(Mutex::new(Vec::new()));
        let mut threads = Threads::default();
        threads.start({
            let replies = Arc::clone(&replies);
            move || {
                let mut answer = [0; 1];
                if let Ok((1, _)) = hearing.recv_from(&mut answer) {
                    let [node] = answer;
                    lock(&replies).push(Reply { at: now(), node });
                }
            }
        });
        let target = SocketAddr::from((vip, PORT));
        let mut next = now();
        threads.start(move || {
            // Nobody may be there; that is what is measured.
            drop(asking.send_to(b"?", target));
            next += pace;
            std::thread::sleep(next.saturating_since(now()));
        });
        Ok(Self { replies, _threads: threads })
    }

    /// All answers until now, in order.
    pub fn replies(&self) -> Vec<Reply> {
        lock(&self.replies).clone()
    }

    /// When `node` first answered, at `since` or later.
    pub fn first_of(&self, node: u8, since: Instant) -> Option<Instant> {
        let replies = lock(&self.replies);
        replies.iter().find(|reply| reply.node == node && reply.at >= since).map(|reply| reply.at)
    }
}

/// The longest time without an answer between `from` and `to`, both of which count as if there were one.
pub fn longest_gap(replies: &[Reply], from: Instant, to: Instant) -> Duration {
    let inside = replies.iter().map(|reply| reply.at).filter(|at| (from..=to).contains(at));
    let mut last = from;
    let mut longest = Duration::ZERO;
    for at in inside.chain([to]) {
        longest = longest.max(at.saturating_since(last));
        last = at;
    }
    longest
}

fn socket(node: &Node, port: u16) -> Result<UdpSocket> {
    let socket = node.enter(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)))?;
    let socket = socket.with_context(|| format!("open UDP port {port} on {}", node.name()))?;
    socket.set_read_timeout(Some(TURN)).context("set a socket's timeout")?;
    Ok(socket)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_gap_is_between_answers_or_at_the_ends() {
        let at = |ms| Instant::from_start(Duration::from_millis(ms));
        let replies = [10, 12, 30, 31].map(|ms| Reply { at: at(ms), node: 1 });
        let gap = |from, to| longest_gap(&replies, at(from), at(to)).as_millis();
        assert_eq!(gap(9, 32), 18, "between two");
        assert_eq!(gap(11, 20), 8, "none after the last one");
        assert_eq!(gap(0, 12), 10, "none before the first one");
        assert_eq!(gap(40, 90), 50, "none at all");
    }
}
