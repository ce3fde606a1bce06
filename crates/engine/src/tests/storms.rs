//! Whatever an operator, reloads, checks and the kernel do one after the other, the books are in order.

use super::any_reload::any_text;
use super::reconfigure::parsed;
use super::*;

/// Something that happens; the numbers choose a service and a server of those that there are.
#[derive(Clone, Debug)]
enum Happening {
    Reload(usize),
    Add(u8, u8, Option<u8>),
    Drain(u8, u8, Option<u8>),
    Ready(u8, u8),
    Maintain(u8, u8),
    Weigh(u8, u8, u8),
    Share(u8, u8, u32),
    Remove(u8, u8),
    RemoveNow(u8, u8),
    /// So many half seconds pass, in which every check passes or fails.
    Pass(u64, bool),
    /// The kernel counts so many connections of every server.
    Count(u64),
    /// The daemon is killed and comes back, over the table that it had made.
    Restart,
}

fn any_happening() -> impl Strategy<Value = Happening> {
    let which = || (0..2_u8, 0..4_u8);
    prop_oneof![
        2 => (0..4_usize).prop_map(Happening::Reload),
        1 => (which(), prop::option::of(0..5_u8)).prop_map(|((a, b), w)| Happening::Add(a, b, w)),
        2 => (which(), prop::option::of(0..9_u8)).prop_map(|((a, b), t)| Happening::Drain(a, b, t)),
        2 => which().prop_map(|(a, b)| Happening::Ready(a, b)),
        1 => which().prop_map(|(a, b)| Happening::Maintain(a, b)),
        1 => (which(), 0..9_u8).prop_map(|((a, b), w)| Happening::Weigh(a, b, w)),
        1 => (which(), 0..1200_u32).prop_map(|((a, b), s)| Happening::Share(a, b, s)),
        2 => which().prop_map(|(a, b)| Happening::Remove(a, b)),
        1 => which().prop_map(|(a, b)| Happening::RemoveNow(a, b)),
        3 => (0..8_u64, prop::bool::weighted(0.7)).prop_map(|(t, p)| Happening::Pass(t, p)),
        2 => (0..2_u64).prop_map(Happening::Count),
        1 => Just(Happening::Restart),
    ]
}

impl Bench {
    /// The service and the server of these numbers, whatever they are called now.
    fn chosen(&self, service: u8, server: u8) -> Option<(Name, Name)> {
        let pools = self.engine.pools();
        let (service, pool) = pools.iter().nth(usize::from(service) % pools.len().max(1))?;
        let servers = pool.servers();
        let (server, _) = servers.iter().nth(usize::from(server) % servers.len().max(1))?;
        Some((service.clone(), server.clone()))
    }

    /// What is refused changes nothing, which is all that matters here.
    fn happen(&mut self, what: &Happening, configs: &[Config], current: &mut usize) {
        let now = self.now;
        match *what {
            Happening::Reload(next) => {
                let next = next % configs.len();
                self.reload(&configs[*current], &configs[next]);
                *current = next;
            }
            Happening::Pass(half_seconds, passes) => {
                let verdict = if passes { Verdict::Pass } else { Verdict::Fail };
                self.pass(Duration::from_millis(500 * half_seconds), |_| verdict);
            }
            Happening::Count(active) => self.count_all(active),
            Happening::Restart => {
                let table = self.engine.desired();
                self.engine = Engine::new(&configs[*current], &table, now);
                self.runs.clear();
            }
            Happening::Add(service, server, weight) => {
                let config = &configs[*current];
                let names = config.services.keys().collect::<Vec<_>>();
                let Some(service) = names.get(usize::from(service) % names.len().max(1)) else {
                    return;
                };
                let (to, weight) = (format!("10.0.0.{}:80", server + 1), weight.map(u32::from));
                let settings = config.services[*service].clone();
                let added = RealServer::new(None, &to, weight, &settings, config);
                if let Ok(added) = added {
                    drop(self.engine.add_server(now, service, added, weight, by()));
                }
            }
            Happening::Drain(a, b, _)
            | Happening::Ready(a, b)
            | Happening::Maintain(a, b)
            | Happening::Weigh(a, b, _)
            | Happening::Share(a, b, _)
            | Happening::Remove(a, b)
            | Happening::RemoveNow(a, b) => {
                let Some((service, server)) = self.chosen(a, b) else { return };
                self.command(what, &service, &server);
            }
        }
        self.collect();
    }

    fn command(&mut self, what: &Happening, service: &Name, server: &Name) {
        let (engine, now) = (&mut self.engine, self.now);
        drop(match *what {
            Happening::Drain(_, _, timeout) => {
                let timeout = timeout.map(|s| seconds(u64::from(s)));
                engine.drain_server(now, service, server, timeout, by())
            }
            Happening::Ready(..) => engine.ready_server(now, service, server, by()),
            Happening::Maintain(..) => engine.maintain_server(now, service, server, by()),
            Happening::Weigh(_, _, weight) => {
                engine.weigh_server(service, server, WeightChange::To(weight.into()), by())
            }
            Happening::Share(_, _, share) => {
                engine.weigh_server(service, server, WeightChange::Share(share), by())
            }
            Happening::Remove(..) => engine.remove_server(now, service, server, None, by()),
            Happening::RemoveNow(..)
            | Happening::Reload(_)
            | Happening::Add(..)
            | Happening::Pass(..)
            | Happening::Count(_)
            | Happening::Restart => engine.remove_server_now(service, server, by()),
        });
    }

    fn count_all(&mut self, active: u64) {
        let counted = self.engine.counted();
        let servers = self.engine.pools().values().flat_map(|pool| pool.servers().values());
        let addresses: BTreeSet<SocketAddr> =
            servers.map(|server| server.definition().address).collect();
        let count = Connections { active, ..Connections::default() };
        let counts =
            counted.iter().flat_map(|key| addresses.iter().map(move |to| ((*key, *to), count)));
        let counts: BTreeMap<_, _> = counts.collect();
        self.engine.connections_counted(self.now, &counted, &counts);
        self.collect();
    }

    fn books_are_in_order(&self) -> Result<(), TestCaseError> {
        let engine = &self.engine;
        let pools = || engine.pools.iter();
        let servers =
            || pools().flat_map(|(name, pool)| pool.servers.iter().map(move |one| (name, one)));
        // A check is in the books if a server has it, and its servers are those that have it.
        let (mut has, mut pairs) = (BTreeSet::new(), 0);
        for (service, (name, server)) in servers() {
            prop_assert_eq!(name, &server.definition.name);
            for id in &server.checks {
                has.insert(*id);
                pairs += 1;
                let is_owner = engine.checks[id].owners().any(|owner| owner == (service, name));
                prop_assert!(is_owner, "{}/{} has a check of others", service, name);
            }
            let maintained = server.admin == Admin::Maint;
            prop_assert!(!maintained || server.checks.is_empty(), "{} is checked", name);
            prop_assert!(server.admin == Admin::Ready || server.standing.is_some());
        }
        prop_assert_eq!(has.len(), engine.checks.len(), "a check is nobody's");
        let owners = engine.checks.values().flat_map(|running| running.owners()).count();
        prop_assert_eq!(owners, pairs, "a check is of a server that has it not");
        // A slow start has its next raise, and a raise its slow start.
        let ramping: BTreeSet<(Name, Name)> = servers()
            .filter(|(_, (_, server))| server.ramp.is_some())
            .map(|(service, (name, _))| (service.clone(), name.clone()))
            .collect();
        let raised: BTreeSet<(Name, Name)> =
            engine.ramps.iter().map(|(_, name)| name.clone()).collect();
        prop_assert_eq!((ramping, raised.len()), (raised, engine.ramps.len()));
        // What drains is looked at, and every address is one service's.
        let drains = pools().any(|(_, pool)| pool.is_draining());
        prop_assert!(!drains || engine.count_at.is_some(), "nobody looks at a drain");
        prop_assert_eq!(pools().flat_map(|(_, pool)| pool.keys()).count(), engine.owned().len());
        for (_, pool) in pools() {
            prop_assert!(
                !pool.leaving || pool.servers.values().all(|one| one.admin != Admin::Ready)
            );
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn whatever_happens_the_books_are_in_order(
        texts in prop::collection::vec(any_text(), 2..5),
        happenings in prop::collection::vec(any_happening(), 1..40),
    ) {
        let configs: Vec<Config> = texts.iter().map(|text| parsed(text)).collect();
        let (mut bench, mut current) = (Bench::new(&configs[0], &Table::new()), 0);
        for what in &happenings {
            bench.happen(what, &configs, &mut current);
            bench.books_are_in_order()?;
        }
        // When everything has ended, nothing drains any more, and a restart would find the same services.
        bench.pass(Duration::from_secs(400), |_| Verdict::Pass);
        bench.books_are_in_order()?;
        prop_assert!(bench.engine.counted().is_empty());
        let services: Vec<&Name> = bench.engine.pools().keys().collect();
        prop_assert_eq!(services, configs[current].services.keys().collect::<Vec<_>>());
    }
}
