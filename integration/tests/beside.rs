//! The same pools under Holdfast on lb1 and under keepalived on lb2: quorum, hysteresis, sorry server, `on_failure`. The same web servers
//! fail and come back for both, and after each step the kernels' tables of the two must be equal, in both families.
//!
//! ```text
//!  ┌──────────────────┐  ┌──────────────────┐  ┌──────┐ ┌──────┐ ┌───────────┐
//!  │ lb1  holdfastd   │  │ lb2  keepalived  │  │ web1 │ │ web2 │ │ web3      │   web1 has the weight 2
//!  └────────┬─────────┘  └────────┬─────────┘  └──┬───┘ └──┬───┘ └──┬────────┘   web3 is the sorry server
//!  ═════════╧═════════════════════╧═══════════════╧════════╧════════╧═══ br0
//! ```

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holdfast_integration::family::Family;
use holdfast_integration::{Director, weights};
use holdfast_testkit::lab::{Keepalived, Lab, Nginx, Node, Topology, wait_until};

/// Nothing here takes longer.
const LIMIT: Duration = Duration::from_secs(60);

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

/// How a pool of both programs is configured.
struct Pool {
    /// Our keys of a service.
    ours: &'static str,
    /// keepalived's of a virtual server.
    theirs: &'static str,
    /// keepalived's of a real server.
    of_servers: &'static str,
}

impl Pool {
    fn ours(&self, lab: &Lab) -> String {
        let one = |family: Family| {
            let server = |number| SocketAddr::new(family.of(lab.web(number)), 80);
            format!(
                "  {family:?}: {{listen: 'tcp {}', scheduler: wrr, forward: direct, {}, sorry_servers: {{sorry: '{}'}}, \
                 check: {{http: {{path: /health}}, interval: 3s, fast_interval: 1s, down_interval: 1s, timeout: 2900ms, spread: 0s, rise: 1, fall: 2}}, \
                 real_servers: {{web1: {{address: '{}', weight: 2}}, web2: '{}'}}}}\n",
                SocketAddr::new(family.vip(), 80),
                self.ours,
                server(3),
                server(1),
                server(2)
            )
        };
        format!("services:\n{}", FAMILIES.map(one).concat()).to_lowercase()
    }

    fn theirs(&self, lab: &Lab) -> String {
        let one = |family: Family| {
            let server = |number: u8, weight: u32| {
                format!(
                    "  real_server {} 80 {{\n    weight {weight}\n    {}\n    HTTP_GET {{\n      \
                     url {{\n        path /health\n        status_code 200\n      }}\n      \
                     connect_timeout 5\n      retry 1\n      delay_before_retry 1\n    }}\n  }}\n",
                    family.of(lab.web(number)),
                    self.of_servers
                )
            };
            format!(
                "virtual_server {} 80 {{\n  delay_loop 1\n  lvs_sched wrr\n  lvs_method DR\n  protocol TCP\n  \
                 sorry_server {} 80\n  {}\n{}{}}}\n",
                family.vip(),
                family.of(lab.web(3)),
                self.theirs,
                server(1, 2),
                server(2, 1)
            )
        };
        format!("global_defs {{\n  router_id lb2\n}}\n{}", FAMILIES.map(one).concat())
    }
}

/// What a kernel has for the three servers of a pool.
type Weights = [Option<u32>; 3];

/// Both programs over the same web servers.
struct Stage {
    director: Director,
    keepalived: Keepalived,
    webs: Vec<Nginx>,
    lab: Lab,
}

impl Stage {
    fn set(pool: &Pool) -> Result<Self> {
        let lab = Lab::with(Topology::one_arm().webs(3))?;
        let webs = lab.webs().map(|web| Nginx::start(web, 80)).collect::<Result<Vec<_>>>()?;
        let keepalived = Keepalived::start(lab.lb2(), &pool.theirs(&lab))?;
        let director = Director::start(lab.lb1(), &pool.ours(&lab))?;
        Ok(Self { director, keepalived, webs, lab })
    }

    fn found(&self, node: &Node, family: Family) -> Result<Weights> {
        let found: BTreeMap<_, _> =
            weights(node, &format!("-t {}", SocketAddr::new(family.vip(), 80)))?;
        let of = |number| {
            found.get(&SocketAddr::new(family.of(self.lab.web(number)), 80).to_string()).copied()
        };
        Ok([of(1), of(2), of(3)])
    }

    /// Waits until the kernel of `node` has these weights, in both families.
    fn wait_node(&self, node: &Node, expected: Weights) -> Result<()> {
        for family in FAMILIES {
            let mut last = None;
            let what = format!("{} to have {expected:?} for {family:?}", node.name());
            wait_until(LIMIT, &what, || {
                last = self.found(node, family).ok();
                (last == Some(expected)).then_some(())
            })
            .with_context(|| {
                let logs =
                    (self.director.process().log_tail(), self.keepalived.process().log_tail());
                format!("it has {last:?}\n{}\n{}", logs.0, logs.1)
            })?;
        }
        Ok(())
    }

    /// Both kernels come to have the same.
    fn both(&self, expected: Weights) -> Result<()> {
        self.each(expected, expected)
    }

    /// The kernels come to have these, ours first: a difference that is meant, which docs/policy.md tells.
    fn each(&self, ours: Weights, theirs: Weights) -> Result<()> {
        self.wait_node(self.lab.lb1(), ours)?;
        self.wait_node(self.lab.lb2(), theirs)
    }

    /// Makes a web server healthy or not, and waits until both programs have seen it.
    fn set_healthy(&self, number: u8, healthy: bool) -> Result<()> {
        let word = if healthy { "succeed on service" } else { "failed after" };
        let said = || self.keepalived.process().log();
        // "Remote Web server [10.77.0.21]:tcp:80 succeed on service.", "HTTP_CHECK on service [10.77.0.21]:tcp:80 failed after 1 retries."
        let lines = |said: &str, family: Family| {
            let server = format!("[{}]:tcp:80", family.of(self.lab.web(number)));
            said.lines().filter(|line| line.contains(&server) && line.contains(word)).count()
        };
        let before = said();
        let web = self.webs.get(usize::from(number) - 1).context("a web server")?;
        web.set_healthy(healthy)?;
        for family in FAMILIES {
            let state = if healthy { "up" } else { "down" };
            let service = format!("{family:?}").to_lowercase();
            self.director.wait_server(&service, &format!("web{number}"), state, LIMIT)?;
            wait_until(LIMIT, &format!("keepalived to say {word} of web{number}"), || {
                (lines(&said(), family) > lines(&before, family)).then_some(())
            })
            .with_context(|| self.keepalived.process().log_tail())?;
        }
        Ok(())
    }

    /// Both are asked to end, and do.
    fn end(mut self) -> Result<()> {
        self.director.stop()?;
        let status = self.keepalived.stop()?;
        ensure!(status.success(), "keepalived ended with {status}");
        Ok(())
    }
}

/// Below quorum - hysteresis the sorry server has all, from quorum + hysteresis on the others have.
#[test]
fn a_quorum_with_hysteresis_and_a_sorry_server_is_the_same_under_both() -> Result<()> {
    let pool = Pool {
        ours: "quorum: 2, hysteresis: 1, on_failure: remove",
        theirs: "quorum 2\n  hysteresis 1",
        of_servers: "",
    };
    let stage = Stage::set(&pool)?;
    stage.both([Some(2), Some(1), None])?;
    stage.set_healthy(1, false)?;
    // 1 is not below 2 - 1.
    stage.both([None, Some(1), None])?;
    stage.set_healthy(2, false)?;
    stage.both([None, None, Some(1)])?;
    stage.set_healthy(1, true)?;
    // 2 is not 2 + 1.
    stage.both([None, None, Some(1)])?;
    stage.set_healthy(2, true)?;
    stage.both([Some(2), Some(1), None])?;
    stage.end()
}

/// The same with weight 0 in place of removal.
#[test]
fn what_is_inhibited_at_a_failure_is_so_under_both() -> Result<()> {
    let pool = Pool {
        ours: "quorum: 2, hysteresis: 1, on_failure: inhibit",
        theirs: "quorum 2\n  hysteresis 1\n  sorry_server_inhibit",
        of_servers: "inhibit_on_failure",
    };
    let stage = Stage::set(&pool)?;
    stage.both([Some(2), Some(1), Some(0)])?;
    stage.set_healthy(1, false)?;
    stage.both([Some(0), Some(1), Some(0)])?;
    stage.set_healthy(2, false)?;
    stage.both([Some(0), Some(0), Some(1)])?;
    stage.set_healthy(1, true)?;
    stage.both([Some(0), Some(0), Some(1)])?;
    stage.set_healthy(2, true)?;
    stage.both([Some(2), Some(1), Some(0)])?;
    stage.end()
}
