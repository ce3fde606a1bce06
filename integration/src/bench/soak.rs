//! Advertisements every 10 ms on a machine whose processors are all busy: nobody may take over from a working Active.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Result;
use holdfast_net::now;

use super::Plan;
use super::failover::one_router;
use super::machine::{cores, is_of, progress};
use super::pair::Pair;
use super::report::{Goal, Line, Report, Unit, ns};
use super::rival::Software;
use crate::watch::Heard;

/// Threads with the usual priority that do nothing, all the time; two for each processor.
struct Spinners {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Spinners {
    fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let spin = |stop: Arc<AtomicBool>| {
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            })
        };
        let threads = (0..2 * cores()).map(|_| spin(Arc::clone(&stop))).collect();
        Self { stop, threads }
    }
}

impl Drop for Spinners {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}

/// What came of one pair's time.
struct Watched {
    /// State changes of both.
    changes: u64,
    /// Advertisements of the Backup.
    claims: u64,
    /// The longest time between two advertisements of the Active.
    silence: u64,
}

/// The row, for this daemon, for keepalived as it comes, and for keepalived with a real-time priority.
pub(super) fn soak(plan: &Plan, report: &mut Report) -> Result<()> {
    let ours = watch(Software::Holdfast, plan.soak)?;
    let theirs = watch(Software::Keepalived, plan.soak)?;
    let realtime = watch(Software::KeepalivedRealtime, plan.soak)?;
    for (theirs, kind) in [(&theirs, ""), (&realtime, "; keepalived with vrrp_rt_priority")] {
        let what = format!("10 ms, busy processors, {} s{kind}", plan.soak.as_secs());
        let mut line = |measure: &str, unit, value: fn(&Watched) -> u64, goal| {
            report.line(Line {
                what: what.clone(),
                measure: measure.to_owned(),
                unit,
                ours: vec![value(&ours)],
                theirs: vec![value(theirs)],
                goal,
            });
        };
        line("state changes of both", Unit::Count, |one| one.changes, Goal::Max(0));
        line("advertisements of the Backup", Unit::Count, |one| one.claims, Goal::Max(0));
        line("longest silence of the Active", Unit::Ns, |one| one.silence, Goal::None);
    }
    Ok(())
}

fn watch(software: Software, time: Duration) -> Result<Watched> {
    progress(format_args!(" {} s with {}", time.as_secs(), software.label()));
    let setup = one_router(Duration::from_millis(10), true);
    let pair = Pair::start([software; 2], setup, [150, 100], |_| Ok(()))?;
    // The priorities are set by now, and memory is in place.
    std::thread::sleep(Duration::from_secs(1));
    let changes = || Ok::<_, anyhow::Error>(pair.active().changes()? + pair.backup().changes()?);
    let before = changes()?;
    let began = now();
    let spinners = Spinners::start();
    std::thread::sleep(time);
    drop(spinners);
    let ended = now();
    let heard = pair.watch().heard();
    let inside = heard.iter().filter(|one| (began..=ended).contains(&one.at));
    let (active, backup): (Vec<&Heard>, Vec<&Heard>) =
        inside.partition(|one| is_of(one.source, pair.active().node()));
    let times = active.iter().map(|one: &&Heard| one.at);
    let silences = times.clone().zip(times.skip(1)).map(|(a, b)| b.saturating_since(a));
    Ok(Watched {
        changes: changes()?.saturating_sub(before),
        claims: u64::try_from(backup.len())?,
        silence: ns(silences.max().unwrap_or_default()),
    })
}
