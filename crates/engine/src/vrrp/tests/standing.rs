//! What trackers make of a priority (keepalived's rules).

use std::collections::{BTreeMap, BTreeSet};

use holdfast_config::{Environment, parse};
use proptest::prelude::*;
use vrrp::Priority;

use super::*;
use crate::vrrp::{Effect, Level, Reading, Standing, Standings, Subject, Trackers, Watch};

fn effect(tracker: &str, weight: Option<i16>, reverse: bool) -> Effect {
    Effect { tracker: name(tracker), weight, reverse }
}

/// The standing of an instance of this priority with one tracker.
fn standing(priority: u8, file: bool, level: Level, effect: Effect) -> Standing {
    let mut trackers = Trackers::default();
    let tracker = effect.tracker.clone();
    trackers.add(at(0), tracker.clone(), Watch { file, ..Watch::default() });
    trackers.handle(at(0), &tracker, Reading::new(level, "said so"));
    let subject = Subject { priority: Priority::new(priority), track: vec![effect] };
    let standings = Standings::of(trackers, [(name("edge"), subject)].into(), []);
    standings.standing(&name("edge")).unwrap().clone()
}

/// The priority, or none for a fault.
fn priority(file: bool, level: Level, weight: Option<i16>, reverse: bool) -> Option<u8> {
    let standing = standing(100, file, level, effect("x", weight, reverse));
    assert!(standing.faults.iter().all(|fault| fault.tracker == name("x")));
    standing.faults.is_empty().then_some(standing.priority.value())
}

#[test]
fn a_tracker_counts_by_the_table() {
    use Level::{Down, Unknown, Up};
    for (level, weight, reverse, expected) in [
        (Up, Some(20), false, Some(120)),
        (Down, Some(20), false, Some(100)),
        (Up, Some(-20), false, Some(100)),
        (Down, Some(-20), false, Some(80)),
        (Up, Some(20), true, Some(100)),
        (Down, Some(20), true, Some(120)),
        (Up, Some(-20), true, Some(80)),
        (Down, Some(-20), true, Some(100)),
        (Up, None, false, Some(100)),
        (Down, None, false, None),
        (Up, None, true, None),
        (Down, None, true, Some(100)),
        (Unknown, None, false, None),
        (Unknown, None, true, None),
        (Unknown, Some(20), false, Some(100)),
        (Unknown, Some(-20), false, Some(100)),
        (Down, Some(-253), false, Some(1)),
        (Up, Some(253), false, Some(254)),
    ] {
        let found = priority(false, level, weight, reverse);
        assert_eq!(found, expected, "{level:?}, {weight:?}, {reverse}");
    }
}

#[test]
fn a_files_number_is_multiplied_and_a_great_loss_is_a_fault() {
    for (value, weight, reverse, expected) in [
        (3, Some(2), false, Some(106)),
        (3, Some(-2), false, Some(94)),
        (-3, Some(2), false, Some(94)),
        (3, Some(2), true, Some(94)),
        (0, Some(50), false, Some(100)),
        (0, None, false, Some(100)),
        (1, None, false, None),
        (-1, None, false, None),
        (0, None, true, None),
        (1, None, true, Some(100)),
        (-253, Some(1), false, Some(1)),
        (-254, Some(1), false, None),
        (254, Some(1), true, None),
        (i64::MIN, Some(253), false, None),
        (i64::MIN, Some(-253), false, Some(254)),
        (i64::MAX, Some(1), false, Some(254)),
    ] {
        let found = priority(true, Level::Value(value), weight, reverse);
        assert_eq!(found, expected, "{value}, {weight:?}, {reverse}");
    }
    // The most that one adds is 253, which another one can take again.
    let one = standing(1, true, Level::Value(i64::MAX), effect("x", Some(1), false));
    assert_eq!(one.weights.first().unwrap().weight, 253);
    // What is no number has nothing to multiply; without a weight it is down like anything else.
    assert_eq!(priority(true, Level::Down, Some(-50), false), Some(100));
    assert_eq!(priority(true, Level::Down, None, false), None);
}

#[test]
fn an_owner_is_above_its_trackers() {
    for weight in [None, Some(-100)] {
        let standing = standing(255, false, Level::Down, effect("x", weight, false));
        assert_eq!(standing, Standing::untracked(Priority::OWNER));
    }
}

#[test]
fn a_fault_says_which_tracker_and_why() {
    let down = standing(100, false, Level::Down, effect("haproxy", None, false));
    assert_eq!(down.fault().unwrap(), "tracker `haproxy`: said so");
    let mut trackers = Trackers::default();
    trackers.add(at(0), name("gateway"), Watch::default());
    let track = vec![effect("gateway", None, false)];
    let subject = Subject { priority: Priority::DEFAULT, track };
    let standings = Standings::of(trackers, [(name("edge"), subject)].into(), []);
    let waits = standings.standing(&name("edge")).unwrap().fault().unwrap();
    assert_eq!(waits, "tracker `gateway`: waits for its first result");
}

/// `inside` and `outside` with an entry each, in a group with one of its own; what each comes to when all trackers are down.
fn group(inside: (u8, Effect), outside: (u8, Effect)) -> (Standing, Standing) {
    let mut trackers = Trackers::default();
    for tracker in ["a", "b", "c"] {
        trackers.add(at(0), name(tracker), Watch::default());
        trackers.handle(at(0), &name(tracker), Reading::down("down"));
    }
    let subject = |(priority, effect): (u8, Effect)| Subject {
        priority: Priority::new(priority),
        track: vec![effect],
    };
    let subjects = [(name("inside"), subject(inside)), (name("outside"), subject(outside))];
    let members: BTreeSet<_> = [name("inside"), name("outside")].into();
    let groups = [(members, vec![effect("c", Some(-5), false)])];
    let standings = Standings::of(trackers, subjects.into(), groups);
    let standing = |member| standings.standing(&name(member)).unwrap().clone();
    (standing("inside"), standing("outside"))
}

#[test]
fn the_members_of_a_group_have_one_handicap_together() {
    let both = group((150, effect("a", Some(-10), false)), (100, effect("b", Some(-20), false)));
    assert_eq!((both.0.priority.value(), both.1.priority.value()), (115, 65));
    let tracked = |standing: &Standing| standing.weights.len();
    assert_eq!((tracked(&both.0), tracked(&both.1)), (3, 3));
}

#[test]
fn the_same_entry_on_several_members_counts_once() {
    let entry = || effect("a", Some(-10), false);
    let both = group((150, entry()), (100, entry()));
    assert_eq!((both.0.priority.value(), both.1.priority.value()), (135, 85));
}

#[test]
fn a_fault_is_the_members_own_and_a_group_with_an_owner_has_no_weights() {
    let both = group((150, effect("a", None, false)), (100, effect("b", Some(-20), false)));
    assert_eq!((both.0.faults.len(), both.1.faults.len()), (1, 0));
    let both = group((255, effect("a", Some(-10), false)), (100, effect("b", Some(-20), false)));
    assert_eq!((both.0.priority.value(), both.1.priority.value()), (255, 100));
}

#[test]
fn who_is_concerned_is_told_once_and_late_readings_count_by_themselves() {
    let mut trackers = Trackers::default();
    let watch =
        Watch { interface: Some("eth1".to_owned()), down_delay: SECOND * 2, ..Watch::default() };
    trackers.add(at(0), name("uplink"), watch);
    let subject = |track| Subject { priority: Priority::DEFAULT, track };
    let subjects: BTreeMap<_, _> = [
        (name("edge"), subject(vec![effect("uplink", Some(-50), false)])),
        (name("other"), subject(vec![])),
    ]
    .into();
    let mut standings = Standings::of(trackers, subjects.clone(), []);
    assert_eq!(standings.poll_changed(), Some(name("edge")));
    assert_eq!(standings.poll_changed(), Some(name("other")));
    standings.link(at(1), "eth1", &Reading::up("carrier"));
    standings.link(at(1), "eth2", &Reading::down("no carrier"));
    assert_eq!(standings.poll_changed(), None, "up, as without it");
    standings.link(at(5), "eth1", &Reading::down("no carrier"));
    assert_eq!((standings.poll_changed(), standings.poll_timeout()), (None, Some(at(7))));
    standings.handle_timeout(at(7));
    assert_eq!(standings.poll_changed(), Some(name("edge")));
    assert_eq!(standings.standing(&name("edge")).unwrap().priority.value(), 50);
    assert_eq!(standings.poll_changed(), None);

    let mut reloaded = Trackers::default();
    let watch = Watch { interface: Some("eth1".to_owned()), ..Watch::default() };
    reloaded.add(at(8), name("uplink"), watch);
    let mut after = Standings::of(reloaded, subjects, []);
    after.inherit(&standings);
    assert_eq!(
        after.standing(&name("edge")).unwrap().priority.value(),
        50,
        "nothing is asked anew"
    );
}

#[test]
fn a_tracker_that_a_reload_adds_keeps_nobody_out_until_it_was_read() {
    let effect = |reverse| Effect { tracker: name("new"), weight: None, reverse };
    for reverse in [false, true] {
        let subject = Subject { priority: Priority::new(100), track: vec![effect(reverse)] };
        let subjects: BTreeMap<Name, Subject> = [(name("edge"), subject)].into();
        let mut trackers = Trackers::default();
        trackers.add(at(0), name("new"), Watch::default());
        let mut standings = Standings::of(trackers, subjects, []);
        let fault = |standings: &Standings| standings.standing(&name("edge")).unwrap().fault();
        assert!(fault(&standings).is_some(), "at a start it waits");
        standings.inherit(&Standings::default());
        assert_eq!(fault(&standings), None);
        standings.handle(at(1), &name("new"), Reading::unknown("it can't be run"));
        assert_eq!(fault(&standings), None, "nothing was read");
        standings.handle(at(2), &name("new"), Reading::up("up"));
        assert_eq!(fault(&standings).is_some(), reverse);
        standings.handle(at(3), &name("new"), Reading::down("down"));
        assert_eq!(fault(&standings).is_some(), !reverse);
    }
}

/// As a configuration says it: delays, files, groups and the short form without a weight.
#[test]
fn a_configuration_is_weighed() {
    let text = "
vrrp:
  interfaces: {eth2: {down_delay: 2s}}
  trackers:
    uplink: {interface: eth2}
    haproxy: {process: {name: haproxy, up_delay: 1s}}
    load: {file: {path: /run/load}}
  groups:
    pair: {instances: [inside, outside], track: [{tracker: load, weight: -10}]}
  instances:
    outside:
      interface: eth0
      vrid: 1
      priority: 150
      addresses: [192.0.2.10/24]
      track: [haproxy]
    inside:
      interface: eth1
      vrid: 2
      priority: 150
      addresses: [198.51.100.10/24]
      track: [{tracker: uplink, weight: -30}]
";
    let outcome = parse("test.yaml", text, &Environment::new("lb1"));
    let config = outcome.config.clone().unwrap_or_else(|| panic!("{}", outcome.render(false)));
    let mut standings = Standings::new(at(0), &config.vrrp, config.instances.values());
    assert_eq!(standings.trackers().interfaces(), ["eth2"].into());
    let standing = |standings: &Standings, which: &str| {
        let standing = standings.standing(&name(which)).unwrap();
        (standing.priority.value(), standing.faults.len())
    };
    assert_eq!(standing(&standings, "outside"), (150, 1), "it waits for a first result");
    standings.handle(at(1), &name("haproxy"), Reading::up("1 process"));
    standings.handle(at(1), &name("load"), Reading::value(3, "3"));
    standings.link(at(1), "eth2", &Reading::up("carrier"));
    assert_eq!(standing(&standings, "outside"), (120, 0));
    standings.link(at(2), "eth2", &Reading::down("no carrier"));
    standings.handle(at(2), &name("haproxy"), Reading::down("no process"));
    assert_eq!(standing(&standings, "outside"), (120, 1));
    standings.handle(at(3), &name("haproxy"), Reading::up("1 process"));
    assert_eq!(standings.poll_timeout(), Some(at(4)));
    standings.handle_timeout(at(4));
    assert_eq!(standing(&standings, "outside"), (90, 0));
    assert_eq!(standing(&standings, "inside"), (90, 0));
}

fn level() -> impl Strategy<Value = Level> {
    prop_oneof![
        Just(Level::Unknown),
        Just(Level::Up),
        Just(Level::Down),
        any::<i64>().prop_map(Level::Value),
        (-5_i64..6).prop_map(Level::Value),
    ]
}

fn any_effect() -> impl Strategy<Value = Effect> {
    let weight = prop_oneof![Just(None), (-253_i16..=253).prop_map(Some)];
    (0_u8..5, weight, any::<bool>())
        .prop_map(|(tracker, weight, reverse)| effect(&format!("t{tracker}"), weight, reverse))
}

/// The standing of an instance with these entries and trackers at these levels.
fn whole(base: u8, effects: &[Effect], levels: &[(bool, Level)]) -> Standing {
    let mut trackers = Trackers::default();
    for (number, (file, level)) in levels.iter().enumerate() {
        let tracker = name(&format!("t{number}"));
        trackers.add(at(0), tracker.clone(), Watch { file: *file, ..Watch::default() });
        trackers.handle(at(0), &tracker, Reading::new(*level, ""));
    }
    let subject = Subject { priority: Priority::new(base), track: effects.to_vec() };
    let standings = Standings::of(trackers, [(name("edge"), subject)].into(), []);
    standings.standing(&name("edge")).unwrap().clone()
}

proptest! {
    #[test]
    fn an_effective_priority_is_never_0_or_255_and_is_the_sum(
        base in 1_u8..=254,
        effects in proptest::collection::vec(any_effect(), 0..12),
        levels in proptest::collection::vec((any::<bool>(), level()), 5),
    ) {
        let standing = whole(base, &effects, &levels);
        prop_assert!((1..=254).contains(&standing.priority.value()));
        let sum: i32 = standing.weights.iter().map(|one| i32::from(one.weight)).sum();
        let total = (i32::from(base) + sum).clamp(1, 254);
        prop_assert_eq!(i32::from(standing.priority.value()), total);
        prop_assert!(standing.weights.iter().all(|one| one.weight.abs() <= 253));
    }

    /// A tracker that comes up never makes an instance worse unless an entry is reversed.
    #[test]
    fn what_comes_up_does_no_harm(
        base in 1_u8..=254,
        effects in proptest::collection::vec(any_effect(), 0..12),
        levels in proptest::collection::vec(prop_oneof![Just(Level::Up), Just(Level::Down)], 5),
        which in 0_usize..5,
    ) {
        let effects: Vec<_> =
            effects.into_iter().map(|effect| Effect { reverse: false, ..effect }).collect();
        let with = |level| {
            let mut levels: Vec<_> = levels.iter().map(|level| (false, *level)).collect();
            levels[which].1 = level;
            whole(base, &effects, &levels)
        };
        let (down, up) = (with(Level::Down), with(Level::Up));
        prop_assert!(up.priority >= down.priority);
        prop_assert!(up.faults.len() <= down.faults.len());
    }
}

/// The operator reads why it is so now, not why it was so first.
#[test]
fn a_fault_says_the_newest_reason_and_one_that_waits_says_why_nothing_is_known() {
    let mut trackers = Trackers::default();
    trackers.add(at(0), name("x"), Watch::default());
    let track = vec![effect("x", None, false)];
    let subject = Subject { priority: Priority::DEFAULT, track };
    let mut standings = Standings::of(trackers, [(name("edge"), subject)].into(), []);
    let said = |standings: &mut Standings| {
        assert_eq!(standings.poll_changed(), Some(name("edge")));
        standings.standing(&name("edge")).unwrap().fault().unwrap()
    };
    said(&mut standings);
    for (reading, expected) in [
        (Reading::unknown("no such user"), "no such user"),
        (Reading::down("eth1 is down"), "eth1 is down"),
        (Reading::down("there is no interface eth1"), "there is no interface eth1"),
    ] {
        standings.handle(at(1), &name("x"), reading.clone());
        let fault = said(&mut standings);
        assert!(fault.ends_with(expected), "{fault}");
        standings.handle(at(2), &name("x"), reading);
        assert_eq!(standings.poll_changed(), None, "the same again");
    }
}
