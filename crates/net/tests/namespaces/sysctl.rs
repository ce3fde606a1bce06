//! Sysctls are set, remembered and given back.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use holdfast_net::{Sysctl, Sysctls};

use crate::lab::{Namespace, Pair};

/// A directory that goes with the test.
struct State(PathBuf);

impl State {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("holdfast-{name}-{}", std::process::id()));
        drop(fs::remove_dir_all(&path));
        Self(path)
    }
}

impl Drop for State {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn value(namespace: &Namespace, sysctl: &Sysctl) -> i64 {
    namespace.enter(|| sysctl.read().unwrap())
}

fn arp(interface: &str) -> [Sysctl; 2] {
    [Sysctl::ipv4(interface, "arp_ignore"), Sysctl::ipv4(interface, "arp_announce")]
}

#[test]
fn what_was_raised_is_given_back_and_what_is_high_enough_is_left() {
    let pair = Pair::new();
    let state = State::new("raised");
    pair.left.ip("link add name eth0.7 type veth peer name other");
    pair.left.sysctl("ipv4/conf/eth0.7/arp_announce", "2");
    let [ignore, announce] = arp("eth0.7");
    pair.left.enter(|| {
        let mut sysctls = Sysctls::open(&state.0, "sysctls").unwrap();
        sysctls.raise(&ignore, 1).unwrap();
        sysctls.raise(&announce, 1).unwrap();
        assert_eq!((ignore.read().unwrap(), announce.read().unwrap()), (1, 2));
        assert!(sysctls.keep_only(&BTreeSet::new()).is_empty());
    });
    assert_eq!((value(&pair.left, &ignore), value(&pair.left, &announce)), (0, 2));
    let files = fs::read_dir(&state.0).unwrap().count();
    assert_eq!(files, 0, "nothing is remembered, and no file is left");
}

#[test]
fn the_run_after_a_kill_gives_back_what_it_does_not_need() {
    let pair = Pair::new();
    let state = State::new("killed");
    let [ignore, announce] = arp("eth0");
    pair.left.enter(|| {
        let mut killed = Sysctls::open(&state.0, "sysctls").unwrap();
        killed.raise(&ignore, 1).unwrap();
        killed.raise(&announce, 2).unwrap();
    });
    pair.left.enter(|| {
        let mut next = Sysctls::open(&state.0, "sysctls").unwrap();
        next.raise(&ignore, 1).unwrap();
        assert!(next.keep_only(&BTreeSet::from([ignore.clone()])).is_empty());
    });
    assert_eq!((value(&pair.left, &ignore), value(&pair.left, &announce)), (1, 0));
    pair.left.enter(|| {
        let mut last = Sysctls::open(&state.0, "sysctls").unwrap();
        assert!(last.keep_only(&BTreeSet::new()).is_empty());
    });
    assert_eq!(value(&pair.left, &ignore), 0, "what it was before the first run");
}

#[test]
fn a_value_that_somebody_else_has_set_and_an_interface_that_is_gone_are_left() {
    let pair = Pair::new();
    let state = State::new("theirs");
    pair.left.ip("link add name dummy0 type veth peer name dummy1");
    let [ignore, _] = arp("eth0");
    let [gone, _] = arp("dummy0");
    pair.left.enter(|| {
        let mut sysctls = Sysctls::open(&state.0, "sysctls").unwrap();
        sysctls.raise(&ignore, 1).unwrap();
        sysctls.raise(&gone, 1).unwrap();
        pair.left.sysctl("ipv4/conf/eth0/arp_ignore", "8");
        pair.left.ip("link delete dummy0");
        assert!(sysctls.keep_only(&BTreeSet::new()).is_empty());
    });
    assert_eq!(value(&pair.left, &ignore), 8);
}

#[test]
fn another_namespaces_record_is_not_believed() {
    let pair = Pair::new();
    let state = State::new("namespaces");
    let [ignore, _] = arp("eth0");
    pair.left.enter(|| Sysctls::open(&state.0, "sysctls").unwrap().raise(&ignore, 1).unwrap());
    pair.right.sysctl("ipv4/conf/eth0/arp_ignore", "1");
    pair.right.enter(|| {
        let mut sysctls = Sysctls::open(&state.0, "sysctls").unwrap();
        assert!(sysctls.keep_only(&BTreeSet::new()).is_empty());
    });
    assert_eq!(value(&pair.right, &ignore), 1);
}

/// What a kill left behind is still what it was before the first run, also when the next one sets another value.
#[test]
fn values_of_several_words_are_set_and_given_back_by_another_run() {
    let pair = Pair::new();
    let state = State::new("words");
    let forward = Sysctl::parse("net/ipv4/ip_forward").unwrap();
    let range = Sysctl::ipv4("eth0", "arp_ignore");
    pair.left.enter(|| {
        forward.write(0).unwrap();
        let mut killed = Sysctls::open(&state.0, "ipvs-sysctls").unwrap();
        assert_eq!(killed.set(&forward, "1").unwrap().as_deref(), Some("0"));
        assert_eq!(killed.set(&forward, "1").unwrap(), None);
        assert_eq!(killed.set(&range, "2").unwrap().as_deref(), Some("0"));
        assert!(killed.holds(&range, "2") && !killed.holds(&range, "1"));
    });
    pair.left.enter(|| {
        let mut next = Sysctls::open(&state.0, "ipvs-sysctls").unwrap();
        assert_eq!(next.set(&range, "1").unwrap().as_deref(), Some("2"));
        let error = next.set(&range, "nonsense").unwrap_err();
        assert!(error.to_string().contains("arp_ignore to nonsense"), "{error}");
        let other = Sysctls::open(&state.0, "sysctls").unwrap();
        assert!(!other.holds(&forward, "1"), "each part remembers its own");
        next.set(&range, "1").unwrap();
        assert!(next.keep_only(&BTreeSet::new()).is_empty());
    });
    assert_eq!((value(&pair.left, &forward), value(&pair.left, &range)), (0, 0));
}

/// A full disk keeps no service from working: what is needed is set, which is said, and given back by whoever has set it.
#[test]
fn where_nothing_can_be_written_down_sysctls_are_set_all_the_same_and_that_is_said() {
    let pair = Pair::new();
    let state = State::new("unwritable");
    fs::write(&state.0, "a file where a directory should be").unwrap();
    let [ignore, announce] = arp("eth0");
    pair.left.enter(|| {
        let mut sysctls = Sysctls::open(&state.0, "sysctls").unwrap();
        sysctls.raise(&ignore, 1).unwrap();
        let why = sysctls.unkept().map(ToString::to_string).unwrap_or_default();
        assert!(why.contains("keep the former sysctls"), "{why}");
        assert_eq!(ignore.read().unwrap(), 1);
        assert!(sysctls.keep_only(&BTreeSet::new()).is_empty());
        assert_eq!(ignore.read().unwrap(), 0);
        // It is written down as soon as it can be.
        sysctls.raise(&announce, 2).unwrap();
        fs::remove_file(&state.0).unwrap();
        assert!(sysctls.keep_only(&BTreeSet::from([announce.clone()])).is_empty());
        assert!(sysctls.unkept().is_none());
        drop(sysctls);
        assert!(Sysctls::open(&state.0, "sysctls").unwrap().keep_only(&BTreeSet::new()).is_empty());
    });
    assert_eq!((value(&pair.left, &ignore), value(&pair.left, &announce)), (0, 0));
}

/// What can't be read is not written over, and that its values are not given back is not forgotten when the next write succeeds.
#[test]
fn a_record_that_cannot_be_read_is_set_aside_and_that_stays_said() {
    let pair = Pair::new();
    let state = State::new("unreadable");
    let [ignore, _] = arp("eth0");
    pair.left.enter(|| {
        let mut sysctls = Sysctls::open(&state.0, "sysctls").unwrap();
        assert!(sysctls.lost().is_none(), "there was none");
        sysctls.raise(&ignore, 1).unwrap();
        drop(sysctls);
        let file = fs::read_dir(&state.0).unwrap().next().unwrap().unwrap().path();
        // A directory in its place can't be read by root either.
        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
        let mut sysctls = Sysctls::open(&state.0, "sysctls").unwrap();
        sysctls.set(&ignore, "2").unwrap();
        assert!(sysctls.unkept().is_none(), "it is written down");
        let why = sysctls.lost().map(ToString::to_string).unwrap_or_default();
        assert!(why.contains("set-aside"), "{why}");
        assert!(file.with_extension("set-aside").is_dir() && file.is_file());
        assert!(sysctls.keep_only(&BTreeSet::new()).is_empty());
        assert_eq!(ignore.read().unwrap(), 1, "as this run has found it");
        assert!(sysctls.lost().is_some());
    });
}

#[test]
fn a_missing_interface_is_named() {
    let pair = Pair::new();
    let state = State::new("missing");
    let [ignore, _] = arp("none0");
    pair.left.enter(|| {
        let error = Sysctls::open(&state.0, "sysctls").unwrap().raise(&ignore, 1).unwrap_err();
        assert_eq!(error.to_string(), "read the sysctl net/ipv4/conf/none0/arp_ignore");
    });
}
