//! What commands leave, and that it makes of a new engine what the old one was.

use std::collections::BTreeMap;

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

#[derive(Clone, Debug)]
enum Order_ {
    Add(Option<u64>),
    Drain,
    Maint,
    Ready,
    Weight(u32),
    Share(u32),
    Remove,
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
        for (key, entry) in overlay.kept() {
            let kernel = Table::new();
            bench.engine.replay(at(0), key, entry, &config, Some(&kernel)).unwrap();
        }
        bench.collect();
        Self { bench, config, overlay }
    }

    /// Gives a command to one of four servers, two of which are the file's; whether what is kept is other.
    fn order(&mut self, index: usize, order: &Order_, ephemeral: bool) -> bool {
        let (service, server) = (name("web"), name(&format!("web{}", index + 1)));
        let address = address(&format!("10.0.0.1{}:80", index + 1));
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
                let done = engine.add_server(now, &service, new, None, by()).map(|change| {
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
            Order_::Remove => {
                (engine.remove_server(now, &service, &server, None, by()), Facets::ALL)
            }
        };
        self.bench.collect();
        let Ok(Change { changed }) = done else { return false };
        let engine = &self.bench.engine;
        let seen = Seen {
            base: self.config.services[&service].real_servers.get(&server).map(AsRef::as_ref),
            server: engine.pools()[&service].servers().get(&server),
            lease: engine.lease(&service, &server).map(|(lease, _)| lease),
        };
        let key = (service, server);
        if ephemeral {
            if changed {
                self.overlay.note_passing(&key, address, seen, facets, (&by(), 7));
            }
            return false;
        }
        self.overlay.note(&key, address, seen, facets, (&by(), 7))
    }

    /// What every server is, as far as it outlives a daemon; what drains to be removed is gone.
    fn shape(&self) -> BTreeMap<Name, (Origin, &'static str, u32, u32, Option<Duration>)> {
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
                let weight = known.definition().weight;
                (server.clone(), (known.origin(), admin, weight, known.share(), lease))
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
    ]
}

proptest! {
    /// Whatever commands were given: the next daemon has the servers as this one.
    #[test]
    fn what_was_changed_is_so_again_after_a_restart(
        given in prop::collection::vec((0..4_usize, orders()), 0..24),
    ) {
        let mut desk = Desk::new(config(""), BTreeMap::new());
        for (index, order) in &given {
            desk.order(*index, order, false);
            prop_assert_eq!(desk.restart().shape(), desk.shape(), "after {:?}", order);
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

/// The file gives a server that was removed another name: its removal is found by the address, and goes along.
#[test]
fn a_removal_is_found_by_its_address_when_the_server_is_called_otherwise() {
    let mut desk = Desk::new(config(""), BTreeMap::new());
    desk.order(0, &Order_::Remove, false);
    desk.order(1, &Order_::Drain, false);
    let key = |server: &str| (name("web"), name(server));
    let found = |overlay: &Overlay, server: &str, to: &str| {
        overlay.removed_at(&key(server), address(to)).map(ToString::to_string)
    };
    let other = Some("web1".to_owned());
    assert_eq!(found(&desk.overlay, "web9", "10.0.0.11:80"), other);
    assert_eq!(found(&desk.overlay, "web1", "10.0.0.11:80"), None, "by its own name");
    assert_eq!(found(&desk.overlay, "web9", "10.0.0.12:80"), None, "it drains, and stays");
    let elsewhere = (name("other"), name("web9"));
    assert_eq!(desk.overlay.removed_at(&elsewhere, address("10.0.0.11:80")), None);
    assert!(desk.overlay.rename(&name("web"), &name("web1"), &name("web9")));
    assert_eq!(found(&desk.overlay, "web9", "10.0.0.11:80"), None);
    // One that ends with the daemon as well.
    let mut desk = Desk::new(config(""), BTreeMap::new());
    desk.order(0, &Order_::Remove, true);
    assert_eq!(found(&desk.overlay, "web9", "10.0.0.11:80"), other);
}

#[test]
fn a_command_for_good_keeps_what_an_ephemeral_one_has_said() {
    let mut desk = Desk::new(config(""), BTreeMap::new());
    desk.order(0, &Order_::Drain, true);
    assert_eq!(desk.restart().shape()[&name("web1")].1, "ready");
    let held = desk.overlay.get(&(name("web"), name("web1"))).unwrap();
    assert!(held.passing.admin && held.entry.admin.is_some_and(|said| said.what == Wish::Drain));
    // Another facet leaves it alone.
    desk.order(0, &Order_::Weight(3), false);
    assert_eq!(desk.restart().shape()[&name("web1")].1, "ready");
    assert!(desk.order(0, &Order_::Drain, false), "it is kept now");
    assert_eq!(desk.restart().shape()[&name("web1")].1, "drain");
    // Ready for the moment: the next daemon drains it again.
    desk.order(0, &Order_::Ready, true);
    assert_eq!(
        (desk.shape()[&name("web1")].1, desk.restart().shape()[&name("web1")].1),
        ("ready", "drain")
    );
}

#[test]
fn what_a_file_makes_pointless_is_dropped_and_what_it_may_bring_back_is_not() {
    let mut desk = Desk::new(config(""), BTreeMap::new());
    desk.order(0, &Order_::Weight(3), false);
    desk.order(0, &Order_::Drain, false);
    desk.order(1, &Order_::Remove, false);
    desk.order(2, &Order_::Add(None), false);
    let settled = |base: &dyn Fn(&Name, SocketAddr) -> Base| {
        let mut overlay = Overlay::restored(desk.overlay.kept().clone());
        let settled = overlay.settle(base);
        let left = overlay.kept().iter();
        let left: Vec<_> = left
            .map(|((_, server), entry)| {
                let facets =
                    (entry.presence.is_some(), entry.admin.is_some(), entry.weight.is_some());
                (server.to_string(), facets)
            })
            .collect();
        (settled.len(), left)
    };
    let all = |web1, web2, web3| {
        let all = [("web1", web1), ("web2", web2), ("web3", web3)];
        all.map(|(server, facets)| (server.to_owned(), facets)).to_vec()
    };
    let unchanged = all((false, true, true), (true, false, false), (true, false, false));
    assert_eq!(settled(&|_, _| Base::NoService), (0, unchanged.clone()));
    let known = |_: &Name, at: SocketAddr| match at.ip().to_string().as_str() {
        "10.0.0.11" => Base::Server { weight: 5 },
        "10.0.0.12" => Base::Server { weight: 1 },
        _ => Base::NoServer,
    };
    assert_eq!(settled(&known), (0, unchanged));
    // Another weight of the file counts; what it names is the file's; what it names no longer has no meaning.
    let other = |_: &Name, at: SocketAddr| match at.ip().to_string().as_str() {
        "10.0.0.11" => Base::Server { weight: 6 },
        "10.0.0.13" => Base::Server { weight: 1 },
        _ => Base::NoServer,
    };
    let (dropped, left) = settled(&other);
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
