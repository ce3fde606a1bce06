//! What trackers make of an instance: its effective priority, and what keeps it from taking part.

use std::fmt;

use holdfast_config::{Name, Track};
use vrrp::Priority;

use super::reading::{Level, WAITS};
use super::trackers::Trackers;

/// The most that one tracker adds or takes, as in keepalived.
const WEIGHT_LIMIT: i64 = 253;

/// What a tracker does to an instance: an entry of `track`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Effect {
    /// Which tracker.
    pub tracker: Name,
    /// What it adds while up (positive) or takes while down (negative); of a file: what each unit of its number adds. None = its
    /// being down is a fault.
    pub weight: Option<i16>,
    /// Up counts as down and down as up; a file's weight changes its sign.
    pub reverse: bool,
}

impl From<&Track> for Effect {
    fn from(track: &Track) -> Self {
        Self { tracker: track.tracker.clone(), weight: track.weight, reverse: track.reverse }
    }
}

/// Why an instance does not take part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The tracker that it is down by.
    pub tracker: Name,
    /// What the tracker says.
    pub sentence: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tracker `{}`: {}", self.tracker, self.sentence)
    }
}

/// What a tracker adds to a priority now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contribution {
    /// The tracker.
    pub tracker: Name,
    /// What it adds, -253..=253.
    pub weight: i16,
}

/// Where an instance stands by its trackers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The effective priority: 1..=254, or 255 for the owner.
    pub priority: Priority,
    /// Why it does not take part; empty when nothing keeps it.
    pub faults: Vec<Fault>,
    /// What each weighted tracker adds now, zeros included, in the order of the configuration.
    pub weights: Vec<Contribution>,
}

impl Standing {
    /// An instance of this configured priority that nothing is tracked for.
    pub const fn untracked(priority: Priority) -> Self {
        Self { priority, faults: Vec::new(), weights: Vec::new() }
    }

    /// The faults in one sentence; none without faults.
    pub fn fault(&self) -> Option<String> {
        let faults: Vec<String> = self.faults.iter().map(ToString::to_string).collect();
        (!faults.is_empty()).then(|| faults.join("; "))
    }
}

/// What an effect comes to.
enum Outcome {
    Weight(i16),
    Fault(String),
    Nothing,
}

/// What `effects` make of an instance with this configured priority.
///
/// The owner stands above it all, as in keepalived: its priority is 255 by definition, and its addresses are the interface's own, which
/// would stay and be answered for while another router takes them over.
pub(super) fn standing(base: Priority, effects: &[Effect], trackers: &Trackers) -> Standing {
    let mut standing = Standing::untracked(base);
    if base == Priority::OWNER {
        return standing;
    }
    let mut total = i32::from(base.value());
    for effect in effects {
        let tracker = effect.tracker.clone();
        match outcome(effect, trackers) {
            Outcome::Weight(weight) => {
                total = total.saturating_add(i32::from(weight));
                standing.weights.push(Contribution { tracker, weight });
            }
            Outcome::Fault(sentence) => standing.faults.push(Fault { tracker, sentence }),
            Outcome::Nothing => {}
        }
    }
    standing.priority = Priority::new(u8::try_from(total.clamp(1, 254)).unwrap_or(1));
    standing
}

/// What one effect comes to. The rules are keepalived's.
fn outcome(effect: &Effect, trackers: &Trackers) -> Outcome {
    let Some(state) = trackers.get(&effect.tracker) else { return Outcome::Nothing };
    let Some(up) = state.level.is_up() else {
        return match effect.weight {
            None if state.is_new => Outcome::Nothing,
            None if state.sentence == WAITS => Outcome::Fault(WAITS.to_owned()),
            None => Outcome::Fault(format!("{WAITS}: {}", state.sentence)),
            Some(_) => Outcome::Weight(0),
        };
    };
    // A file that can't be read as a number says up or down like other trackers, and its weight has nothing to multiply.
    let file = trackers.is_file(&effect.tracker);
    match (effect.weight, state.level) {
        (None, _) if up == effect.reverse => Outcome::Fault(state.sentence.to_owned()),
        (None, _) => Outcome::Nothing,
        (Some(weight), Level::Value(value)) if file => {
            let sign = if effect.reverse { -1 } else { 1 };
            let product = value.saturating_mul(i64::from(weight)).saturating_mul(sign);
            if product < -WEIGHT_LIMIT {
                return Outcome::Fault(state.sentence.to_owned());
            }
            Outcome::Weight(i16::try_from(product.min(WEIGHT_LIMIT)).unwrap_or(0))
        }
        (Some(_), _) if file => Outcome::Weight(0),
        (Some(weight), _) => {
            let counts = (weight > 0) == (up != effect.reverse);
            Outcome::Weight(if counts { weight } else { 0 })
        }
    }
}
