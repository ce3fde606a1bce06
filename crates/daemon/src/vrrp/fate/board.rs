//! What the fate channel's thread has come to, for whoever asks: the status, metrics, the stream of events.
//!
//! The thread writes after each turn, a reader copies a pointer: neither keeps the other waiting for longer than that.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use holdfast_control as control;
use holdfast_engine::vrrp::FateEnd;
use holdfast_time::Instant;

use crate::events::News;

/// A channel to a node that is or was watched.
#[derive(Clone, Debug)]
pub(super) struct Channel {
    pub(super) peer: IpAddr,
    pub(super) interface: String,
    pub(super) state: ChannelState,
    pub(super) since: Instant,
    pub(super) last_end: Option<(Instant, FateEnd)>,
}

/// How it stands with a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChannelState {
    /// It stands.
    Stands,
    /// It is tried; what came of the last attempt.
    Missing(Option<FateEnd>),
    /// The node is watched no more.
    Over,
}

/// A node that watches this one.
#[derive(Clone, Debug)]
pub(super) struct Watcher {
    pub(super) peer: IpAddr,
    pub(super) interface: String,
    pub(super) since: Instant,
}

/// Everything at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// None while there is no channel at all.
    pub(super) port: Option<u16>,
    pub(super) watched: Vec<Channel>,
    pub(super) watchers: Vec<Watcher>,
    pub(super) problems: Vec<String>,
    pub(super) ends: BTreeMap<FateEnd, u64>,
}

/// Where it is written. Copies share it.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct FateBoard(Arc<Mutex<Arc<Seen>>>);

impl FateBoard {
    pub(super) fn write(&self, seen: Seen) {
        let seen = Arc::new(seen);
        let before = std::mem::replace(&mut *self.lock(), seen);
        // Freed after the lock was given back.
        drop(before);
    }

    /// The fate channel as the API shows it; none where there is none.
    pub(in super::super) fn view(&self, now: Instant) -> Option<control::Fate> {
        let seen = Arc::clone(&self.lock());
        let Seen { port, watched, watchers, problems, ends } = &*seen;
        let watcher = |one: &Watcher| control::FateWatcher {
            peer: one.peer,
            interface: one.interface.clone(),
            since_s: now.saturating_since(one.since).as_secs(),
        };
        let ends = FateEnd::ALL
            .iter()
            .filter(|end| is_end(**end))
            .map(|end| (end.label().to_owned(), ends.get(end).copied().unwrap_or_default()));
        Some(control::Fate {
            port: (*port)?,
            watched: watched.iter().map(|channel| channel.view(now)).collect(),
            watchers: watchers.iter().map(watcher).collect(),
            problems: problems.clone(),
            ends: ends.collect(),
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Arc<Seen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Channel {
    fn view(&self, now: Instant) -> control::FateChannel {
        let (state, fault) = match self.state {
            ChannelState::Stands => ("stands", None),
            ChannelState::Missing(trouble) => ("missing", trouble),
            ChannelState::Over => ("over", None),
        };
        control::FateChannel {
            peer: self.peer,
            interface: self.interface.clone(),
            state: state.to_owned(),
            since_s: now.saturating_since(self.since).as_secs(),
            fault: fault.map(|trouble| self.trouble(trouble)),
            last_end: self.last_end.map(|(at, end)| control::FateEnd {
                reason: end.label().to_owned(),
                text: text(end).to_owned(),
                s_ago: now.saturating_since(at).as_secs(),
            }),
        }
    }

    /// What came of an attempt, and what to do.
    fn trouble(&self, trouble: FateEnd) -> String {
        let Self { peer, interface, .. } = self;
        let why = match trouble {
            FateEnd::Refused => {
                "nobody listens there: it has no fate channel (keepalived, `fate: false`, another port), or does not run"
            }
            FateEnd::Silent => "no answer: does a firewall let the port through on both nodes?",
            FateEnd::Ended => {
                "it hung up: this node is not among its unicast peers, or another program has the port"
            }
            FateEnd::Broken => "it failed: see the log",
            FateEnd::Died | FateEnd::Goodbye => text(trouble),
        };
        format!("connect to {peer} on {interface}: {why}")
    }
}

/// Whether a channel that stood can come to this.
const fn is_end(end: FateEnd) -> bool {
    matches!(end, FateEnd::Died | FateEnd::Ended | FateEnd::Goodbye | FateEnd::Broken)
}

/// An end as a sentence.
pub(super) const fn text(end: FateEnd) -> &'static str {
    match end {
        FateEnd::Died => "the daemon there has died",
        FateEnd::Ended => "the connection was cut, and nothing followed from that",
        FateEnd::Goodbye => {
            "the daemon there said goodbye: it stopped, or wants no channel any more"
        }
        FateEnd::Broken => "the connection failed",
        FateEnd::Refused => "nobody listened there",
        FateEnd::Silent => "nothing was said there",
    }
}

/// A channel stands.
pub(super) fn stands(peer: IpAddr, interface: &str) -> News {
    let text = "the fate channel stands: its daemon's death would be heard at once".to_owned();
    news("fate_stands", peer, interface, text)
}

/// A channel that stood has come to its end.
pub(super) fn ended(peer: IpAddr, interface: &str, end: FateEnd) -> News {
    let kind = if end == FateEnd::Died { "fate_died" } else { "fate_ended" };
    news(kind, peer, interface, text(end).to_owned())
}

fn news(kind: &str, peer: IpAddr, interface: &str, text: String) -> News {
    let subject = format!("{peer}%{interface}");
    News { kind: format!("vrrp.{kind}"), subject, text, ..News::default() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_start(Duration::from_secs(seconds))
    }

    #[test]
    fn there_is_nothing_to_see_without_a_port_and_ages_are_of_the_moment_of_asking() {
        let board = FateBoard::default();
        assert_eq!(board.view(at(0)), None);
        let channel = |state, last_end| Channel {
            peer: "fd77::1".parse().unwrap(),
            interface: "eth0".to_owned(),
            state,
            since: at(10),
            last_end,
        };
        board.write(Seen {
            port: Some(112),
            watched: vec![
                channel(ChannelState::Stands, None),
                channel(
                    ChannelState::Missing(Some(FateEnd::Silent)),
                    Some((at(12), FateEnd::Ended)),
                ),
                channel(ChannelState::Over, Some((at(15), FateEnd::Died))),
            ],
            watchers: vec![],
            problems: vec![],
            ends: [(FateEnd::Died, 2)].into(),
        });
        let seen = board.view(at(20)).unwrap();
        let states: Vec<_> = seen.watched.iter().map(|one| (&*one.state, one.since_s)).collect();
        assert_eq!(states, [("stands", 10), ("missing", 10), ("over", 10)]);
        let [stands, missing, over] = &*seen.watched else { panic!("{seen:?}") };
        assert_eq!((&stands.fault, &stands.last_end), (&None, &None));
        let fault = missing.fault.as_deref().unwrap();
        assert!(fault.starts_with("connect to fd77::1 on eth0: no answer"), "{fault}");
        let ends = [missing, over].map(|one| one.last_end.clone().unwrap());
        assert_eq!(
            ends.map(|end| (end.reason, end.s_ago)),
            [("ended".into(), 8), ("died".into(), 5)]
        );
        let counts = [("broken", 0), ("died", 2), ("ended", 0), ("goodbye", 0)];
        assert_eq!(seen.ends, counts.map(|(end, count)| (end.to_owned(), count)).into());
    }
}
