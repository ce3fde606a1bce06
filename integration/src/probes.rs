//! What a client loses while addresses move, and whether somebody has them at every moment.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use holdfast_testkit::lab::{Node, wait_until};
use nix::sys::socket::{setsockopt, sockopt};

/// The echo service's port (RFC 862).
const ECHO: u16 = 7;

/// How often threads look whether they are to end.
const TURN: Duration = Duration::from_millis(50);

/// How often the last question is asked again until it is answered, or one after it.
const AGAIN: Duration = Duration::from_millis(100);

/// So much may wait for a thread that has no processor: at a pace of 2 ms the kernel's own limit is a fraction of a second's.
const RECEIVE_BUFFER: usize = 64 << 20;

/// How long answers are waited for.
const LIMIT: Duration = Duration::from_secs(60);

/// A thread that works until it is dropped.
#[derive(Debug)]
struct Worker {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    fn start(mut turn: impl FnMut() + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !asked.load(Ordering::Relaxed) {
                turn();
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // One that panicked has seen nothing more, which its reader notices.
            drop(thread.join());
        }
    }
}

/// Answers UDP datagrams of both families on a node, with what was asked and the node's name after it.
#[derive(Debug)]
pub struct Echo(#[expect(dead_code, reason = "it works for as long as it is there")] Worker);

impl Echo {
    /// Starts to answer.
    ///
    /// # Errors
    /// The port is taken.
    pub fn start(node: &Node) -> Result<Self> {
        let socket = open(node, SocketAddr::from((Ipv6Addr::UNSPECIFIED, ECHO)))?;
        let name = node.name().to_owned();
        let mut buffer = [0; 64];
        Ok(Self(Worker::start(move || {
            if let Ok((length, from)) = socket.recv_from(&mut buffer) {
                let asked = buffer.get(..length).unwrap_or_default();
                let answer = [asked, name.as_bytes()].concat();
                // To a client that is gone there is nothing to say.
                drop(socket.send_to(&answer, from));
            }
        })))
    }
}

fn open(node: &Node, address: SocketAddr) -> Result<UdpSocket> {
    let socket = node.enter(|| UdpSocket::bind(address))?.context("open a UDP socket")?;
    socket.set_read_timeout(Some(TURN)).context("limit its waiting")?;
    setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).context("give it room")?;
    Ok(socket)
}

/// Sends an empty datagram to `address` from `client`, so that this looks for the address, and has an entry that announcements change.
///
/// # Errors
/// It can't be sent.
pub fn look_for(client: &Node, address: IpAddr) -> Result<()> {
    let socket = open(client, SocketAddr::from((unspecified(address), 0)))?;
    socket.send_to(&[], (address, ECHO)).with_context(|| format!("send to {address}"))?;
    Ok(())
}

const fn unspecified(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}

/// Questions to an [`Echo`] at a steady pace, none of which waits for another's answer.
#[derive(Debug)]
pub struct Questions {
    asks: Worker,
    hears: Worker,
    socket: Arc<UdpSocket>,
    address: IpAddr,
    all: Arc<Mutex<Answers>>,
}

/// When each question was asked, and who answered it.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    asked: Vec<Instant>,
    by: BTreeMap<usize, String>,
}

impl Questions {
    /// Starts to ask `address` every `pace` from `client`, and waits for the first answer.
    ///
    /// # Errors
    /// Nobody answers.
    pub fn start(client: &Node, address: IpAddr, pace: Duration) -> Result<Self> {
        let socket = Arc::new(open(client, SocketAddr::from((unspecified(address), 0)))?);
        let all = Arc::new(Mutex::new(Answers::default()));
        let asks = Worker::start({
            let (socket, all) = (Arc::clone(&socket), Arc::clone(&all));
            move || {
                let number = {
                    let mut all = lock(&all);
                    all.asked.push(Instant::now());
                    all.asked.len() - 1
                };
                // What can't be sent is lost, which the missing answer says.
                drop(socket.send_to(format!("{number:08}").as_bytes(), (address, ECHO)));
                std::thread::sleep(pace);
            }
        });
        let hears = Worker::start({
            let (socket, all) = (Arc::clone(&socket), Arc::clone(&all));
            let mut buffer = [0; 64];
            move || {
                let Ok((length, _)) = socket.recv_from(&mut buffer) else { return };
                let text = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default());
                if let Some((number, by)) = text.split_at_checked(8)
                    && let Ok(number) = number.parse()
                {
                    lock(&all).by.insert(number, by.to_owned());
                }
            }
        });
        let questions = Self { asks, hears, socket, address, all };
        questions.wait_answered(1)?;
        Ok(questions)
    }

    /// Waits until `number` more questions were answered.
    ///
    /// # Errors
    /// They are not.
    pub fn wait_answered(&self, number: usize) -> Result<()> {
        let answered = || lock(&self.all).by.len();
        let goal = answered() + number;
        wait_until(LIMIT, "answers", || (answered() >= goal).then_some(()))
    }

    /// Waits until `node` has answered `number` questions in all.
    ///
    /// # Errors
    /// It has not.
    pub fn wait_answered_by(&self, node: &Node, number: usize) -> Result<()> {
        let what = format!("{number} answers of {}", node.name());
        wait_until(LIMIT, &what, || (lock(&self.all).by(node) >= number).then_some(()))
    }

    /// Asks no more, and says what was answered. What is on its way is waited for: a further question, which counts for nothing, is asked
    /// until it is answered. Answers keep their order, so that what is not there by then was lost.
    pub fn end(self) -> Answers {
        let Self { asks, hears, socket, address, all } = self;
        drop(asks);
        let last = lock(&all).asked.len();
        let mut asked: Option<Instant> = None;
        // Where nobody answers any more, all that is missing is lost.
        drop(wait_until(LIMIT, "the last answers", || {
            let all = lock(&all);
            if all.by.len() == last || all.by.contains_key(&last) {
                return Some(());
            }
            drop(all);
            if asked.is_none_or(|asked| asked.elapsed() >= AGAIN) {
                drop(socket.send_to(format!("{last:08}").as_bytes(), (address, ECHO)));
                asked = Some(Instant::now());
            }
            None
        }));
        drop(hears);
        let mut answers = lock(&all).clone();
        answers.by.remove(&last);
        answers
    }
}

fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Answers {
    /// How many questions were asked.
    pub const fn asked(&self) -> usize {
        self.asked.len()
    }

    /// How many `node` answered.
    pub fn by(&self, node: &Node) -> usize {
        self.by.values().filter(|by| by.as_str() == node.name()).count()
    }

    /// When the first question was asked that `node` answered, if it answered one.
    pub fn first_by(&self, node: &Node) -> Option<Instant> {
        let name = node.name();
        let first = self.by.iter().find(|(_, by)| by.as_str() == name)?;
        self.asked.get(*first.0).copied()
    }

    /// The numbers of the questions that nobody answered.
    pub fn lost(&self) -> Vec<usize> {
        (0..self.asked.len()).filter(|number| !self.by.contains_key(number)).collect()
    }

    /// The longest time without an answer: from an answered question to the next answered one, where others were lost in between.
    pub fn longest_gap(&self) -> Duration {
        let answered: Vec<&usize> = self.by.keys().collect();
        let rows = answered.windows(2).filter_map(|pair| match pair {
            [from, to] if **to > **from + 1 => {
                let at = |number: &usize| self.asked.get(*number);
                Some(at(to)?.saturating_duration_since(*at(from)?))
            }
            _ => None,
        });
        rows.max().unwrap_or_default()
    }
}

/// Looks at two nodes again and again, until it is dropped: whether one of them has the addresses.
#[derive(Debug)]
pub struct Keepers {
    seen: Arc<Mutex<Seen>>,
    _worker: Worker,
}

/// How often which of two nodes had an address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// How many looks there were.
    pub looks: u64,
    /// In how many both had it.
    pub both: u64,
    /// In how many nobody had it.
    pub nobody: u64,
}

impl Keepers {
    /// Starts to look for `addresses` on both nodes.
    pub fn start(nodes: [&Node; 2], addresses: &[IpAddr]) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (nodes, addresses) = (nodes.map(Node::clone), addresses.to_vec());
        let worker = Worker::start({
            let seen = Arc::clone(&seen);
            move || {
                for address in &addresses {
                    look(&nodes, *address, &seen);
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        Self { seen, _worker: worker }
    }

    /// What was seen until now.
    pub fn seen(&self) -> Seen {
        lock(&self.seen).clone()
    }
}

/// One look. The address may move between the looks at one node and at the other, so that the first is asked twice.
fn look([first, second]: &[Node; 2], address: IpAddr, seen: &Mutex<Seen>) {
    let has = |node: &Node| node.has_address(address).expect("the lab is there");
    let (before, other, after) = (has(first), has(second), has(first));
    let mut seen = lock(seen);
    seen.looks += 1;
    seen.both += u64::from(before && other && after);
    seen.nobody += u64::from(!before && !other && !after);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_is_what_has_no_answer() {
        let start = Instant::now();
        let at = |number: u32| start + Duration::from_millis(10) * number;
        let by = [0, 3, 5].map(|number| (number, "lb1".to_owned())).into();
        let answers = Answers { asked: (0..7).map(at).collect(), by };
        assert_eq!(answers.lost(), [1, 2, 4, 6]);
        assert_eq!(answers.longest_gap(), Duration::from_millis(30));
    }
}
