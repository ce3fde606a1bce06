//! What commands leave, and that it makes of a new engine what the old one was.

use std::collections::BTreeMap;

use super::reconfigure::parsed;
use super::*;
use crate::overlay::{Base, Entry, Facets, Key, Overlay, Presence, Seen, Wish};

fn addition(address: &str, named: &str, config: &Config) -> RealServer {
    let mut service = config.services[&name("web")].clone();
    service.real_servers.clear();
    RealServer::new(Some(named), address, None, &service, config).unwrap()
}

/// An engine, what was changed of it, and the commands as the daemon gives them.
struct Desk {
    bench: Bench,
    config: Config,
    overlay: Overlay,
}

/// Where a server comes from, its administrative state, its weight and the share of it, and its lease.
type Shape = (Origin, &'static str, (u32, u32), Option<Duration>);

fn web1() -> (Name, SocketAddr) {
    (name("web1"), address("10.0.0.11:80"))
}

/// What the file says of the server at `address`.
fn base(config: &Config, address: SocketAddr) -> Option<&RealServer> {
    let mut of_file = config.services[&name("web")].real_servers.values();
    of_file.find(|server| server.address == address).map(AsRef::as_ref)
}

#[derive(Clone, Debug)]
enum Order_ {
    Add(Option<u64>),
    Drain,
    Maint,
    Ready,
    Weight(u32),
    Share(u32),
    Remove,
    RemoveNow,
}

impl Desk {
    fn new(config: Config, kept: BTreeMap<Key, Entry>) -> Self {
        let overlay = Overlay::restored(kept);
        let remembered = Remembered {
            added: Remembered::added(overlay.kept().iter(), &config),
            discovered: BTreeMap::new(),
            ..Remembered::default()
        };
        let engine = Engine::remembering(&config, &remembered, &Table::new(), at(0));
        let mut bench =
            Bench { engine, now: at(0), reports: vec![], reconciled: 0, counted: 0, runs: vec![] };
        bench.collect();
        let mut desk = Self { bench, config, overlay };
        desk.replay(Some(&Table::new()));
        desk
    }

    /// Makes all that is kept so, removals first.
    fn replay(&mut self, kernel: Option<&Table>) {
        let mut kept: Vec<_> = self.overlay.kept().iter().collect();
        kept.sort_by_key(|(_, entry)| !entry.is_removal());
        for (key, entry) in kept {
            self.bench.engine.replay(self.bench.now, key, entry, &self.config, kernel).unwrap();
        }
        self.bench.collect();
    }

    /// Gives a command to one of four servers, two of which are the file's; whether what is kept is other.
    fn order(&mut self, index: usize, order: &Order_, ephemeral: bool) -> bool {
        self.order_at(index, index, order, ephemeral)
    }

    /// The same; one that is added gets the address of the server with the number `at`. An address of the file's is added by its name there.
    fn order_at(&mut self, index: usize, at: usize, order: &Order_, ephemeral: bool) -> bool {
        let (service, server) = (name("web"), name(&format!("web{}", index + 1)));
        let mut address = address(&format!("10.0.0.1{}:80", at + 1));
        let known = self.bench.engine.pools()[&service].servers().get(&server);
        let before = known.map(|known| known.definition().address);
        if matches!(order, Order_::Add(_)) {
            let of_file = base(&self.config, address).map(|base| base.name.clone());
            if of_file.is_some_and(|of_file| of_file != server) {
                return false;
            }
        } else if let Some(before) = before {
            address = before;
        }
        let now = self.bench.now;
        let engine = &mut self.bench.engine;
        let removed = |engine: &Engine| {
            let known = engine.pools()[&service].servers().get(&server);
            known.is_some_and(
                |known| matches!(known.admin(), Admin::Drain(drain) if drain.then_remove),
            )
        };
        let cancels = removed(engine);
        let returns = if cancels { Facets::ALL } else { Facets::ADMIN };
        let (done, facets) = match order {
            Order_::Add(lease) => {
                let new = addition(&address.to_string(), server.as_str(), &self.config);
                // What was removed of the file's is the file's again.
                let there = engine.pools()[&service].at(address).is_some();
                let back = base(&self.config, address).filter(|_| !there).cloned();
                let origin = if back.is_some() { Origin::Config } else { Origin::Runtime };
                let (new, origin) = (back.unwrap_or(new), (origin, by()));
                let done = engine.return_server(now, &service, new, None, origin).map(|change| {
                    let lease = lease.map(Duration::from_secs);
                    let leased = engine.set_lease(now, &service, &server, lease);
                    Change { changed: change.changed || leased }
                });
                (done, Facets { presence: true, admin: cancels, weight: cancels })
            }
            Order_::Drain => {
                (engine.drain_server(now, &service, &server, None, by()), Facets::ADMIN)
            }
            Order_::Maint => (engine.maintain_server(now, &service, &server, by()), returns),
            Order_::Ready => (engine.ready_server(now, &service, &server, by()), returns),
            Order_::Weight(to) => {
                let to = WeightChange::To(*to);
                (engine.weigh_server(&service, &server, to, by()), Facets::WEIGHT)
            }
            Order_::Share(share) => {
                let to = WeightChange::Share(*share);
                (engine.weigh_server(&service, &server, to, by()), Facets::WEIGHT)
            }
            Order_::RemoveNow => (engine.remove_server_now(&service, &server, by()), Facets::ALL),
            Order_::Remove => {
                (engine.remove_server(now, &service, &server, None, by()), Facets::ALL)
            }
        };
        self.bench.collect();
        let Ok(Change { changed }) = done else { return false };
        let engine = &self.bench.engine;
        let seen = Seen {
            base: base(&self.config, address),
            server: engine.pools()[&service].find(&server, address),
            lease: engine.lease(&service, &server).map(|(lease, _)| lease),
        };
        let key = (service, address);
        if ephemeral {
            if changed {
                self.overlay.note_passing(&key, &server, seen, facets, (&by(), 7));
            }
            return false;
        }
        self.overlay.note(&key, &server, seen, facets, (&by(), 7))
    }

    /// What every server is, as far as it outlives a daemon; what drains to be removed is gone.
    fn shape(&self) -> BTreeMap<(Name, SocketAddr), Shape> {
        let pool = &self.bench.engine.pools()[&name("web")];
        let stays = pool.servers().iter().filter(
            |(_, server)| !matches!(server.admin(), Admin::Drain(drain) if drain.then_remove),
        );
        stays
            .map(|(server, known)| {
                let admin = match known.admin() {
                    Admin::Ready => "ready",
                    Admin::Drain(_) => "drain",
                    Admin::Maint => "maint",
                };
                let lease = self.bench.engine.lease(&name("web"), server).map(|(lease, _)| lease);
                let RealServer { address, weight, .. } = *known.definition();
                ((server.clone(), address), (known.origin(), admin, (weight, known.share()), lease))
            })
            .collect()
    }

    /// The daemon ends, and another begins.
    fn restart(&self) -> Self {
        Self::new(self.config.clone(), self.overlay.kept().clone())
    }
}

fn orders() -> impl Strategy<Value = Order_> {
    prop_oneof![
        3 => prop_oneof![Just(None), (1..9_u64).prop_map(Some)].prop_map(Order_::Add),
        2 => Just(Order_::Drain),
        1 => Just(Order_::Maint),
        2 => Just(Order_::Ready),
        2 => (0..4_u32).prop_map(Order_::Weight),
        1 => (0..3_u32).prop_map(|half| Order_::Share(half * 50)),
        2 => Just(Order_::Remove),
        2 => Just(Order_::RemoveNow),
    ]
}

proptest! {
    /// Whatever commands were given: the next daemon has the servers as this one.
    #[test]
    fn what_was_changed_is_so_again_after_a_restart(
        given in prop::collection::vec(((0..4_usize, 0..5_usize), orders()), 0..24),
    ) {
        let mut desk = Desk::new(config(""), BTreeMap::new());
        for ((index, at), order) in &given {
            desk.order_at(*index, *at, order, false);
            prop_assert_eq!(desk.restart().shape(), desk.shape(), "after {:?} of {} at {}", order, index, at);
        }
        // Once more is the same: nothing of it is lost on the way.
        prop_assert_eq!(desk.restart().overlay, desk.overlay);
    }

    /// What is ephemeral leaves nothing, and what was kept before stays.
    #[test]
    fn what_is_ephemeral_ends_with_the_daemon(
        kept in prop::collection::vec((0..4_usize, orders()), 0..8),
        passing in prop::collection::vec((0..4_usize, orders()), 0..8),
    ) {
        let mut desk = Desk::new(config(""), BTreeMap::new());
        for (index, order) in &kept {
            desk.order(*index, order, false);
        }
        let before = desk.overlay.kept().clone();
        let shape = desk.restart().shape();
        for (index, order) in &passing {
            prop_assert!(!desk.order(*index, order, true));
        }
        prop_assert_eq!(desk.overlay.kept(), &before);
        prop_assert_eq!(desk.restart().shape(), shape);
    }
}

#[test]
fn what_is_taken_back_leaves_nothing_and_what_is_said_again_is_no_news() {
    let mut desk = Desk::new(config(""), BTreeMap::new());
    for (index, there, back) in [
        (0, Order_::Drain, Order_::Ready),
        (0, Order_::Maint, Order_::Ready),
        (0, Order_::Weight(3), Order_::Weight(5)),
        (0, Order_::Share(50), Order_::Share(100)),
        (0, Order_::Remove, Order_::Add(None)),
        (3, Order_::Add(None), Order_::Remove),
        (3, Order_::Add(Some(30)), Order_::Remove),
    ] {
        assert!(desk.order(index, &there, false), "{there:?}");
        assert!(!desk.order(index, &there, false), "{there:?} again");
        assert!(desk.order(index, &back, false), "{back:?}");
        assert_eq!(desk.overlay, Overlay::default(), "{there:?} and {back:?}");
    }
}

/// A removal is of an address: who gets the name of the server that was removed has nothing to do with it.
#[test]
fn a_removal_stays_what_it_is_when_its_name_is_given_to_another_address() {
    for ephemeral in [false, true] {
        let mut desk = Desk::new(config(""), BTreeMap::new());
        let (web, web1) = (name("web"), name("web1"));
        desk.order(0, &Order_::RemoveNow, ephemeral);
        assert!(desk.order_at(0, 4, &Order_::Add(None), false), "the name is free");
        assert!(desk.order(0, &Order_::Weight(7), false));
        let both: BTreeSet<Key> =
            ["10.0.0.11:80", "10.0.0.15:80"].map(|to| (web.clone(), address(to))).into();
        assert_eq!(desk.overlay.called(&web, &web1), both);
        let held = desk.overlay.get(&(web.clone(), address("10.0.0.11:80"))).unwrap();
        assert!(held.entry.is_removal() && held.entry.weight.is_none(), "{held:?}");
        assert_eq!(held.passing.presence, ephemeral);
        if !ephemeral {
            assert_eq!(desk.restart().shape(), desk.shape());
        }
        // And gone without what was removed.
        desk.order(0, &Order_::Remove, false);
        assert_eq!(
            desk.overlay.called(&web, &web1),
            [(web.clone(), address("10.0.0.11:80"))].into()
        );
    }
}

/// The file's server was removed and its name given to another address. A service that comes back has the file's server again, which drains for
/// as long as it has connections: its name is the other one's all the same.
#[test]
fn a_name_that_was_given_on_is_so_again_when_the_service_comes_back() {
    let mut desk = Desk::new(config(""), BTreeMap::new());
    desk.order(0, &Order_::RemoveNow, false);
    assert!(desk.order_at(0, 4, &Order_::Add(None), false));
    let (with, without) = (config(""), parsed("services: {}"));
    desk.bench.reload(&with, &without);
    desk.bench.let_drains_end();
    assert!(desk.bench.engine.pools().is_empty());
    desk.bench.reload(&without, &with);
    desk.replay(None);
    let web1 = desk.bench.server("web1");
    assert_eq!(web1.definition().address, address("10.0.0.15:80"));
    assert_eq!((web1.origin(), web1.admin()), (Origin::Runtime, &Admin::Ready));
    assert_eq!(desk.bench.server("10.0.0.11-80").state(), "draining");
    // What only drains keeps its name against no server that a command has added; one that serves does.
    let mut other = Desk::new(config(""), BTreeMap::new());
    let mut kept = desk.overlay.kept().iter();
    let (key, entry) = kept.find(|(_, entry)| !entry.is_removal()).unwrap();
    let why = other.bench.engine.replay(at(0), key, entry, &with, None).unwrap_err();
    assert!(why.contains("10.0.0.11:80"), "{why}");
}

/// The file calls a server that was removed otherwise, and gives its name to another one.
#[test]
fn what_was_removed_is_called_as_the_file_calls_its_address() {
    let mut desk = Desk::new(config(""), BTreeMap::new());
    desk.order(0, &Order_::Remove, false);
    desk.order(1, &Order_::Remove, true);
    desk.order(2, &Order_::Add(None), false);
    let (other, same) = (name("web9"), name("web3"));
    let base = |key: &Key| match key.1.ip().to_string().as_str() {
        "10.0.0.13" => Base::NoServer,
        _ => Base::Server { name: Some(&other), weight: 5 },
    };
    let settled = desk.overlay.settle(base);
    let told: Vec<_> = settled.iter().map(|one| (&one.server, one.why)).collect();
    assert_eq!(told, [(&other, None)], "what ends with the daemon is nothing that is written");
    assert!(settled[0].entry.as_ref().is_some_and(Entry::is_removal));
    assert_eq!(desk.overlay.settle(base), []);
    let called = |server: &Name| desk.overlay.called(&name("web"), server).len();
    assert_eq!((called(&name("web1")), called(&other), called(&same)), (0, 2, 1));
    // What discovery calls as the file calls another one keeps the name that it had.
    let nameless = |_: &Key| Base::Server { name: None, weight: 5 };
    let mut overlay = desk.overlay.clone();
    overlay.settle(nameless);
    assert_eq!(overlay.called(&name("web"), &other).len(), 2);
    // A server that is there is called as the pool calls it.
    let key = (name("web"), address("10.0.0.13:80"));
    let mut overlay = desk.overlay.clone();
    assert!(overlay.call(&key, &other));
    assert!(!overlay.call(&key, &other));
    assert_eq!(overlay.called(&name("web"), &other).len(), 3);
}

#[test]
fn a_command_for_good_keeps_what_an_ephemeral_one_has_said() {
    let mut desk = Desk::new(config(""), BTreeMap::new());
    desk.order(0, &Order_::Drain, true);
    assert_eq!(desk.restart().shape()[&web1()].1, "ready");
    let held = desk.overlay.get(&(name("web"), address("10.0.0.11:80"))).unwrap();
    assert!(held.passing.admin && held.entry.admin.is_some_and(|said| said.what == Wish::Drain));
    // Another facet leaves it alone.
    desk.order(0, &Order_::Weight(3), false);
    assert_eq!(desk.restart().shape()[&web1()].1, "ready");
    assert!(desk.order(0, &Order_::Drain, false), "it is kept now");
    assert_eq!(desk.restart().shape()[&web1()].1, "drain");
    // Ready for the moment: the next daemon drains it again.
    desk.order(0, &Order_::Ready, true);
    assert_eq!((desk.shape()[&web1()].1, desk.restart().shape()[&web1()].1), ("ready", "drain"));
}

#[test]
fn what_a_file_makes_pointless_is_dropped_and_what_it_may_bring_back_is_not() {
    let mut desk = Desk::new(config(""), BTreeMap::new());
    desk.order(0, &Order_::Weight(3), false);
    desk.order(0, &Order_::Drain, false);
    desk.order(1, &Order_::Remove, false);
    desk.order(2, &Order_::Add(None), false);
    let names = ["web1", "web2", "web3"].map(name);
    let settled = |weights: Option<[Option<u32>; 3]>| {
        let base = |key: &Key| {
            let number = ["10.0.0.11:80", "10.0.0.12:80", "10.0.0.13:80"]
                .iter()
                .position(|to| address(to) == key.1)
                .unwrap();
            match weights.map(|weights| weights[number]) {
                None => Base::NoService,
                Some(None) => Base::NoServer,
                Some(Some(weight)) => Base::Server { name: Some(&names[number]), weight },
            }
        };
        let mut overlay = Overlay::restored(desk.overlay.kept().clone());
        let settled = overlay.settle(base);
        let left: Vec<_> = overlay
            .kept()
            .values()
            .map(|entry| {
                let facets =
                    (entry.presence.is_some(), entry.admin.is_some(), entry.weight.is_some());
                (entry.server.to_string(), facets)
            })
            .collect();
        (settled.len(), left)
    };
    let all = |web1, web2, web3| {
        let all = [("web1", web1), ("web2", web2), ("web3", web3)];
        all.map(|(server, facets)| (server.to_owned(), facets)).to_vec()
    };
    let unchanged = all((false, true, true), (true, false, false), (true, false, false));
    assert_eq!(settled(None), (0, unchanged.clone()));
    assert_eq!(settled(Some([Some(5), Some(1), None])), (0, unchanged));
    // Another weight of the file counts; what it names is the file's; what it names no longer has no meaning.
    let (dropped, left) = settled(Some([Some(6), None, Some(1)]));
    assert_eq!((dropped, left), (3, vec![("web1".to_owned(), (false, true, false))]));
}

#[test]
fn what_cannot_be_is_told_and_is_there_when_it_can() {
    let mut desk = Desk::new(config(""), BTreeMap::new());
    desk.order(3, &Order_::Add(None), false);
    let (key, entry) = desk.overlay.kept().iter().next().unwrap();
    assert!(matches!(entry.presence.as_ref().unwrap().what, Presence::Added { weight: 1, .. }));
    let none = parse("f", "services: {}", &Environment::new("lb1")).config.unwrap();
    let mut engine = Engine::new(&none, &Table::new(), at(0));
    let why = engine.replay(at(0), key, entry, &none, None).unwrap_err();
    assert!(why.contains("no service `web`"), "{why}");
    let taken = "services: {web: {listen: tcp 10.0.0.14:80, forward: nat}}";
    let taken = parse("f", taken, &Environment::new("lb1")).config.unwrap();
    let mut engine = Engine::new(&taken, &Table::new(), at(0));
    let why = engine.replay(at(0), key, entry, &taken, None).unwrap_err();
    assert!(why.contains("10.0.0.14"), "{why}");
    let mut engine = Engine::new(&config(""), &Table::new(), at(0));
    engine.replay(at(0), key, entry, &config(""), None).unwrap();
    assert_eq!(engine.pools()[&name("web")].servers()[&name("web4")].origin(), Origin::Runtime);
}

#[test]
fn a_server_that_is_remembered_is_adopted_with_its_connections() {
    let mut desk = Desk::new(config(""), BTreeMap::new());
    desk.order(3, &Order_::Add(None), false);
    desk.bench.pass(Duration::from_secs(5), |_| Verdict::Pass);
    let kernel = desk.bench.engine.desired();
    let remembered = Remembered {
        added: Remembered::added(desk.overlay.kept().iter(), &desk.config),
        discovered: BTreeMap::new(),
        ..Remembered::default()
    };
    let engine = Engine::remembering(&desk.config, &remembered, &kernel, at(0));
    assert_eq!(engine.desired(), kernel, "nothing is to be written");
}

#[test]
fn a_lease_ends_unless_it_is_said_again() {
    let mut desk = Desk::new(config(""), BTreeMap::new());
    let lease = Order_::Add(Some(30));
    assert!(desk.order(3, &lease, false));
    let pass = |desk: &mut Desk, seconds| {
        desk.bench.pass(Duration::from_secs(seconds), |_| Verdict::Pass);
    };
    for _ in 0..5 {
        pass(&mut desk, 20);
        assert!(!desk.order(3, &lease, false), "a renewal is nothing to be written");
    }
    assert_eq!(desk.bench.server("web4").state(), "up");
    pass(&mut desk, 30);
    assert_eq!(desk.bench.server("web4").state(), "draining");
    let ended = desk.bench.reports.iter().any(|report| matches!(report, Report::LeaseEnded { .. }));
    assert!(ended);
    // It registers again while it drains, and serves again at once; without a lease it is there for good.
    desk.order(3, &lease, false);
    assert_eq!(desk.bench.server("web4").state(), "up");
    desk.order(3, &Order_::Add(None), false);
    pass(&mut desk, 300);
    assert_eq!(
        (desk.bench.server("web4").origin(), desk.bench.server("web4").state()),
        (Origin::Runtime, "up")
    );
    // The file's servers have none.
    assert!(!desk.order(0, &lease, false));
    pass(&mut desk, 100);
    assert_eq!(desk.bench.server("web1").state(), "up");
}

/// A rack that loses its power takes all of its registrations along in the same second.
#[test]
fn thousands_of_leases_that_end_in_one_moment_are_one_change_of_the_table() {
    for (listen, network) in [("192.0.2.10:80", "10.1"), ("[2001:db8::10]:80", "[fd00")] {
        let text = format!("services: {{web: {{listen: 'tcp {listen}', forward: nat}}}}");
        let config = parse("test.yaml", &text, &Environment::new("lb1")).config.unwrap();
        let server = |number: u32| match network {
            "10.1" => format!("{network}.{}.{}:80", number / 250, number % 250 + 1),
            _ => format!("{network}::1:{number:x}]:80"),
        };
        let added = (0..5_000).map(|number| Addition {
            service: name("web"),
            server: addition(&server(number), &format!("s{number}"), &config),
            lease: Some(Duration::from_secs(30)),
        });
        let remembered = Remembered { added: added.collect(), ..Remembered::default() };
        let engine = Engine::remembering(&config, &remembered, &Table::new(), at(0));
        let mut bench =
            Bench { engine, now: at(0), reports: vec![], reconciled: 0, counted: 0, runs: vec![] };
        bench.collect();
        bench.pass(Duration::from_secs(29), |_| Verdict::Pass);
        assert_eq!(bench.reports.len(), 0, "all serve");
        let before = bench.reconciled;
        bench.pass(Duration::from_secs(1), |_| Verdict::Pass);
        let ended = |report: &&Report| matches!(report, Report::LeaseEnded { .. });
        assert_eq!(bench.reports.iter().filter(ended).count(), 5_000);
        // All of them are one change; the look that comes every few seconds may be another.
        assert!(bench.reconciled - before <= 2, "{} looks", bench.reconciled - before);
        let pool = &bench.engine.pools()[&name("web")];
        assert!(pool.servers().values().all(|server| server.state() == "draining"));
    }
}
