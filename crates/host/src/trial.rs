//! One run of one check, with what was sent and what came, in the API's words: the daemon and the command line make it alike.

use std::time::Duration;

use holdfast_config::Check;
use holdfast_control::{CheckReason, TRIAL_MAX, Trial, TrialStep};
use holdfast_health::{Asked, Verdict};
use holdfast_probe::{Found, Probe, Step};

/// Runs `probe`, which is what `check` tries, once, within the check's timeout and [`TRIAL_MAX`].
pub async fn trial(check: &Check, probe: &Probe) -> Trial {
    let timeout = check.policy.timeout.min(TRIAL_MAX);
    let (found, steps) = probe.record(timeout).await;
    told(check, &probe.to_string(), &found, &steps)
}

/// What a run has found that was made elsewhere.
pub fn told(check: &Check, target: &str, found: &Found, steps: &[Step]) -> Trial {
    let Found { outcome, feedback } = found;
    let (weight, percent) = match feedback.weight {
        Some(Asked::Weight(weight)) => (Some(weight), None),
        Some(Asked::Percent(percent)) => (None, Some(percent)),
        None => (None, None),
    };
    Trial {
        kind: check.kind.name().to_owned(),
        target: target.to_owned(),
        verdict: match outcome.verdict {
            Verdict::Pass => "pass",
            Verdict::Fail => "fail",
            Verdict::Inconclusive => "inconclusive",
        }
        .to_owned(),
        reason: CheckReason {
            code: outcome.reason.code.to_string(),
            sentence: outcome.reason.sentence.to_string(),
        },
        took_us: micros(outcome.took),
        timeout_ms: micros(check.policy.timeout.min(TRIAL_MAX)) / 1000,
        weight,
        percent,
        wish: feedback.wish.map(|wish| wish.label().to_owned()),
        steps: steps.iter().map(step).collect(),
    }
}

fn step(step: &Step) -> TrialStep {
    TrialStep {
        at_us: micros(step.at),
        kind: step.kind.label().to_owned(),
        length: u64::try_from(step.length).unwrap_or(u64::MAX),
        text: step.shown.escape_ascii().to_string(),
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
