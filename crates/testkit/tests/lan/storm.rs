//! Everything at once, for a million steps: the invariants are checked at each of them (`testkit::lan` says which and where), I1 and
//! I2 once more at the end of each run.

use std::time::Duration;

use holdfast_testkit::lan::{Lan, Link, NodeId, seeds};

use super::election::{random_fault, random_routers, settle_on_the_best, settling_time};
use super::lan;

/// How many moments a run of all seeds has at least. With another count of seeds it is not asked for.
const STEPS: u64 = 1_000_000;

/// What the faults of the other tests are not: one-way loss, frames that come twice, clocks that differ, hostile packets, sync groups,
/// daemons that die as a whole, and protocols that say what is not true.
fn another_fault(lan: &mut Lan, interval: Duration) {
    let nodes: Vec<NodeId> = lan.nodes().collect();
    let random = lan.random();
    let node = *random.choose(&nodes).unwrap();
    let other = *random.choose(&nodes).unwrap();
    let loss = u16::try_from(random.below(1000)).unwrap();
    // A quartz is off by 100 ppm at most; ten times that.
    let ppm = i32::try_from(random.below(2001)).unwrap() - 1000;
    let outage = lan.random().duration(interval * 5);
    let soon = lan.random().duration(interval);
    match lan.random().below(10) {
        0 => lan.weaken(node, other, loss),
        1 => lan.set_clock(node, ppm),
        2 => lan.set_link(Link {
            loss_per_mille: loss / 5,
            double_per_mille: loss,
            delay: interval / 100,
            jitter: interval / 5,
        }),
        3 => lan.take_over(node),
        4 => lan.lose_active(node),
        5 => lan.kill(node, outage),
        6 => lan.die(node, soon),
        7 => {
            // Of who is Active, which is what is believed.
            let active = lan.actives().first().copied().unwrap_or(other);
            lan.die(active, soon);
        }
        8 => {
            let active = lan.actives().first().copied().unwrap_or(other);
            lan.tell_of_death(node, active, soon);
            lan.tell_of_death(other, node, outage);
            lan.tell_of_silence(node, other, outage);
        }
        _ => {
            for _ in 0..5 {
                lan.attack();
            }
        }
    }
}

#[test]
fn i1_to_i12_i15_hold_through_a_million_steps_of_everything() {
    let (mut steps, mut handovers) = (0, 0);
    let all_seeds = seeds(720);
    let everything = all_seeds == (0..720);
    for seed in all_seeds {
        let all = random_routers(seed);
        let (mut lan, nodes) = lan(seed, &all);
        let interval = all[0].advertisement_interval().duration();
        for _ in 0..150 {
            let wait = lan.random().duration(interval * 5);
            lan.run_for(wait);
            if lan.random().per_mille(500) {
                another_fault(&mut lan, interval);
            } else {
                random_fault(&mut lan, interval);
            }
        }
        settle_on_the_best(&mut lan, &nodes, interval);
        // A calm ending: everybody gives up in turn, and no moment is without the addresses (checked in the LAN).
        for &node in &nodes {
            lan.step_down(node);
            let settle = settling_time(&lan);
            lan.run_for(settle);
        }
        steps += lan.steps();
        handovers += lan.orderly_handovers();
    }
    assert!(!everything || handovers >= 100, "{handovers} hand-overs");
    assert!(!everything || steps >= STEPS, "{steps} steps");
}
