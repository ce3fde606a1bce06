//! The other nodes as this one knows them: shared between who watches them, who shows them, and who passes requests on.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use holdfast_control::{Difference, PeerNode};
use holdfast_time::Instant;

use super::link::Link;
use super::talk::{self, Question, Reply, Unanswered};

/// The other nodes. Copies share them.
#[derive(Clone, Debug)]
pub(crate) struct Nodes(Arc<Mutex<Known>>);

#[derive(Debug)]
struct Known {
    node: String,
    link: Option<Arc<Link>>,
    seen: BTreeMap<String, Seen>,
}

/// What is known of another node.
#[derive(Clone, Debug)]
struct Seen {
    address: SocketAddr,
    state: State,
    since: Instant,
    answered: Option<Instant>,
    version: Option<String>,
}

/// How another node stands to this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It was not asked yet.
    Starting,
    /// It has the same.
    Equal,
    /// It has something else.
    Differs(Vec<Difference>),
    /// Its program is of another version.
    OtherVersion,
    /// It does not answer, or not to this node: why.
    Unreachable(String),
}

impl State {
    pub(super) const fn word(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Equal => "equal",
            Self::Differs(_) => "differs",
            Self::OtherVersion => "other_version",
            Self::Unreachable(_) => "unreachable",
        }
    }
}

/// Why a request was not passed on.
#[derive(Debug)]
pub(crate) enum NotPassed {
    /// There is no such node: the sentence names those that there are.
    NoNode(String),
    /// It was not asked: it can't be reached.
    Unreachable(String),
    /// It was asked, and its answer was lost.
    Silent(String),
}

impl Nodes {
    /// None yet; this node is called `node`.
    pub(crate) fn new(node: &str) -> Self {
        let known = Known { node: node.to_owned(), link: None, seen: BTreeMap::new() };
        Self(Arc::new(Mutex::new(known)))
    }

    /// This node's name.
    pub(crate) fn own(&self) -> String {
        self.lock().node.clone()
    }

    /// What speaking with the others takes, now.
    pub(super) fn link(&self) -> Option<Arc<Link>> {
        self.lock().link.clone()
    }

    /// These are the others from now on. What is known of those that stay is kept.
    pub(super) fn set(&self, link: Option<Arc<Link>>) {
        let mut known = self.lock();
        let peers = link.iter().flat_map(|link| link.peers.iter());
        let seen = peers.map(|(name, address)| {
            let before = known.seen.get(name).filter(|seen| seen.address == *address);
            let fresh = || Seen {
                address: *address,
                state: State::Starting,
                since: holdfast_net::now(),
                answered: None,
                version: None,
            };
            (name.clone(), before.cloned().unwrap_or_else(fresh))
        });
        known.seen = seen.collect();
        known.link = link;
    }

    /// How `name` stands to this node.
    pub(super) fn state(&self, name: &str) -> Option<State> {
        self.lock().seen.get(name).map(|seen| seen.state.clone())
    }

    /// Takes note of how `name` stands, and of its program's version where it answered; the state before, where that was another.
    pub(super) fn saw(&self, name: &str, state: State, version: Option<String>) -> Option<State> {
        let mut known = self.lock();
        let seen = known.seen.get_mut(name)?;
        let now = holdfast_net::now();
        if version.is_some() {
            seen.answered = Some(now);
            seen.version = version;
        }
        // A further sentence about the same, or another difference, is no change of what there is to see.
        if seen.state.word() != state.word() {
            seen.since = now;
        }
        let before = std::mem::replace(&mut seen.state, state);
        (before != seen.state).then_some(before)
    }

    /// The others, for people and programs.
    pub(crate) fn view(&self) -> Vec<PeerNode> {
        let known = self.lock();
        let now = holdfast_net::now();
        let view = known.seen.iter().map(|(name, seen)| PeerNode {
            name: name.clone(),
            address: seen.address.to_string(),
            state: seen.state.word().to_owned(),
            since_s: now.saturating_since(seen.since).as_secs(),
            seen_s_ago: seen.answered.map(|at| now.saturating_since(at).as_secs()),
            version: seen.version.clone(),
            error: match &seen.state {
                State::Unreachable(why) => Some(why.clone()),
                State::Starting | State::Equal | State::Differs(_) | State::OtherVersion => None,
            },
            differs: match &seen.state {
                State::Differs(differs) => differs.clone(),
                State::Starting | State::Equal | State::Unreachable(_) | State::OtherVersion => {
                    Vec::new()
                }
            },
        });
        view.collect()
    }

    /// Passes a request on to the node that is called `name`.
    ///
    /// # Errors
    /// There is none, or it does not answer.
    pub(crate) async fn pass_on(&self, name: &str, question: Question) -> Result<Reply, NotPassed> {
        let link = self.link();
        let found = link.as_ref().and_then(|link| Some((link, *link.peers.get(name)?)));
        let Some((link, address)) = found else {
            let names: Vec<&str> =
                link.iter().flat_map(|link| link.peers.keys()).map(String::as_str).collect();
            return Err(NotPassed::NoNode(match names.is_empty() {
                true => "this node knows no other: `daemon.pair` names none".to_owned(),
                false => format!("no other node `{name}`: there is {}", names.join(", ")),
            }));
        };
        talk::ask(link, name, address, question).await.map_err(|unanswered| match unanswered {
            Unanswered::NotAsked(why) => NotPassed::Unreachable(why),
            Unanswered::Silent(why) => NotPassed::Silent(why),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
