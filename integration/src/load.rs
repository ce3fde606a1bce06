//! A client that makes requests at a steady pace and remembers what became of each.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use holdfast_testkit::lab::Node;
use serde::Serialize;

/// A request that takes longer has failed: short, so that a gap is measured to a fraction of a second.
pub const REQUEST_TIMEOUT: Duration = Duration::from_millis(250);

/// An answer longer than this is not one of our web servers'.
const ANSWER_MAX: u64 = 64 << 10;

/// What became of one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sample {
    /// When it was begun, since the load's start.
    pub begun: Duration,
    /// When it ended.
    pub ended: Duration,
    /// The name of the server that answered; none when nobody did.
    pub server: Option<String>,
    /// Why nobody answered; none when somebody did.
    pub error: Option<String>,
}

/// A steady stream of requests, each on a new connection, made one after the other by a thread of its own.
#[derive(Debug)]
pub struct Load {
    started: Instant,
    samples: Arc<Mutex<Vec<Sample>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Load {
    /// Starts asking `target` for `/` every `pace` from `client`. A request that takes longer than [`REQUEST_TIMEOUT`] has failed.
    pub fn start(client: &Node, target: SocketAddr, pace: Duration) -> Self {
        Self::with_timeout(client, target, pace, REQUEST_TIMEOUT)
    }

    /// As [`Self::start`], with another timeout: where a request that fails is what matters and a slow one is only a busy
    /// machine's.
    pub fn with_timeout(
        client: &Node,
        target: SocketAddr,
        pace: Duration,
        timeout: Duration,
    ) -> Self {
        let samples = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let started = Instant::now();
        let thread = std::thread::spawn({
            let (samples, stop) = (Arc::clone(&samples), Arc::clone(&stop));
            let client = client.clone();
            move || {
                let asked = client.enter(|| {
                    while !stop.load(Ordering::Relaxed) {
                        let begun = Instant::now();
                        let (server, error) = match ask_within(target, timeout) {
                            Ok(server) => (Some(server), None),
                            Err(error) => (None, Some(error.to_string())),
                        };
                        let (begun_at, ended) = (begun - started, started.elapsed());
                        lock(&samples).push(Sample { begun: begun_at, ended, server, error });
                        std::thread::sleep(pace.saturating_sub(begun.elapsed()));
                    }
                });
                asked.expect("the client's namespace lasts as long as the lab");
            }
        });
        Self { started, samples, stop, thread: Some(thread) }
    }

    /// The time since the start, on the samples' scale.
    pub fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// What became of the requests that were begun at `since` or later.
    pub fn since(&self, since: Duration) -> Samples {
        let samples = lock(&self.samples);
        Samples(samples.iter().filter(|sample| sample.begun >= since).cloned().collect())
    }

    /// What became of all requests.
    pub fn all(&self) -> Samples {
        self.since(Duration::ZERO)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A load that panicked has lost its samples, which its readers notice.
            drop(thread.join());
        }
    }
}

/// What became of a stretch of requests, in the order in which they were begun.
#[derive(Clone, Debug, Default)]
pub struct Samples(pub Vec<Sample>);

impl Samples {
    /// How many requests there were.
    pub fn requests(&self) -> usize {
        self.0.len()
    }

    /// How many got no answer.
    pub fn failures(&self) -> usize {
        self.0.iter().filter(|sample| sample.server.is_none()).count()
    }

    /// When the requests that got no answer were begun, how long they took, and why; for a message.
    pub fn errors(&self) -> Vec<String> {
        let failed = self.0.iter().filter_map(|sample| Some((sample, sample.error.as_ref()?)));
        failed
            .map(|(sample, error)| {
                let took = sample.ended.saturating_sub(sample.begun);
                format!("at {:?} for {took:?}: {error}", sample.begun)
            })
            .collect()
    }

    /// How many `server` answered.
    pub fn answered_by(&self, server: &str) -> usize {
        self.0.iter().filter(|sample| sample.server.as_deref() == Some(server)).count()
    }

    /// The longest stretch without an answer: from the end of an answered request to the end of the next, where requests failed
    /// in between; zero when none failed.
    pub fn longest_gap(&self) -> Duration {
        let mut longest = Duration::ZERO;
        let mut last_answer = self.0.first().map_or(Duration::ZERO, |sample| sample.begun);
        let mut failed = false;
        for sample in &self.0 {
            if sample.server.is_none() {
                failed = true;
                longest = longest.max(sample.ended.saturating_sub(last_answer));
            } else {
                if failed {
                    longest = longest.max(sample.ended.saturating_sub(last_answer));
                }
                failed = false;
                last_answer = sample.ended;
            }
        }
        longest
    }
}

/// Asks `target` for `/` and returns the first line of the answer's body: the server's name.
///
/// # Errors
/// No connection, no answer, or not within [`REQUEST_TIMEOUT`].
pub fn ask(target: SocketAddr) -> std::io::Result<String> {
    ask_within(target, REQUEST_TIMEOUT)
}

/// As [`ask`], with another timeout for the connection and for each read.
///
/// # Errors
/// As [`ask`].
pub fn ask_within(target: SocketAddr, timeout: Duration) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&target, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: demo\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(ANSWER_MAX).read_to_string(&mut answer)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200") => {
            Ok(body.lines().next().unwrap_or_default().trim().to_owned())
        }
        Some(_) | None => Err(std::io::Error::other("not the answer of a web server")),
    }
}

fn lock(samples: &Mutex<Vec<Sample>>) -> MutexGuard<'_, Vec<Sample>> {
    samples.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(outcomes: &[(u64, u64, bool)]) -> Samples {
        let sample = |(begun, ended, answered): &(u64, u64, bool)| Sample {
            begun: Duration::from_millis(*begun),
            ended: Duration::from_millis(*ended),
            server: answered.then(|| "web1".to_owned()),
            error: (!answered).then(|| "timed out".to_owned()),
        };
        Samples(outcomes.iter().map(sample).collect())
    }

    #[test]
    fn a_gap_goes_from_answer_to_answer_and_slow_answers_are_none() {
        assert_eq!(samples(&[(0, 900, true), (950, 960, true)]).longest_gap(), Duration::ZERO);
        let gap = samples(&[(0, 5, true), (20, 270, false), (270, 520, false), (520, 525, true)]);
        assert_eq!(gap.longest_gap(), Duration::from_millis(520));
        assert_eq!((gap.requests(), gap.failures(), gap.answered_by("web1")), (4, 2, 2));
    }

    #[test]
    fn a_gap_that_has_not_ended_counts_up_to_the_last_failure() {
        let gap = samples(&[(0, 5, true), (20, 270, false)]).longest_gap();
        assert_eq!(gap, Duration::from_millis(265));
    }
}
