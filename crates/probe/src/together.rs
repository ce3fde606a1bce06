//! Runs that are made together: by one task, over lines, with one look at the clock and one at the kernel for all that has happened.
//!
//! A run of its own is a task of its own: it may be moved to another thread, whose waking costs more than the check. What computes little
//! ([`Network::is_light`]) is better made here.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use std::{fmt, future, io};

use futures_util::future::FutureExt as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use holdfast_health::Outcome;
use tokio::time::{Sleep, sleep};

use crate::deadline::Deadline;
use crate::finding::Finding;
use crate::lines::Lines;
use crate::{Found, Network};

/// Runs that are under way, each with a key of who started it. They go on while somebody asks for what they found.
pub struct Together<K> {
    lines: Lines,
    /// Those that have not begun; what a run needs is made when it begins.
    next: VecDeque<(K, Network, Duration)>,
    runs: FuturesUnordered<Run<K>>,
    /// One timer for the timeouts of all: tokio wakes its own thread for each timer that is set.
    alarm: Pin<Box<Sleep>>,
}

/// So many runs begin in one turn: whose task it is has other things to do, too.
const BEGIN_MAX: usize = 128;

type Run<K> = Pin<Box<dyn Future<Output = Ended<K>> + Send>>;

/// A run that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended<K> {
    /// Who started it.
    pub key: K,
    /// What it found; none when it has panicked.
    pub found: Option<Found>,
}

impl<K: Send + 'static> Together<K> {
    /// No run yet; `kept` sockets of each family are kept for the next runs while none uses them. Needs a tokio runtime with IO and time.
    ///
    /// # Errors
    /// The process or the host has no descriptor left.
    pub fn new(kept: usize) -> io::Result<Self> {
        Ok(Self {
            lines: Lines::new(kept)?,
            next: VecDeque::new(),
            runs: FuturesUnordered::new(),
            alarm: Box::pin(sleep(Duration::ZERO)),
        })
    }

    /// Starts a run, which may last so long from its beginning on: in the next turn, or where many are started at once, in one after it.
    pub fn start(&mut self, key: K, network: Network, timeout: Duration) {
        self.next.push_back((key, network, timeout));
    }

    fn begin(&self, key: K, network: Network, timeout: Duration) {
        let lines = self.lines.clone();
        self.push(key, async move {
            let started = lines.now();
            let deadline = Deadline::from(started, timeout, Some(&lines));
            let finding = network.run(deadline, Some(&lines)).await;
            let Finding { verdict, reason, feedback } = finding;
            let took = lines.now().saturating_duration_since(started);
            Found { outcome: Outcome { verdict, reason, took }, feedback }
        });
    }

    fn push(&self, key: K, run: impl Future<Output = Found> + Send + 'static) {
        let run = AssertUnwindSafe(run).catch_unwind();
        // One that has waited is polled because something has happened to it; what tokio would have it leave to others is nothing here.
        let run = tokio::task::unconstrained(run);
        self.runs.push(Box::pin(async move { Ended { key, found: run.await.ok() } }));
    }

    /// How many runs are under way.
    pub fn len(&self) -> usize {
        self.next.len() + self.runs.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The next run that ends. Waits for ever while there is none.
    pub async fn next(&mut self) -> Ended<K> {
        future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// A run that has ended already.
    pub fn ended_already(&mut self) -> Option<Ended<K>> {
        match self.runs.poll_next_unpin(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(ended) => ended,
            Poll::Pending => None,
        }
    }

    /// Ends every run that is under way.
    pub fn clear(&mut self) {
        self.next.clear();
        self.runs.clear();
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Ended<K>> {
        self.lines.time_passes();
        for _ in 0..BEGIN_MAX {
            let Some((key, network, timeout)) = self.next.pop_front() else { break };
            self.begin(key, network, timeout);
        }
        loop {
            // Before a timeout counts, what has come is heard. Where the runtime is stopping nothing more will come.
            while let Poll::Ready(Ok(())) = self.lines.poll_turn(cx) {}
            if let Poll::Ready(Some(ended)) = self.runs.poll_next_unpin(cx) {
                return Poll::Ready(ended);
            }
            if !self.lines.glance() && !self.ring(cx) {
                break;
            }
        }
        if !self.next.is_empty() {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Ends what has lasted too long, and waits for the next timeout; whether there was one.
    fn ring(&mut self, cx: &mut Context<'_>) -> bool {
        while let Some(at) = self.lines.next_alarm() {
            let at = at.into();
            // One that is set for a run which has ended comes for nothing, which is less work than to set it anew for each.
            if self.alarm.is_elapsed() || self.alarm.deadline() > at {
                self.alarm.as_mut().reset(at);
            }
            if self.alarm.as_mut().poll(cx).is_pending() {
                return false;
            }
            // It may have come after the clock was read.
            self.lines.time_passes();
            if self.lines.ring() {
                return true;
            }
        }
        false
    }
}

impl<K> fmt::Debug for Together<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Together").field("runs", &self.runs.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::{Read as _, Write as _};
    use std::net::{SocketAddr, TcpListener};
    use std::sync::Arc;

    use holdfast_config::{CheckKind, Environment, NetworkCheck, parse};
    use holdfast_health::{Code, Verdict};

    use super::*;

    fn check(text: &str) -> Arc<NetworkCheck> {
        let text = format!(
            "services: {{s: {{listen: tcp 192.0.2.1:80, forward: nat, check: {{{text}}}}}}}"
        );
        let config = parse("test", &text, &Environment::new("lb1")).config.unwrap();
        let service = config.services.values().next().unwrap();
        let CheckKind::Network(check) = &service.checks[0].kind else { panic!("{text}") };
        assert!(Network { check: check.clone(), server: ([127, 0, 0, 1], 1).into() }.is_light());
        check.clone()
    }

    /// One that answers every connection with `answer` once it has said something, and closes.
    fn server(at: &str, answer: &'static str) -> SocketAddr {
        let listener = TcpListener::bind(at).unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut said = [0; 1024];
                if stream.read(&mut said).is_ok_and(|length| length > 0) {
                    let _gone = stream.write_all(answer.as_bytes());
                }
            }
        });
        address
    }

    /// A port at which nobody listens.
    fn nobody(at: &str) -> SocketAddr {
        TcpListener::bind(at).unwrap().local_addr().unwrap()
    }

    const LONG: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn each_run_has_its_own_answer_over_both_families_however_often_lines_are_used() {
        const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";
        let (tcp, http, redis) = (check("tcp: {}"), check("http: {path: /}"), check("redis: {}"));
        let mut together = Together::new(4).unwrap();
        for _ in 0..3 {
            let mut expected = BTreeMap::new();
            for at in ["127.0.0.1:0", "[::1]:0"] {
                let cases = [
                    (&tcp, server(at, ""), Code::L4OK),
                    (&tcp, nobody(at), Code::L4CON),
                    (&http, server(at, OK), Code::L7OK),
                    (&http, server(at, "HTTP/1.1 503 No\r\n\r\n"), Code::L7STS),
                    (&http, server(at, ""), Code::L7RSP),
                    (&http, nobody(at), Code::L4CON),
                    (&redis, server(at, "+PONG\r\n"), Code::L7OK),
                ];
                for (check, server, code) in cases {
                    for _ in 0..5 {
                        let network = Network { check: check.clone(), server };
                        together.start(expected.len(), network, LONG);
                        expected.insert(expected.len(), code);
                    }
                }
            }
            while !together.is_empty() {
                let Ended { key, found } = together.next().await;
                let reason = found.unwrap().outcome.reason;
                assert_eq!(Some(reason.code), expected.remove(&key), "{reason}");
            }
            assert!(expected.is_empty());
        }
    }

    /// What nobody answers ends by its timeout, and its line serves the next.
    #[tokio::test]
    async fn a_server_that_says_nothing_is_given_up_and_its_line_used_again() {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let http = check("http: {path: /}");
        let mut together = Together::new(4).unwrap();
        for _ in 0..2 {
            let network = Network { check: http.clone(), server: silent.local_addr().unwrap() };
            together.start((), network, Duration::from_millis(20));
            let outcome = together.next().await.found.unwrap().outcome;
            assert_eq!(outcome.reason.code, Code::L7TOUT, "{}", outcome.reason);
            assert!(outcome.took >= Duration::from_millis(20), "{outcome:?}");
            // It was reset, as a connection is that a check closes.
            let (mut stream, _) = silent.accept().unwrap();
            let error = io::read_to_string(&mut stream).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}");
        }
    }

    /// The task that makes the runs stands still for longer than they may last, while the server answers.
    #[tokio::test]
    async fn a_stall_of_our_own_is_no_timeout_of_the_servers() {
        for at in ["127.0.0.1:0", "[::1]:0"] {
            let server = server(at, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n");
            let network = Network { check: check("http: {path: [/, /second]}"), server };
            let mut together = Together::new(4).unwrap();
            together.start((), network, Duration::from_millis(50));
            // The first request is sent, and the timeout runs; the second one follows the first one's answer.
            let begun = future::poll_fn(|cx| Poll::Ready(together.poll_next(cx))).await;
            assert!(begun.is_pending());
            std::thread::sleep(Duration::from_millis(300));
            let outcome = together.next().await.found.unwrap().outcome;
            assert_eq!(outcome.verdict, Verdict::Pass, "{}", outcome.reason);
        }
    }

    #[tokio::test]
    async fn a_run_that_panics_ends_alone() {
        let mut together = Together::new(4).unwrap();
        together.push(1, async { panic!("a fault of the check's code") });
        let network = Network { check: check("tcp: {}"), server: server("127.0.0.1:0", "") };
        together.start(2, network, LONG);
        let (one, two) = (together.next().await, together.next().await);
        let (panicked, passed) = if one.key == 1 { (one, two) } else { (two, one) };
        assert_eq!((panicked.key, panicked.found), (1, None));
        assert_eq!(passed.found.unwrap().outcome.verdict, Verdict::Pass);
    }
}
