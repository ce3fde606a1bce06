//! Any configuration after any other.

use super::reconfigure::{all_up, parsed};
use super::*;

/// A service by numbers, which any numbers are.
#[derive(Clone, Debug)]
struct Choice {
    exists: bool,
    /// A bit for each of its two addresses; none = the first.
    listen: u8,
    check: u8,
    rr: bool,
    persistent: bool,
    slow: bool,
    /// Name, address and weight of each server. A later one takes the name or the address from an earlier one.
    servers: Vec<(u8, u8, u8)>,
}

impl Choice {
    /// The service as number `at`, listening on the addresses of number `home`.
    fn text(&self, at: u8, home: u8) -> String {
        let listens: Vec<String> = (0..2)
            .filter(|bit| self.listen & (1 << bit) != 0 || (*bit == 0 && self.listen == 0))
            .map(|bit| format!("tcp 192.0.2.{}:80", 10 + bit + 10 * home))
            .collect();
        let check = [
            "",
            "check: {tcp: {}, interval: 1s, timeout: 500ms}, ",
            "checks: [{tcp: {}, interval: 2s, timeout: 500ms}, {http: {}, interval: 1s, timeout: 500ms}], ",
        ][usize::from(self.check)];
        let scheduler = if self.rr { "wrr" } else { "wlc" };
        let persistence = if self.persistent { "persistence: {}, " } else { "" };
        let slow = if self.slow { "slow_start: 3s, " } else { "" };
        let servers: BTreeMap<u8, (u8, u8)> = self
            .servers
            .iter()
            .map(|(name, address, weight)| (*address, (*name, *weight)))
            .collect();
        let servers: BTreeMap<u8, (u8, u8)> = servers
            .into_iter()
            .map(|(address, (name, weight))| (name, (address, weight)))
            .collect();
        let servers: Vec<String> = servers
            .iter()
            .map(|(name, (to, weight))| {
                format!("s{name}: {{address: 10.0.0.{to}:80, weight: {weight}}}")
            })
            .collect();
        format!(
            "  web{at}: {{listen: [{}], scheduler: {scheduler}, forward: nat, {check}{persistence}{slow}real_servers: {{{}}}}}\n",
            listens.join(", "),
            servers.join(", ")
        )
    }
}

/// A configuration of two services at most, which may have exchanged their addresses.
pub(super) fn any_text() -> impl Strategy<Value = String> {
    let server = (0..4_u8, 1..5_u8, 0..3_u8);
    let servers = prop::collection::vec(server, 1..4);
    let flags = (any::<bool>(), any::<bool>(), prop::bool::weighted(0.2));
    let service = (prop::bool::weighted(0.8), 0..4_u8, 0..3_u8, flags, servers).prop_map(
        |(exists, listen, check, (rr, persistent, slow), servers)| Choice {
            exists,
            listen,
            check,
            rr,
            persistent,
            slow,
            servers,
        },
    );
    (service.clone(), service, any::<bool>()).prop_map(|(first, second, crossed)| {
        let home = u8::from(crossed);
        let services: String = [(first, 0, home), (second, 1, 1 - home)]
            .iter()
            .filter(|(choice, ..)| choice.exists)
            .map(|(choice, at, home)| choice.text(*at, *home))
            .collect();
        if services.is_empty() {
            "services: {}\n".to_owned()
        } else {
            format!("services:\n{services}")
        }
    })
}

proptest! {
    #[test]
    fn any_reload_ends_at_the_table_of_a_fresh_start(texts in prop::collection::vec(any_text(), 2..5)) {
        let configs: Vec<Config> = texts.iter().map(|text| parsed(text)).collect();
        let mut bench = all_up(&configs[0]);
        for pair in configs.windows(2) {
            bench.reload(&pair[0], &pair[1]);
            bench.pass(Duration::from_secs(1), |_| Verdict::Pass);
            prop_assert_eq!(bench.engine.owned(), bench.engine.desired().keys().copied().collect());
            let keys = bench.engine.pools().values().flat_map(Pool::keys).count();
            prop_assert_eq!(keys, bench.engine.owned().len(), "an address has two services");
        }
        bench.pass(Duration::from_secs(9), |_| Verdict::Pass);
        bench.let_drains_end();
        let last = configs.last().unwrap();
        prop_assert_eq!(bench.engine.desired(), all_up(last).engine.desired());
        let names = |engine: &Engine| -> Vec<(Name, Name)> {
            let all = engine.pools().iter();
            all.flat_map(|(pool, of)| of.servers().keys().map(move |server| (pool.clone(), server.clone()))).collect()
        };
        prop_assert_eq!(names(&bench.engine), names(&all_up(last).engine));
        // Said again, it changes nothing.
        bench.engine.reconfigure(last, last, None, bench.now);
        prop_assert!(bench.engine.poll_action().is_none());
    }

    #[test]
    fn checks_that_do_not_differ_keep_their_places(old in any_text(), new in any_text()) {
        let (old, new) = (parsed(&old), parsed(&new));
        let mut bench = all_up(&old);
        let timers = |bench: &Bench| -> BTreeMap<(Name, SocketAddr, String), Instant> {
            bench.engine.check_deadlines().map(|(service, server, kind, at)| ((service, server, kind), at)).collect()
        };
        let before = timers(&bench);
        bench.reload(&old, &new);
        for ((service, server, kind), at) in timers(&bench) {
            let same = |config: &Config| {
                let service = config.services.get(&service)?;
                let known = service.real_servers.values().find(|known| known.address == server)?;
                let checks = service.checks_of(known).0;
                checks.iter().find(|check| format!("{:?}", check.kind) == kind).cloned()
            };
            if same(&old).is_some() && same(&old) == same(&new) {
                prop_assert_eq!(Some(&at), before.get(&(service, server, kind)));
            }
        }
    }
}
