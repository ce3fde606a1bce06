//! A group alone, beside members that do what it says.

use std::collections::BTreeMap;
use std::net::IpAddr;

use proptest::prelude::*;
use vrrp::{
    AddressList, Advertisement, Event, Interval, Params, Priority, Status, Version, VirtualRouter,
    Vrid,
};

use super::*;
use crate::vrrp::{Due, Member, Order, SyncGroup};

const DOWN: Duration = Duration::from_secs(3);

fn member(status: Status) -> Member {
    Member { status, fault: None, due: None, heard: None, active_down_interval: DOWN }
}

/// A group with members that are values, too.
#[derive(Debug)]
struct Bench {
    now: Instant,
    group: SyncGroup,
    members: BTreeMap<Name, Member>,
}

impl Bench {
    /// Members `a`, `b` and so on, all Backups.
    fn new(count: u8) -> Self {
        let names: Vec<_> =
            (b'a'..b'a' + count).map(|c| name(&char::from(c).to_string())).collect();
        let group = SyncGroup::new(name("pair"), names.iter().cloned(), 7);
        let members = names.into_iter().map(|name| (name, member(Status::Backup))).collect();
        let mut bench = Self { now: at(100), group, members };
        bench.attend();
        bench
    }

    fn of(&mut self, which: &str) -> &mut Member {
        self.members.get_mut(&name(which)).unwrap()
    }

    /// Observes all, and does what the group says; what it said.
    fn attend(&mut self) -> Vec<Order> {
        for (name, member) in &self.members {
            self.group.observe(self.now, name, member.clone());
        }
        let mut orders = Vec::new();
        while let Some(order) = self.group.poll_order() {
            assert!(orders.len() < 4 * self.members.len(), "no end: {orders:?}");
            self.obey(&order);
            orders.push(order);
        }
        orders
    }

    fn obey(&mut self, order: &Order) {
        let (which, status) = match order {
            Order::TakeOver(which) => (which, Status::Active),
            Order::StepDown(which) => (which, Status::Releasing),
            Order::LetGo(which) => (which, Status::Backup),
            Order::Exclude(which, _) => (which, Status::Initialize),
            Order::Readmit(which) => (which, Status::Backup),
        };
        let is = self.members.get_mut(which).unwrap();
        is.status = if is.fault.is_some() { Status::Initialize } else { status };
        is.due = None;
        self.group.observe(self.now, which, is.clone());
    }

    fn statuses(&self) -> Vec<Status> {
        self.members.values().map(|member| member.status).collect()
    }

    /// Everybody's timer expires.
    fn expire(&mut self) -> Vec<Order> {
        self.members.values_mut().for_each(|member| member.due = Some(Due::Silent));
        self.attend()
    }

    /// A member leaves the Active role by itself, the group being settled.
    fn yields(&mut self, which: &str) -> Vec<Order> {
        self.of(which).status = Status::Backup;
        self.of(which).heard = Some(self.now);
        self.attend()
    }
}

/// What a group sees of a machine of priority 100 at ten seconds, having been started at 0 and heard these (second, priority), and
/// told at `lost` that its Active is gone.
fn seen(heard: &[(u64, u8)], lost: Option<u64>, read_until: u64) -> Member {
    let address = |host| IpAddr::from([192, 0, 2, host]);
    let list = AddressList::new(vec![address(1)]).unwrap();
    let params = Params::new(Version::V3, Vrid::new(1).unwrap(), list).unwrap();
    let mut router = VirtualRouter::new(at(0), params);
    router.handle(at(0), Event::InterfaceUp { primary: address(12) });
    router.handle(at(0), Event::Startup);
    for (second, priority) in heard {
        let heard = Advertisement {
            source: address(11),
            priority: Priority::new(*priority),
            interval: Interval::DEFAULT,
            checksum_form: vrrp::ChecksumForm::default(),
        };
        router.handle(at(*second), Event::Advertisement(heard));
    }
    if let Some(second) = lost {
        router.handle(at(second), Event::ActiveLost { address: address(11) });
    }
    Member::of(&router, None, at(read_until))
}

#[test]
fn a_member_is_read_off_its_machine() {
    let released = |at| Some(Due::Released { at });
    for (what, heard, lost, read_until, due, last) in [
        ("nobody, not yet", &[][..], None, 3, None, None),
        ("nobody", &[], None, 4, Some(Due::Silent), None),
        ("an Active, not yet", &[(5, 150)], None, 8, None, Some(at(5))),
        ("an Active that is silent", &[(5, 150)], None, 9, Some(Due::Silent), Some(at(5))),
        ("what has not been read yet", &[(5, 150)], None, 0, None, Some(at(5))),
        ("priority 0, not yet", &[(5, 150), (6, 0)], None, 6, None, None),
        ("priority 0", &[(5, 150), (6, 0)], None, 7, released(at(6)), None),
        ("BFD has lost it", &[(5, 150)], Some(6), 7, released(at(6)), None),
        ("a worse one", &[(2, 50), (3, 50)], None, 4, Some(Due::Silent), None),
    ] {
        let member = seen(heard, lost, read_until);
        assert_eq!((member.due, member.heard), (due, last), "{what}");
        assert_eq!(member.status, Status::Backup);
        let fallen = member.or_fallen(true);
        assert!(fallen.due.is_some());
    }
}

fn take_over(which: &str) -> Order {
    Order::TakeOver(name(which))
}

#[test]
fn the_group_takes_over_when_the_last_timer_has_expired() {
    let mut bench = Bench::new(2);
    bench.of("a").due = Some(Due::Silent);
    assert_eq!(bench.attend(), []);
    assert_eq!(bench.group.status(), Status::Backup);
    bench.of("b").due = Some(Due::Silent);
    assert_eq!(bench.attend(), [take_over("a"), take_over("b")]);
    assert_eq!(bench.group.status(), Status::Active);
    assert_eq!(bench.attend(), [], "nothing is said twice");
}

#[test]
fn r1_one_goodbye_is_enough_unless_an_active_was_heard_elsewhere_since() {
    for (heard, enough) in [(None, true), (Some(at(98)), true), (Some(at(99)), false)] {
        let mut bench = Bench::new(2);
        bench.of("a").due = Some(Due::Released { at: at(98) });
        bench.of("b").heard = heard;
        assert_eq!(bench.attend().len(), if enough { 2 } else { 0 }, "{heard:?}");
    }
}

#[test]
fn a_member_that_does_not_take_part_holds_the_others_back() {
    let mut bench = Bench::new(2);
    bench.of("a").due = Some(Due::Released { at: at(98) });
    bench.of("b").status = Status::Initialize;
    assert_eq!(bench.attend(), []);
    assert_eq!(bench.group.status(), Status::Initialize);
}

#[test]
fn a_member_that_gives_way_takes_the_others_along() {
    let mut bench = Bench::new(3);
    bench.expire();
    bench.now = at(200);
    assert_eq!(bench.yields("b"), [Order::StepDown(name("a")), Order::StepDown(name("c"))]);
    assert_eq!(bench.attend(), []);
    assert_eq!(bench.group.status(), Status::Backup);
}

#[test]
fn d3_members_that_nobody_took_over_from_let_go_unless_they_are_all() {
    let mut bench = Bench::new(3);
    bench.expire();
    bench.now = at(200);
    bench.yields("b");
    bench.of("a").status = Status::Active;
    assert_eq!(bench.attend(), [], "c is not decided");
    bench.of("c").status = Status::Backup;
    assert_eq!(bench.attend(), [Order::LetGo(name("a"))]);

    let mut bench = Bench::new(2);
    bench.expire();
    bench.now = at(200);
    bench.of("a").status = Status::Releasing;
    assert_eq!(bench.attend(), [Order::StepDown(name("b"))]);
    for which in ["a", "b"] {
        bench.of(which).status = Status::Active;
        assert_eq!(bench.attend(), []);
    }
    assert_eq!(bench.group.status(), Status::Active);
    assert_eq!(bench.yields("a"), [Order::StepDown(name("b"))], "it is Active as before");
}

#[test]
fn a_fault_puts_all_out_with_its_sentence_and_the_last_ones_end_brings_all_back() {
    let mut bench = Bench::new(3);
    bench.expire();
    let fault = |text: &str| Some(text.to_owned());
    *bench.of("b") = Member { fault: fault("eth1 is down"), ..member(Status::Initialize) };
    let sentence = "sync group `pair`: instance `b`: eth1 is down".to_owned();
    let excluded = |which: &str, sentence: &str| Order::Exclude(name(which), sentence.to_owned());
    assert_eq!(bench.attend(), [excluded("a", &sentence), excluded("c", &sentence)]);
    assert_eq!(bench.group.excluded(&name("a")), Some(&*sentence));
    assert_eq!(bench.group.excluded(&name("b")), None, "it has its own");
    assert_eq!(bench.attend(), []);

    bench.of("a").fault = fault("no process");
    let other = "sync group `pair`: instance `a`: no process";
    assert_eq!(bench.attend(), [excluded("b", other), excluded("c", other)]);
    bench.of("b").fault = None;
    assert_eq!(bench.attend(), [Order::Readmit(name("a"))], "which has a fault of its own");
    assert_eq!(bench.statuses(), [Status::Initialize; 3]);
    bench.of("a").fault = None;
    assert_eq!(bench.attend(), [Order::Readmit(name("b")), Order::Readmit(name("c"))]);
    assert_eq!(bench.group.excluded(&name("b")), None);
}

#[test]
fn who_has_to_give_way_at_once_lets_go_and_waits_longer_every_time() {
    let mut bench = Bench::new(2);
    let mut longest = Duration::ZERO;
    for _ in 0..20 {
        bench.expire();
        if let Some(until) = bench.group.poll_timeout() {
            let wait = until.saturating_since(bench.now);
            assert!(wait <= DOWN * 15 / 2, "it is bounded: {wait:?}");
            longest = longest.max(wait);
            assert_eq!(bench.statuses(), [Status::Backup; 2]);
            bench.now = until;
            bench.group.handle_timeout(until);
        }
        bench.attend();
        assert_eq!(bench.group.status(), Status::Active);
        bench.now += DOWN / 100;
        assert_eq!(bench.yields("a"), [Order::LetGo(name("b"))]);
    }
    assert!(longest >= DOWN * 2, "{longest:?}");
}

#[test]
fn a_wait_is_forgotten_by_who_was_active_for_long() {
    let mut bench = Bench::new(2);
    bench.expire();
    bench.now += DOWN * 2;
    bench.yields("a");
    bench.of("b").status = Status::Backup;
    bench.expire();
    assert_eq!((bench.group.status(), bench.group.poll_timeout()), (Status::Active, None));
}

#[test]
fn nothing_is_decided_before_every_member_was_seen_and_who_is_active_already_stays_so() {
    let names = [name("a"), name("b")];
    let mut group = SyncGroup::new(name("pair"), names.clone(), 7);
    group.observe(at(1), &name("a"), member(Status::Active));
    assert_eq!(group.poll_order(), None);
    group.observe(at(1), &name("b"), member(Status::Active));
    assert_eq!((group.poll_order(), group.status()), (None, Status::Active));

    let mut group = SyncGroup::new(name("pair"), names, 7);
    group.observe(at(1), &name("a"), member(Status::Active));
    group.observe(at(1), &name("b"), member(Status::Backup));
    assert_eq!(group.poll_order(), Some(Order::StepDown(name("a"))));
}

#[test]
fn a_member_that_a_reload_adds_to_an_active_group_takes_over_at_once() {
    let mut bench = Bench::new(2);
    bench.expire();
    let names = ["a", "b", "c"].map(name);
    let mut group = SyncGroup::new(name("pair"), names, 7);
    group.inherit(&bench.group);
    bench.group = group;
    bench.members.insert(name("c"), member(Status::Backup));
    assert_eq!(bench.attend(), [take_over("c")]);
    assert_eq!(bench.group.status(), Status::Active);
}

/// What happens to a member by itself.
#[derive(Clone, Copy, Debug)]
enum Blow {
    Fault,
    Mends,
    Expires,
    Released,
    Hears,
    Yields,
    Settles,
    Returns,
    LosesItsMachine,
    Waits(u64),
}

fn blow() -> impl Strategy<Value = Blow> {
    prop_oneof![
        1 => Just(Blow::Fault),
        2 => Just(Blow::Mends),
        4 => Just(Blow::Expires),
        2 => Just(Blow::Released),
        2 => Just(Blow::Hears),
        1 => Just(Blow::Yields),
        3 => Just(Blow::Settles),
        3 => Just(Blow::Returns),
        1 => Just(Blow::LosesItsMachine),
        2 => (1_u64..30).prop_map(Blow::Waits),
    ]
}

impl Bench {
    fn strike(&mut self, which: &str, blow: Blow) {
        let now = self.now;
        let excluded = self.group.excluded(&name(which)).is_some();
        let member = self.of(which);
        let faulty = member.fault.is_some();
        match (blow, member.status) {
            (Blow::Waits(seconds), _) => self.now += SECOND * u32::try_from(seconds).unwrap(),
            (Blow::Fault, _) => {
                let fault = Some("down".to_owned());
                *member = Member { fault, ..self::member(Status::Initialize) };
            }
            (Blow::Mends, Status::Initialize) => {
                member.fault = None;
                if !excluded {
                    member.status = Status::Backup;
                }
            }
            (Blow::Expires, Status::Backup) => member.due = Some(Due::Silent),
            (Blow::Released, Status::Backup) => member.due = Some(Due::Released { at: now }),
            (Blow::Hears, Status::Backup) => (member.due, member.heard) = (None, Some(now)),
            (Blow::Yields, Status::Active) | (Blow::Settles, Status::Releasing) => {
                member.status = Status::Backup;
            }
            (Blow::Returns, Status::Releasing) => member.status = Status::Active,
            (Blow::LosesItsMachine, Status::Backup | Status::Active) if !faulty => {
                member.status = Status::Initialize;
            }
            _ => {}
        }
        self.group.handle_timeout(self.now);
    }
}

proptest! {
    /// After each event and its orders, the members that are not on their way are all Active or none is, and none is beside a
    /// fault; once everything is mended and every timer has expired, all are Active.
    #[test]
    fn together_or_not_at_all(
        count in 2_u8..5,
        history in proptest::collection::vec((0_u8..5, blow()), 0..60),
    ) {
        let mut bench = Bench::new(count);
        for (which, blow) in history {
            let which = char::from(b'a' + which % count).to_string();
            bench.strike(&which, blow);
            bench.attend();
            let any = |status| bench.members.values().any(|member| member.status == status);
            let fault = bench.members.values().any(|member| member.fault.is_some());
            prop_assert!(!(fault && any(Status::Active)), "{bench:?}");
            if !any(Status::Releasing) && any(Status::Active) {
                prop_assert!(bench.statuses().iter().all(|one| *one == Status::Active), "{bench:?}");
            }
            let active = any(Status::Active) && !any(Status::Releasing);
            prop_assert_eq!(bench.group.status() == Status::Active, active);
        }
        for _ in 0..2 {
            let mut which: Vec<_> = bench.members.keys().cloned().collect();
            which.reverse();
            for which in which {
                bench.strike(which.as_str(), Blow::Mends);
                bench.strike(which.as_str(), Blow::Settles);
                bench.attend();
            }
        }
        bench.now += DOWN * 8;
        if bench.group.status() != Status::Active {
            bench.expire();
        }
        prop_assert!(bench.statuses().iter().all(|one| *one == Status::Active), "{bench:?}");
    }
}
