//! What a client loses while addresses move, and whether somebody has them at every moment.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use holdfast_testkit::lab::{Node, wait_until};

/// The echo service's port (RFC 862).
const ECHO: u16 = 7;

/// How often threads look whether they are to end.
const TURN: Duration = Duration::from_millis(50);

/// How long the last answers may be on their way.
const LATE: Duration = Duration::from_secs(1);

/// How long answers are waited for.
const LIMIT: Duration = Duration::from_secs(30);

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
            let all = Arc::clone(&all);
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
        let questions = Self { asks, hears, all };
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

    /// Asks no more, and says what was answered. The last answers are waited for.
    pub fn end(self) -> Answers {
        let Self { asks, hears, all } = self;
        drop(asks);
        let complete = || {
            let all = lock(&all);
            all.by.len() == all.asked.len()
        };
        // What is not there by then was lost.
        drop(wait_until(LATE, "the last answers", || complete().then_some(())));
        drop(hears);
        lock(&all).clone()
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
