//! One try whether an address answers: an ICMP echo, or a question to the link.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use holdfast_health::{Code, Outcome, Reason, Verdict};
use holdfast_net::{Echo, EchoWay, NeighbourQuery, ReachError};
use tokio::time::timeout_at;

use crate::describe;
use holdfast_probe::Readable;

/// Whom to ask, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// The address that shall answer.
    pub address: IpAddr,
    /// The interface to ask on; none = by the host's routes. [`Way::Neighbour`] needs one, and so does a link-local address.
    pub interface: Option<String>,
    /// How it is asked.
    pub way: Way,
}

/// How an address is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// An ICMP echo request (RFC 792, RFC 4443 §4.1).
    Echo,
    /// An ARP request (RFC 826) or Neighbor Solicitation (RFC 4861 §7.2), from an address of the interface that is not among
    /// these: virtual addresses, which a question from them would move to this host.
    Neighbour {
        /// The addresses that are not the host's own.
        virtual_addresses: Arc<[IpAddr]>,
    },
}

/// A question that was asked.
enum Asked {
    Echo(Readable<Echo>),
    Neighbour(Readable<NeighbourQuery>),
}

impl Reach {
    /// Asks once. Needs a tokio runtime.
    pub async fn run(&self, timeout: Duration) -> Outcome {
        let started = Instant::now();
        let deadline = tokio::time::Instant::now() + timeout;
        let finding = timeout_at(deadline, self.ask()).await;
        let (verdict, reason) = finding.unwrap_or_else(|_elapsed| {
            let sentence = format!("{self}: no answer within {timeout:?}");
            (Verdict::Fail, Reason::new(Code::L4TOUT, sentence))
        });
        Outcome { verdict, reason, took: started.elapsed() }
    }

    async fn ask(&self) -> (Verdict, Reason) {
        let reach = self.clone();
        // Sockets and the host's addresses may make it wait for the kernel.
        let sent = tokio::task::spawn_blocking(move || reach.send()).await;
        let answered = match sent {
            Ok(Ok(Ok(asked))) => asked.answer().await,
            Ok(Ok(Err(error))) => return self.ours(&describe(&error)),
            Ok(Err(error)) if error.is_own_shortage() => return self.ours(&error.to_string()),
            Ok(Err(error)) => {
                return (Verdict::Fail, Reason::new(Code::L4CON, error.to_string()));
            }
            Err(_no_thread) => return self.ours("the daemon is stopping"),
        };
        match answered {
            Ok(()) => (Verdict::Pass, Reason::new(Code::L4OK, format!("{self}: it answers"))),
            Err(error) => {
                let sentence = format!("{self}: {}", describe(&error));
                (Verdict::Fail, Reason::new(Code::L4CON, sentence))
            }
        }
    }

    fn send(&self) -> Result<io::Result<Asked>, ReachError> {
        let interface = self.interface.as_deref();
        Ok(match &self.way {
            Way::Echo => {
                let echo = Echo::send(self.address, EchoWay { interface, ..EchoWay::default() })?;
                Readable::new(echo).map(Asked::Echo)
            }
            Way::Neighbour { virtual_addresses } => {
                let is_virtual = |address| virtual_addresses.contains(&address);
                let interface = interface.unwrap_or_default();
                let query = NeighbourQuery::send(self.address, interface, is_virtual)?;
                Readable::new(query).map(Asked::Neighbour)
            }
        })
    }

    /// The question could not be asked, for which the address is not to blame.
    fn ours(&self, why: &str) -> (Verdict, Reason) {
        (Verdict::Inconclusive, Reason::new(Code::SOCKERR, format!("{self}: not asked: {why}")))
    }
}

impl std::fmt::Display for Reach {
    /// What is asked: `icmp 192.0.2.1 on eth0`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let how = match (&self.way, self.address) {
            (Way::Echo, _) => "icmp",
            (Way::Neighbour { .. }, IpAddr::V4(_)) => "arp",
            (Way::Neighbour { .. }, IpAddr::V6(_)) => "neighbour solicitation",
        };
        write!(f, "{how} {}", self.address)?;
        self.interface.iter().try_for_each(|interface| write!(f, " on {interface}"))
    }
}

impl Asked {
    async fn answer(self) -> io::Result<()> {
        match self {
            Self::Echo(echo) => echo.read(Echo::look).await,
            Self::Neighbour(query) => query.read(NeighbourQuery::look).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn this_host_answers_itself_over_both_families() {
        for address in ["127.0.0.1", "::1"] {
            let reach =
                Reach { address: address.parse().unwrap(), interface: None, way: Way::Echo };
            let outcome = reach.run(Duration::from_secs(10)).await;
            assert_eq!(outcome.verdict, Verdict::Pass, "{}", outcome.reason);
            assert_eq!(outcome.reason.sentence, format!("icmp {address}: it answers"));
        }
    }

    #[tokio::test]
    async fn an_interface_that_is_not_there_is_a_failure_that_names_it() {
        let reach = Reach {
            address: "192.0.2.1".parse().unwrap(),
            interface: Some("hf-none".to_owned()),
            way: Way::Neighbour { virtual_addresses: Arc::default() },
        };
        let outcome = reach.run(Duration::from_secs(10)).await;
        assert_eq!(outcome.verdict, Verdict::Fail);
        assert!(outcome.reason.sentence.contains("hf-none"), "{}", outcome.reason);
    }
}
