//! The worker against a kernel that is a map.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use holdfast_config::Environment;
use holdfast_net::{
    Device, IfIndex, Interface, Inventory, MacAddress, Placed, Route, RouteKey, Rule, Waker,
};
use ipnet::IpNet;

use super::super::desk::{Outcome, Wanted};
use super::super::tenant::RETRY_DELAY;
use super::*;

#[path = "worker_tests/announcements.rs"]
mod announcements;
#[path = "worker_tests/claims.rs"]
mod claims;
#[path = "worker_tests/kinds.rs"]
mod kinds;
#[path = "worker_tests/lifetimes.rs"]
mod lifetimes;

const MAC: MacAddress = MacAddress::new([2, 0, 0, 0, 0, 1]);
const OTHER_MAC: MacAddress = MacAddress::new([2, 0, 0, 0, 0, 2]);
/// The MAC address of the interface `eth2`.
const MAC_2: MacAddress = MacAddress::new([2, 0, 0, 0, 2, 2]);
const REPEAT_DELAY: Duration = Duration::from_secs(5);

/// A kernel whose addresses can be looked at while the worker has it.
#[derive(Debug, Default)]
struct Fake {
    /// What the worker has heard of.
    heard: Inventory,
    state: Rc<RefCell<State>>,
}

#[derive(Debug, Default)]
struct State {
    present: Inventory,
    losses: Losses,
    refuses: BTreeSet<IpAddr>,
    /// What was announced, and where.
    announced: Vec<(String, MacAddress, IpAddr)>,
    changes: Vec<String>,
    is_full: bool,
    /// The kernel does not answer what is asked of it; it does what it is told.
    is_mute: bool,
    /// Its messages come later.
    is_late: bool,
    /// The kernel before 5.18 keeps no mark of an address.
    forgets_marks: bool,
}

impl Kernel for Fake {
    type Error = String;

    fn inventory(&self) -> &Inventory {
        &self.heard
    }

    fn follow(&mut self) -> Result<Losses, String> {
        let mut state = self.state.borrow_mut();
        if state.is_mute {
            return Err("no answer".to_owned());
        }
        if state.is_late {
            return Ok(Losses::default());
        }
        self.heard = state.present.clone();
        Ok(std::mem::take(&mut state.losses))
    }

    fn refresh(&mut self) -> Result<(), String> {
        self.heard = self.state.borrow().present.clone();
        Ok(())
    }

    fn change(&mut self, changes: &[Change]) -> Vec<Result<Effect, String>> {
        let mut state = self.state.borrow_mut();
        let mut change = |change: &Change| {
            if let Item::Address(_, placed) = &change.item
                && state.refuses.contains(&placed.net.addr())
            {
                return Err(format!("no {placed}"));
            }
            state.changes.push(change.to_string());
            if let (Verb::Add, Item::Address(on, placed)) = (change.verb, &change.item) {
                let mut there = state.present.placed(placed.net.addr(), on.index).iter();
                if there.any(|one| one.net == placed.net) {
                    return Ok(Effect::AlreadySo);
                }
            }
            let mut item = change.item.clone();
            if let (Item::Address(_, placed), true) = (&mut item, state.forgets_marks) {
                placed.marked = false;
            }
            for inventory in [&mut state.present, &mut self.heard] {
                match change.verb {
                    Verb::Add | Verb::Renew => inventory.add(&item),
                    Verb::Remove => inventory.remove(&item),
                }
            }
            Ok(Effect::Done)
        };
        changes.iter().map(&mut change).collect()
    }

    fn announce(&mut self, on: &Interface, mac: MacAddress, address: IpAddr) -> Result<(), String> {
        let mut state = self.state.borrow_mut();
        if state.is_full {
            return Err("full".to_owned());
        }
        state.announced.push((on.name.clone(), mac, address));
        Ok(())
    }

    fn wait(&self, _: &Waker, _: Instant) {}
}

/// One instance `a` with two addresses on `eth1`, the desk and the worker.
struct Bench {
    state: Rc<RefCell<State>>,
    desk: Arc<Desk>,
    renewals: Arc<Renewals>,
    worker: Worker<Fake>,
    now: Instant,
    wanted: Wanted,
    /// The VRRP thread hangs, or has not read its queues yet.
    is_silent: bool,
}

fn net(net: &str) -> IpNet {
    net.parse().unwrap()
}

fn interface(index: u32) -> Interface {
    Interface { index: IfIndex::new(index).unwrap(), name: format!("eth{index}") }
}

fn name() -> Name {
    Name::try_from("a".to_owned()).unwrap()
}

/// The claim of instance `a` that has these keys.
fn claim(keys: &str) -> Claim {
    let text = format!("vrrp: {{instances: {{a: {{interface: eth1, vrid: 1, {keys}}}}}}}\n");
    let outcome = holdfast_config::parse("test.yaml", &text, &Environment::new("lb1"));
    let config = outcome.config.clone().unwrap_or_else(|| panic!("{}", outcome.render(false)));
    Claim::of(&config.instances[&name()])
}

/// Its addresses need no renewal.
const PLAIN: &str = "lifetime: 0s, addresses: [10.0.0.1/24, 10.0.0.2/24]";
const OWNER: &str = "priority: 255, addresses: [10.0.0.1/24, 10.0.0.2/24]";
const BOTH: [&str; 2] = ["10.0.0.1/24", "10.0.0.2/24"];

impl Bench {
    /// With the administrator's addresses `left` on the interface.
    fn new(keys: &str, left: &[&str]) -> Self {
        let unmarked = |net: &&str| {
            let mut placed = Placed::virtual_address(net.parse().unwrap());
            placed.marked = false;
            placed
        };
        Self::with(keys, left.iter().map(unmarked).collect(), Paces::new())
    }

    fn with(keys: &str, left: Vec<Placed>, paces: Paces) -> Self {
        let state: Rc<RefCell<State>> = Rc::default();
        for index in [1, 2] {
            let mac = Some(if index == 1 { MAC } else { MAC_2 });
            state.borrow_mut().present.add_device(Device {
                interface: interface(index),
                mac,
                up: true,
            });
        }
        for placed in left {
            state.borrow_mut().present.add(&Item::Address(interface(1), placed));
        }
        let desk = Arc::new(Desk::new(Waker::new().unwrap()).unwrap());
        let fake = Fake { heard: Inventory::default(), state: Rc::clone(&state) };
        let renewals = Arc::new(Renewals::new(Arc::clone(&desk)));
        let worker = {
            let (desk, renewals) = (Arc::clone(&desk), Arc::clone(&renewals));
            Worker::new(desk, fake, &[claim(keys)], paces, renewals)
        };
        let wanted = Wanted { interface: Some(interface(1)), mac: Some(MAC), ..Wanted::default() };
        Self { state, desk, renewals, worker, now: now(), wanted, is_silent: false }
    }

    fn want(&mut self, change: impl FnOnce(&mut Wanted)) {
        change(&mut self.wanted);
        self.desk.want(&name(), self.wanted.clone());
        self.turn();
    }

    fn turn(&mut self) {
        if !self.is_silent {
            self.desk.vouch(self.now, self.now);
        }
        self.work();
        self.renew();
    }

    /// The address thread's turn.
    fn work(&mut self) {
        self.worker.turn(self.now);
        while self.worker.announce_one(self.now) {}
    }

    /// That of the thread that renews; when it wants to be woken.
    fn renew(&mut self) -> Option<Instant> {
        let Self { renewals, worker, now, .. } = self;
        renewals.renew(*now, |changes| worker.kernel.change(changes))
    }

    fn after(&mut self, time: Duration) {
        self.now += time;
        self.turn();
    }

    fn outcome(&self) -> Outcome {
        self.desk.outcome(&name())
    }

    fn placed(&self, index: u32) -> Vec<Placed> {
        let state = self.state.borrow();
        let all = state.present.addresses();
        all.filter(|(on, _)| on.value() == index).map(|(_, placed)| placed.clone()).collect()
    }

    fn present(&self, index: u32) -> Vec<String> {
        self.placed(index).iter().map(ToString::to_string).collect()
    }

    /// Somebody removes an address, and the kernel tells.
    fn take_away(&self, address: &str) {
        self.take_away_unheard(address);
        self.state.borrow_mut().losses.addresses.insert(net(address).addr());
    }

    fn take_away_unheard(&self, address: &str) {
        let item = Item::Address(interface(1), Placed::virtual_address(net(address)));
        self.state.borrow_mut().present.remove(&item);
    }

    fn announced(&self) -> Vec<MacAddress> {
        self.state.borrow().announced.iter().map(|(_, mac, _)| *mac).collect()
    }

    /// How many announcements there were since the last call.
    fn announcements(&self) -> usize {
        std::mem::take(&mut self.state.borrow_mut().announced).len()
    }

    /// What was changed since the last call.
    fn changes(&self) -> Vec<String> {
        std::mem::take(&mut self.state.borrow_mut().changes)
    }
}

#[test]
fn addresses_come_and_go_with_the_wish_and_the_outcome_says_so() {
    let mut bench = Bench::new(PLAIN, &["10.0.0.9/24"]);
    bench.want(|wanted| wanted.held = true);
    assert_eq!(bench.present(1), [BOTH[0], BOTH[1], "10.0.0.9/24"]);
    assert!(bench.outcome().holds);
    bench.want(|wanted| wanted.held = false);
    assert_eq!(bench.present(1), ["10.0.0.9/24"], "what is not claimed stays");
    assert!(!bench.outcome().holds);
}

#[test]
fn an_owner_keeps_its_own_address_and_loses_what_was_added() {
    let mut bench = Bench::new(OWNER, &["10.0.0.1/16"]);
    bench.want(|wanted| wanted.held = true);
    assert_eq!(bench.present(1), ["10.0.0.1/16", BOTH[1]], "its own is there, with its own prefix");
    assert!(bench.outcome().holds);
    bench.want(|wanted| wanted.held = false);
    assert_eq!(bench.present(1), ["10.0.0.1/16"]);
    bench.want(|wanted| wanted.held = true);
    bench.desk.close();
    bench.turn();
    assert_eq!(bench.present(1), ["10.0.0.1/16"], "a stop is no other matter");
}

/// The same with a kernel that keeps the daemon's mark of an address and with one that does not.
#[test]
fn an_owners_own_address_is_put_back_as_it_was_and_stays() {
    for forgets_marks in [false, true] {
        let mut bench = Bench::new(OWNER, &["10.0.0.1/16"]);
        bench.state.borrow_mut().forgets_marks = forgets_marks;
        bench.want(|wanted| wanted.held = true);
        let before = bench.placed(1);
        bench.take_away("10.0.0.1/16");
        bench.turn();
        assert_eq!(bench.placed(1), before, "with its prefix, and without the mark");
        assert_eq!(bench.outcome().put_back, 1);
        bench.desk.close();
        bench.turn();
        assert_eq!(bench.present(1), ["10.0.0.1/16"]);
    }
}

#[test]
fn an_owners_address_that_its_administrator_takes_away_in_backup_is_not_its_own_any_more() {
    let mut bench = Bench::new(OWNER, &["10.0.0.1/16"]);
    bench.want(|wanted| wanted.held = true);
    bench.want(|wanted| wanted.held = false);
    bench.take_away("10.0.0.1/16");
    bench.want(|wanted| wanted.held = true);
    bench.want(|wanted| wanted.held = false);
    assert_eq!(bench.present(1), [""; 0]);
}

#[test]
fn leftovers_of_an_earlier_run_are_removed_whatever_their_prefix() {
    let mut bench = Bench::new(PLAIN, &["10.0.0.1/32", "10.0.0.9/24"]);
    bench.want(|_| {});
    assert_eq!(bench.present(1), ["10.0.0.9/24"]);
    let mut owner = Bench::new(OWNER, &["10.0.0.1/32"]);
    owner.want(|_| {});
    assert_eq!(owner.present(1), ["10.0.0.1/32"]);
}

/// What has the daemon's mark goes at the start, an owner's and what no instance has heard of too, once.
#[test]
fn leftovers_of_another_configuration_are_removed_at_the_start() {
    let left = ["10.0.0.1/24", "10.77.0.1/32", "2001:db8::77/128"];
    let left = || left.iter().map(|net| Placed::virtual_address(net.parse().unwrap())).collect();
    for keys in [PLAIN, OWNER] {
        let mut bench = Bench::with(keys, left(), Paces::new());
        let route = Route {
            key: RouteKey::new(net("10.5.0.0/16"), 254, None),
            kind: holdfast_net::RouteKind::Blackhole,
            via: None,
            device: None,
            source: None,
            scope: holdfast_net::Scope::GLOBAL,
            mtu: None,
            advmss: None,
            on_link: false,
        };
        let rule = Rule::lookup(true, 9, 9);
        for item in [Item::Route(route), Item::Rule(rule)] {
            bench.state.borrow_mut().present.add(&item);
        }
        bench.turn();
        assert_eq!(bench.present(1), [""; 0], "{keys}");
        assert_eq!(bench.state.borrow().present.routes().count(), 0);
        assert_eq!(bench.state.borrow().present.rules().count(), 0);
    }
    let mut bench = Bench::with(OWNER, left(), Paces::new());
    bench.want(|wanted| wanted.held = true);
    assert_eq!(bench.present(1), BOTH, "what is wanted by now stays");
    let another = Item::Address(interface(1), Placed::virtual_address(net("10.77.0.1/32")));
    bench.state.borrow_mut().present.add(&another);
    bench.after(COMPARE_EVERY);
    assert_eq!(bench.present(1).len(), 3, "another daemon's is not fought over");
}

#[test]
fn a_leftover_that_is_refused_is_tried_again() {
    let left = vec![Placed::virtual_address(net("10.77.0.1/32"))];
    let mut bench = Bench::with(PLAIN, left, Paces::new());
    bench.state.borrow_mut().refuses.insert(net("10.77.0.1/32").addr());
    bench.turn();
    bench.state.borrow_mut().refuses.clear();
    bench.turn();
    assert_eq!(bench.present(1).len(), 1, "not before its time");
    bench.after(RETRY_DELAY);
    assert_eq!(bench.present(1), [""; 0]);
}

#[test]
fn a_refused_address_is_a_problem_that_is_tried_again() {
    let mut bench = Bench::new(PLAIN, &[]);
    bench.state.borrow_mut().refuses.insert(net(BOTH[0]).addr());
    bench.want(|wanted| wanted.held = true);
    let outcome = bench.outcome();
    assert_eq!((outcome.holds, outcome.problems), (false, vec!["no 10.0.0.1/24".to_owned()]));
    let only_two: IpAddr = "10.0.0.2".parse().unwrap();
    let announced = bench.state.borrow().announced.clone();
    assert!(announced.iter().all(|(_, _, address)| *address == only_two), "what is there alone");
    assert_eq!(bench.announcements(), 5);

    bench.state.borrow_mut().refuses.clear();
    bench.turn();
    assert_eq!(bench.present(1), [BOTH[1]], "not before its time");
    bench.after(RETRY_DELAY);
    let outcome = bench.outcome();
    assert_eq!((outcome.holds, outcome.problems), (true, Vec::new()));
    assert_eq!(outcome.put_back, 0, "nobody took it away");
    assert_eq!(bench.announcements(), 10, "announced once it is there");
}

#[test]
fn a_refused_removal_still_holds_and_is_tried_again() {
    let mut bench = Bench::new(PLAIN, &[]);
    bench.want(|wanted| wanted.held = true);
    bench.state.borrow_mut().refuses.insert(net(BOTH[0]).addr());
    bench.want(|wanted| wanted.held = false);
    let outcome = bench.outcome();
    assert_eq!((outcome.holds, outcome.problems.len()), (true, 1));
    bench.state.borrow_mut().refuses.clear();
    bench.after(RETRY_DELAY);
    assert_eq!(bench.present(1), [""; 0]);
    assert_eq!(bench.outcome().problems, [""; 0]);
}

#[test]
fn what_others_take_away_is_put_back_on_word_or_in_time_announced_and_counted() {
    let mut bench = Bench::new(PLAIN, &[]);
    bench.want(|wanted| wanted.held = true);
    bench.announcements();
    bench.take_away(BOTH[0]);
    bench.turn();
    assert_eq!(bench.present(1).len(), 2, "on the kernel's word");
    assert_eq!((bench.outcome().put_back, bench.announcements()), (1, 10));
    bench.take_away_unheard(BOTH[1]);
    bench.after(COMPARE_EVERY);
    assert_eq!(bench.present(1).len(), 2, "in time");
    assert_eq!(bench.outcome().put_back, 2);
    bench.changes();
    bench.after(COMPARE_EVERY);
    assert_eq!(bench.changes(), [""; 0], "what is right is left alone");
}

#[test]
fn all_messages_lost_is_a_reason_to_compare() {
    let mut bench = Bench::new(PLAIN, &[]);
    bench.want(|wanted| wanted.held = true);
    bench.take_away_unheard(BOTH[0]);
    bench.turn();
    assert_eq!(bench.present(1).len(), 1, "nobody knows");
    bench.state.borrow_mut().losses.everything = true;
    bench.turn();
    assert_eq!(bench.present(1).len(), 2);
}

/// Two programs that undo each other's work don't do it as fast as the machine allows.
#[test]
fn what_is_taken_away_all_the_time_is_put_back_so_many_times_a_second() {
    let mut bench = Bench::new(PLAIN, &[]);
    bench.want(|wanted| wanted.held = true);
    for _ in 0..100 {
        bench.take_away(BOTH[0]);
        bench.turn();
    }
    let outcome = bench.outcome();
    assert_eq!((outcome.put_back, outcome.holds), (64, false));
    assert!(outcome.fault().unwrap().contains("others take away"), "{outcome:?}");
    // What the turns themselves have taken counts, too.
    bench.after(2 * RETRY_DELAY);
    assert_eq!(bench.outcome().fault(), None);
    assert!(bench.outcome().holds);
}

#[test]
fn addresses_move_along_to_another_interface() {
    let mut bench = Bench::new(PLAIN, &[]);
    bench.want(|wanted| wanted.held = true);
    bench.want(|wanted| wanted.interface = Some(interface(2)));
    assert_eq!((bench.present(1), bench.present(2)), (Vec::new(), BOTH.map(String::from).to_vec()));
    bench.want(|wanted| (wanted.interface, wanted.held) = (None, false));
    assert_eq!(bench.present(2), [""; 0]);
    assert!(!bench.outcome().holds);
}

/// An owner's interface is deleted and made again with the same number: what is on the new one is the administrator's.
#[test]
fn what_was_added_to_an_interface_that_is_gone_is_not_ours_on_the_next() {
    let mut bench = Bench::new(OWNER, &[]);
    bench.state.borrow_mut().forgets_marks = true;
    bench.want(|wanted| wanted.held = true);
    bench.want(|wanted| (wanted.losses, wanted.held) = (1, false));
    assert_eq!(bench.present(1).len(), 2);
}
