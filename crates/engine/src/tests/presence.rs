//! The table "what the kernel has of a server" of docs/policy.md, for every combination of what it depends on.

use holdfast_health::{Feedback, Wish};

use super::*;
use crate::advice::Advice;
use crate::quorum::Regime;

/// The rows of the documentation, read from the top; `out` is what `on_failure` says.
fn documented(
    admin: &Admin,
    says: State,
    wish: Wish,
    regime: Regime,
    out: Presence,
    hashes: bool,
) -> Presence {
    const WHOLE: Presence = Presence::Weight(5);
    const NONE: Presence = Presence::Weight(0);
    match (admin, says, wish, regime) {
        (Admin::Maint, ..) => out,
        (Admin::Drain(drain), ..) if drain.drained && !hashes => Presence::Absent,
        (Admin::Drain(_), ..) => NONE,
        (Admin::Ready, _, _, Regime::Sorry) | (Admin::Ready, _, Wish::Maint, _) => out,
        (Admin::Ready, State::Up, Wish::Drain, _) => NONE,
        (Admin::Ready, _, Wish::Drain, _) => out,
        (Admin::Ready, _, Wish::Ready, Regime::FailOpen)
        | (Admin::Ready, State::Up, Wish::Ready, _) => WHOLE,
        (Admin::Ready, State::Down | State::Starting, Wish::Ready, Regime::Normal) => out,
    }
}

#[test]
fn the_kernel_has_what_the_table_says_in_every_combination() {
    let mut tried = 0;
    for (on_failure, out) in [("inhibit", Presence::Weight(0)), ("remove", Presence::Absent)] {
        for (scheduler, hashes) in [("wlc", false), ("{name: mh, flags: [fallback]}", true)] {
            let keys = format!("    on_failure: {on_failure}\n    scheduler: {scheduler}\n");
            let bench = Bench::new(&config(&keys), &Table::new());
            let service = bench.engine.pools()[&name("web")].service();
            let drain = Drain::new(at(1000), seconds(1), false);
            let mut drained = drain;
            drained.drained = true;
            let [drain, drained] = [drain, drained].map(|one| Admin::Drain(Box::new(one)));
            for admin in [Admin::Ready, Admin::Maint, drain, drained] {
                for says in [State::Up, State::Down, State::Starting] {
                    for wish in [Wish::Ready, Wish::Drain, Wish::Maint] {
                        for regime in [Regime::Normal, Regime::Sorry, Regime::FailOpen] {
                            let said = Feedback { weight: None, wish: Some(wish) };
                            let mut web1 = bench.server("web1").clone();
                            web1.admin = admin.clone();
                            web1.health = says;
                            web1.advice = Some(Box::new(Advice::of([said].into_iter())));
                            assert_eq!(
                                web1.presence(service, regime),
                                documented(&admin, says, wish, regime, out, hashes),
                                "{admin:?} {says} {wish:?} {regime:?} {on_failure} {scheduler}"
                            );
                            tried += 1;
                        }
                    }
                }
            }
        }
    }
    assert_eq!(tried, 2 * 2 * 4 * 3 * 3 * 3);
}
