//! The worker against a kernel that is a map.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::rc::Rc;

use holdfast_net::{Addition, IfIndex, Interface, MacAddress, Removal};
use ipnet::IpNet;

use super::super::desk::Wanted;
use super::super::tenant::{Present, REPEAT_DELAY, RETRY_DELAY};
use super::*;

const MAC: MacAddress = MacAddress::new([2, 0, 0, 0, 0, 1]);
const OTHER_MAC: MacAddress = MacAddress::new([2, 0, 0, 0, 0, 2]);

/// A kernel whose addresses can be looked at while the worker has it.
#[derive(Clone, Debug, Default)]
struct Fake(Rc<RefCell<State>>);

#[derive(Debug, Default)]
struct State {
    present: Present,
    refuses: BTreeSet<IpNet>,
    announced: Vec<(MacAddress, Vec<IpAddr>)>,
    changes: usize,
    is_full: bool,
}

impl Kernel for Fake {
    type Error = String;

    fn list(&mut self) -> Result<Present, String> {
        Ok(self.0.borrow().present.clone())
    }

    fn add(&mut self, on: &Interface, addresses: &[IpNet]) -> Vec<Result<Addition, String>> {
        let mut state = self.0.borrow_mut();
        let mut add = |address: &IpNet| {
            if state.refuses.contains(address) {
                return Err(format!("no {address}"));
            }
            state.changes += 1;
            state.present.entry(on.index).or_default().push(*address);
            Ok(Addition::Added)
        };
        addresses.iter().map(&mut add).collect()
    }

    fn remove(&mut self, on: &Interface, addresses: &[IpNet]) -> Vec<Result<Removal, String>> {
        let mut state = self.0.borrow_mut();
        let mut remove = |address: &IpNet| {
            if state.refuses.contains(address) {
                return Err(format!("no {address}"));
            }
            state.changes += 1;
            state.present.entry(on.index).or_default().retain(|one| one != address);
            Ok(Removal::Removed)
        };
        addresses.iter().map(&mut remove).collect()
    }

    fn announce(
        &mut self,
        _: &Interface,
        mac: MacAddress,
        addresses: &[IpAddr],
    ) -> Result<(), String> {
        let mut state = self.0.borrow_mut();
        if state.is_full {
            return Err("full".to_owned());
        }
        state.announced.push((mac, addresses.to_vec()));
        Ok(())
    }
}

/// One instance `a` with two addresses on `eth0`, the desk and the worker.
struct Bench {
    kernel: Fake,
    desk: Arc<Desk>,
    worker: Worker<Fake>,
    now: Instant,
    wanted: Wanted,
}

fn net(net: &str) -> IpNet {
    net.parse().unwrap()
}

fn interface(index: u32) -> Interface {
    Interface { index: IfIndex::new(index).unwrap(), name: "eth0".to_owned() }
}

fn name() -> Name {
    Name::try_from("a".to_owned()).unwrap()
}

impl Bench {
    fn new(owner: bool, left: &[&str]) -> Self {
        let kernel = Fake::default();
        let left = left.iter().map(|one| net(one)).collect();
        kernel.0.borrow_mut().present.insert(interface(1).index, left);
        let desk = Arc::new(Desk::default());
        let addresses = vec![net("10.0.0.1/24"), net("10.0.0.2/24")];
        let claims = [Claim { instance: name(), owner, addresses }];
        let worker = Worker::new(Arc::clone(&desk), kernel.clone(), &claims);
        let wanted = Wanted { interface: Some(interface(1)), mac: Some(MAC), ..Wanted::default() };
        Self { kernel, desk, worker, now: now(), wanted }
    }

    fn want(&mut self, change: impl FnOnce(&mut Wanted)) {
        change(&mut self.wanted);
        self.desk.want(&name(), self.wanted.clone());
        self.turn();
    }

    fn turn(&mut self) {
        self.worker.turn(self.now);
        while self.worker.announce_one(self.now) {}
    }

    fn present(&self, index: u32) -> Vec<String> {
        let state = self.kernel.0.borrow();
        let here = state.present.get(&interface(index).index);
        here.into_iter().flatten().map(ToString::to_string).collect()
    }

    fn take_away(&self, address: &str) {
        let mut state = self.kernel.0.borrow_mut();
        state.present.values_mut().for_each(|here| here.retain(|one| *one != net(address)));
    }

    fn announced(&self) -> Vec<MacAddress> {
        self.kernel.0.borrow().announced.iter().map(|(mac, _)| *mac).collect()
    }
}

const BOTH: [&str; 2] = ["10.0.0.1/24", "10.0.0.2/24"];

#[test]
fn addresses_come_and_go_with_the_wish_and_the_outcome_says_so() {
    let mut bench = Bench::new(false, &["10.0.0.9/24"]);
    bench.want(|wanted| wanted.held = true);
    assert_eq!(bench.present(1), ["10.0.0.9/24", BOTH[0], BOTH[1]]);
    assert!(bench.desk.outcome(&name()).holds);
    bench.want(|wanted| wanted.held = false);
    assert_eq!(bench.present(1), ["10.0.0.9/24"], "what is not claimed stays");
    assert!(!bench.desk.outcome(&name()).holds);
}

#[test]
fn an_owner_keeps_its_own_address_and_loses_what_was_added() {
    let mut bench = Bench::new(true, &["10.0.0.1/16"]);
    bench.want(|wanted| wanted.held = true);
    assert_eq!(bench.present(1), ["10.0.0.1/16", BOTH[1]], "its own is there, with its own prefix");
    assert!(bench.desk.outcome(&name()).holds);
    bench.want(|wanted| wanted.held = false);
    assert_eq!(bench.present(1), ["10.0.0.1/16"]);
    bench.want(|wanted| wanted.held = true);
    bench.desk.close();
    bench.turn();
    assert_eq!(bench.present(1), ["10.0.0.1/16"], "a stop is no other matter");
}

#[test]
fn leftovers_of_an_earlier_run_are_removed_whatever_their_prefix() {
    let mut bench = Bench::new(false, &["10.0.0.1/32", "10.0.0.9/24"]);
    bench.want(|_| {});
    assert_eq!(bench.present(1), ["10.0.0.9/24"]);
    let mut owner = Bench::new(true, &["10.0.0.1/32"]);
    owner.want(|_| {});
    assert_eq!(owner.present(1), ["10.0.0.1/32"]);
}

#[test]
fn a_refused_address_is_a_problem_that_is_tried_again() {
    let mut bench = Bench::new(false, &[]);
    bench.kernel.0.borrow_mut().refuses.insert(net(BOTH[0]));
    bench.want(|wanted| wanted.held = true);
    let outcome = bench.desk.outcome(&name());
    assert_eq!((outcome.holds, outcome.problems), (false, vec!["no 10.0.0.1/24".to_owned()]));
    let only_two: IpAddr = "10.0.0.2".parse().unwrap();
    assert_eq!(bench.kernel.0.borrow().announced, [(MAC, vec![only_two])], "what is there alone");

    bench.kernel.0.borrow_mut().refuses.clear();
    bench.turn();
    assert_eq!(bench.present(1), [BOTH[1]], "not before its time");
    bench.now += RETRY_DELAY;
    bench.turn();
    let outcome = bench.desk.outcome(&name());
    assert_eq!((outcome.holds, outcome.problems), (true, Vec::new()));
    assert_eq!(bench.announced().len(), 2, "announced once it is there");
}

#[test]
fn a_refused_removal_still_holds_and_is_tried_again() {
    let mut bench = Bench::new(false, &[]);
    bench.want(|wanted| wanted.held = true);
    bench.kernel.0.borrow_mut().refuses.insert(net(BOTH[0]));
    bench.want(|wanted| wanted.held = false);
    let outcome = bench.desk.outcome(&name());
    assert_eq!((outcome.holds, outcome.problems.len()), (true, 1));
    bench.kernel.0.borrow_mut().refuses.clear();
    bench.now += RETRY_DELAY;
    bench.turn();
    assert_eq!(bench.present(1), [""; 0]);
    assert_eq!(bench.desk.outcome(&name()).problems, [""; 0]);
}

#[test]
fn what_others_take_away_is_put_back_on_word_or_in_time_and_announced() {
    let mut bench = Bench::new(false, &[]);
    bench.want(|wanted| wanted.held = true);
    bench.take_away(BOTH[0]);
    bench.want(|wanted| wanted.looks += 1);
    assert_eq!(bench.present(1).len(), 2, "on word");
    bench.take_away(BOTH[1]);
    bench.now += COMPARE_EVERY;
    bench.turn();
    assert_eq!(bench.present(1).len(), 2, "in time");
    assert!(bench.announced().len() >= 3);
    let changes = bench.kernel.0.borrow().changes;
    bench.now += COMPARE_EVERY;
    bench.turn();
    assert_eq!(bench.kernel.0.borrow().changes, changes, "what is right is left alone");
}

#[test]
fn an_announcement_is_repeated_once_and_made_again_for_a_wish_or_another_mac() {
    let mut bench = Bench::new(false, &[]);
    bench.want(|wanted| (wanted.held, wanted.announcements) = (true, 1));
    assert_eq!(bench.announced(), [MAC]);
    bench.now += REPEAT_DELAY;
    bench.turn();
    bench.now += REPEAT_DELAY;
    bench.turn();
    assert_eq!(bench.announced(), [MAC, MAC]);
    bench.want(|wanted| wanted.announcements = 7);
    bench.want(|wanted| wanted.mac = Some(OTHER_MAC));
    assert_eq!(bench.announced(), [MAC, MAC, MAC, OTHER_MAC]);
    bench.want(|wanted| wanted.held = false);
    bench.now += REPEAT_DELAY;
    bench.turn();
    assert_eq!(bench.announced().len(), 4, "nothing is announced that is not held");
}

#[test]
fn addresses_move_along_to_another_interface() {
    let mut bench = Bench::new(false, &[]);
    bench.want(|wanted| wanted.held = true);
    bench.want(|wanted| wanted.interface = Some(interface(2)));
    assert_eq!((bench.present(1), bench.present(2)), (Vec::new(), BOTH.map(String::from).to_vec()));
    bench.want(|wanted| (wanted.interface, wanted.held) = (None, false));
    assert_eq!(bench.present(2), [""; 0]);
    assert!(!bench.desk.outcome(&name()).holds);
}

/// An owner's interface is deleted and made again with the same number: what is on the new one is the administrator's.
#[test]
fn what_was_added_to_an_interface_that_is_gone_is_not_ours_on_the_next() {
    let mut bench = Bench::new(true, &[]);
    bench.want(|wanted| wanted.held = true);
    bench.want(|wanted| (wanted.losses, wanted.held) = (1, false));
    assert_eq!(bench.present(1).len(), 2);
}

#[test]
fn an_announcement_that_was_not_sent_is_tried_again_and_then_repeated() {
    let mut bench = Bench::new(false, &[]);
    bench.kernel.0.borrow_mut().is_full = true;
    bench.want(|wanted| wanted.held = true);
    bench.kernel.0.borrow_mut().is_full = false;
    bench.now += RETRY_DELAY;
    bench.turn();
    assert_eq!(bench.announced(), [MAC]);
    bench.now += REPEAT_DELAY;
    bench.turn();
    assert_eq!(bench.announced(), [MAC, MAC]);
}
