//! Health checks: what is sent to a real server, and what its answer means. Trackers' scripts and hooks are run here, too, and
//! notifications posted.
//!
//! A [`Probe`] is one thing to try on one server, and [`Probe::run`] tries it once. When it runs and how many outcomes change
//! anything is not decided here (`holdfast-health` does that), and nothing here knows a pool.
//!
//! A run is bounded: in time by its timeout, after at most as long again in which it waits for what is ours, its files or a place for its
//! command (and [`REAP_GRACE`] for a command that the kernel does not let go of), in memory by [`HEADER_LIMIT`], [`BODY_LIMIT`], [`TALK_LIMIT`] and [`OUTPUT_LIMIT`], whatever the other side sends. A run that is dropped stops: its socket is closed, its
//! command's process group killed. What this host lacks (descriptors, ports, memory, permissions) is never held against a server:
//! such a run is inconclusive.

mod agent;
mod deadline;
mod dns;
mod exec;
mod file;
pub mod files;
mod finding;
mod grpc;
mod http;
mod icmp;
mod lines;
mod memcached;
mod mysql;
mod network;
mod opened;
pub mod pem;
mod place;
mod post;
mod postgres;
mod readable;
mod readers;
mod redis;
mod smtp;
mod talk;
mod tcp;
mod tls;
mod together;
mod transcript;
mod udp;
mod words;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use holdfast_config::{CheckKind, RealServer};
use holdfast_health::{Feedback, Outcome};

use deadline::Deadline;
use finding::Finding;

pub use exec::{
    COMMANDS_APART, COMMANDS_AT_ONCE, Exec, OUTPUT_LIMIT, REAP_GRACE, has_control_groups,
    leave_no_control_groups, trust,
};
pub use holdfast_config::Convention;

pub use file::{File, READS_AT_ONCE};
pub use http::{BODY_LIMIT, HEADER_LIMIT};
pub use network::Network;
pub use post::{Post, Posted};
pub use readable::Readable;
pub use talk::TALK_LIMIT;
pub use tls::certificate_warning;
pub use together::{Ended, Together};
pub use transcript::{SHOWN, STEPS, Step, StepKind};

/// One thing to try on one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// A conversation with the server over the network.
    Network(Network),
    /// A command, judged by its exit status.
    Exec(Exec),
    /// A file, and what somebody has written into it.
    File(File),
}

/// What a run has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Whether the server can serve.
    pub outcome: Outcome,
    /// What was said besides of its weight.
    pub feedback: Feedback,
}

impl Probe {
    /// What a check of `server` in `service` tries, its command as `script_user`; none for one that only the daemon can make, which has
    /// the BFD sessions.
    pub fn of(
        kind: &CheckKind,
        service: &str,
        server: &RealServer,
        script_user: &str,
    ) -> Option<Self> {
        Some(match kind {
            CheckKind::Network(check) => {
                Self::Network(Network { check: Arc::clone(check), server: server.address })
            }
            CheckKind::Exec { command, convention } => {
                let (name, address) = (server.name.as_str(), server.address);
                let exec = Exec::new(command.clone(), script_user, service, name, address);
                Self::Exec(Exec { convention: *convention, ..exec })
            }
            CheckKind::File { path, missing } => {
                let path = path.replace("{service}", service);
                let path = path.replace("{server}", server.name.as_str()).into();
                Self::File(File { path, missing: *missing })
            }
            CheckKind::Bfd { .. } => return None,
        })
    }

    /// Tries it once, and keeps what was sent and heard: at most [`STEPS`] steps.
    pub async fn record(&self, timeout: Duration) -> (Found, Vec<Step>) {
        transcript::recorded(self.find(timeout)).await
    }

    /// Tries it once, for whom a weight does not matter. Needs a tokio runtime with IO and time.
    pub async fn run(&self, timeout: Duration) -> Outcome {
        self.find(timeout).await.outcome
    }

    /// Tries it once. Needs a tokio runtime with IO and time.
    pub async fn find(&self, timeout: Duration) -> Found {
        let started = Instant::now();
        let finding = match self {
            Self::Network(network) => {
                network.run(Deadline::from(started, timeout, None), None).await
            }
            Self::Exec(exec) => Box::pin(exec.run(timeout)).await,
            Self::File(file) => Box::pin(file.run(timeout)).await,
        };
        let Finding { verdict, reason, feedback } = finding;
        Found { outcome: Outcome { verdict, reason, took: started.elapsed() }, feedback }
    }
}

impl fmt::Display for Probe {
    /// The kind and the target: `tcp 10.0.0.11:80`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(network) => network.fmt(f),
            Self::Exec(exec) => write!(f, "exec {}", exec.program()),
            Self::File(file) => write!(f, "file {}", file.path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_config::{Environment, parse};

    /// Ten thousand checks are mostly of TCP: what others need must not be theirs.
    #[test]
    fn a_run_takes_no_more_room_than_a_connection_needs() {
        let text = "services: {s: {listen: tcp 192.0.2.1:80, forward: nat, check: {tcp: {}}}}";
        let config = parse("test", text, &Environment::new("lb1")).config.unwrap();
        let service = config.services.values().next().unwrap();
        let CheckKind::Network(check) = &service.checks[0].kind else { panic!("tcp") };
        let server = "10.0.0.1:80".parse().unwrap();
        let probe = Probe::Network(Network { check: check.clone(), server });
        let size = size_of_val(&probe.run(Duration::from_secs(1)));
        assert!(size <= 2048, "{size} bytes");
    }
}
