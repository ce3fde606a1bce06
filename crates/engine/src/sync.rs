//! Connection synchronisation: which sync daemons a node shall run, and whether it has caught up with the Active's connections.
//!
//! The kernel can't be asked for all connections that the other node has: a director that was away learns of a connection when it is sent
//! again, once in a `sync_refresh_period` while the connection has traffic. So a node has caught up when it has listened for long enough
//! ([`holdfast_config::Config::catch_up`]) without a break. This is no guarantee: a lost message is made up for one period later, and a
//! connection that was silent all the time stays unknown.

use std::time::Duration;

use holdfast_config::{ConnectionSync, Name, SyncMode};
use holdfast_time::Instant;
use ipvs_ctl::model::{SyncDaemon, SyncRole};

/// The daemons that a node shall run, of which `is_active` says whether an instance has its addresses.
pub fn daemons(sync: &ConnectionSync, is_active: impl Fn(&Name) -> bool) -> Vec<SyncDaemon> {
    let roles: &[SyncRole] = match &sync.mode {
        SyncMode::Both => &[SyncRole::Master, SyncRole::Backup],
        SyncMode::Follow { instances, .. } if instances.iter().all(is_active) => {
            &[SyncRole::Master]
        }
        SyncMode::Follow { .. } => &[SyncRole::Backup],
    };
    roles.iter().map(|role| sync.daemon(*role)).collect()
}

/// Whether a node that may preempt has the Active's connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CatchUp {
    listens_since: Option<Instant>,
}

impl CatchUp {
    /// Takes note of whether the node listens: its backup daemon runs, its interface is up, and the instance takes part. A break
    /// begins the time anew.
    pub fn observe(&mut self, now: Instant, listens: bool) {
        self.listens_since = listens.then(|| self.listens_since.unwrap_or(now));
    }

    /// When it has caught up, having to listen for `needed`; none while it does not listen.
    pub fn at(&self, needed: Duration) -> Option<Instant> {
        self.listens_since.map(|since| since + needed)
    }

    /// Whether it has caught up.
    pub fn is_over(&self, now: Instant, needed: Duration) -> bool {
        self.at(needed).is_some_and(|at| at <= now)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use holdfast_config::{Environment, parse};

    use super::*;

    fn sync(role: &str) -> ConnectionSync {
        let text = format!(
            "vrrp:\n  instances:\n    a: {{interface: eth0, vrid: 51, addresses: [192.0.2.10/24]}}\n    b: {{interface: eth1, vrid: 52, \
             addresses: [192.0.2.20/24]}}\n  groups: {{pair: {{instances: [a, b]}}}}\nservices:\n  web: {{listen: tcp 192.0.2.10:80, \
             forward: direct, real_servers: {{w: 192.0.2.30}}}}\nipvs:\n  sync: {{interface: eth1, role: {role}}}\n"
        );
        let config = parse("f", text, &Environment::new("lb1")).config.unwrap();
        config.ipvs.sync.unwrap()
    }

    fn roles(sync: &ConnectionSync, active: &[&str]) -> Vec<SyncRole> {
        let active: BTreeSet<&str> = active.iter().copied().collect();
        let daemons = daemons(sync, |name| active.contains(name.as_str()));
        daemons.iter().map(|daemon| daemon.role).collect()
    }

    #[test]
    fn a_group_tells_while_all_of_it_is_active_and_listens_otherwise() {
        let sync = sync("follow");
        assert_eq!(sync.id, 51, "the vrid of the group's first instance");
        assert_eq!(roles(&sync, &["a", "b"]), [SyncRole::Master]);
        assert_eq!(roles(&sync, &["a"]), [SyncRole::Backup]);
        assert_eq!(roles(&sync, &[]), [SyncRole::Backup]);
    }

    #[test]
    fn both_daemons_run_whatever_vrrp_says() {
        let both = sync("both");
        for active in [&["a", "b"][..], &[]] {
            assert_eq!(roles(&both, active), [SyncRole::Master, SyncRole::Backup]);
        }
    }

    #[test]
    fn a_node_has_caught_up_when_it_has_listened_long_enough_without_a_break() {
        let second = Duration::from_secs(1);
        let needed = second * 23;
        let start = Instant::ZERO;
        let mut catch_up = CatchUp::default();
        catch_up.observe(start, false);
        assert!(!catch_up.is_over(start + needed * 2, needed));
        catch_up.observe(start + second, true);
        catch_up.observe(start + second * 10, true);
        assert_eq!(catch_up.at(needed), Some(start + second * 24));
        assert!(!catch_up.is_over(start + second * 23, needed));
        assert!(catch_up.is_over(start + second * 24, needed));
        catch_up.observe(start + second * 25, false);
        catch_up.observe(start + second * 26, true);
        assert!(!catch_up.is_over(start + second * 48, needed), "the break counts");
    }
}
