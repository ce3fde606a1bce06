//! A pair of directors that share virtual addresses of both families, and what a client sees of them.
//!
//! ```text
//!  ┌────────┐   ┌─────────────────┐   ┌─────────────────┐
//!  │ client │   │ lb1  holdfastd  │   │ lb2  holdfastd  │     v4: VRID 51, 10.77.0.10
//!  │        │   │      web server │   │      web server │     v6: VRID 51, fe80::33 and fd00:77::10
//!  └───┬────┘   └────────┬────────┘   └────────┬────────┘     no services: the web server on a director answers
//!  ════╧═════════════════╧═════════════════════╧════ br0      with the director's name
//! ```

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holdfast_control::Instance;
use holdfast_testkit::lab::{Lab, Nginx, Node, Topology, VIP4, VIP6, wait_until};

use crate::{Director, ask, config};

/// Nothing that is waited for takes longer, on a busy machine and in the guest.
pub const LIMIT: Duration = Duration::from_secs(60);

/// The names of the two instances.
pub const INSTANCES: [&str; 2] = ["v4", "v6"];

/// The virtual addresses that clients use.
pub const VIPS: [IpAddr; 2] = [IpAddr::V4(VIP4), IpAddr::V6(VIP6)];

/// What differs between tests in the configuration of both instances.
#[derive(Clone, Copy, Debug)]
pub struct Roles<'a> {
    /// Advertisement_Interval on both nodes.
    pub interval: &'a str,
    /// Further keys of lb1's instances: `priority: 150`.
    pub lb1: &'a str,
    /// Further keys of lb2's instances.
    pub lb2: &'a str,
}

impl Roles<'_> {
    /// lb1 is the better one, and takes over when it can.
    pub const LB1_FIRST: Self =
        Self { interval: "200ms", lb1: "priority: 150", lb2: "priority: 100" };

    /// lb1 is the better one, and does not take over from a working lb2.
    pub const NO_PREEMPTION: Self = Self {
        interval: "200ms",
        lb1: "priority: 150, preempt: false",
        lb2: "priority: 100, preempt: false",
    };

    /// The configuration that both nodes run with.
    pub fn config(&self) -> String {
        let Self { interval, lb1, lb2 } = self;
        let instance = |name: &str, addresses: &str| {
            format!(
                "    {name}: {{interface: eth0, vrid: 51, interval: {interval}, addresses: [{addresses}], \
                 per_node: {{lb1: {{{lb1}}}, lb2: {{{lb2}}}}}}}\n"
            )
        };
        let [v4, v6] = INSTANCES;
        let v4 = instance(v4, &format!("{VIP4}/24"));
        let v6 = instance(v6, &format!("'fe80::33/64', '{VIP6}/64'"));
        config(&(v4 + &v6), "")
    }
}

/// The pair. Its parts end in this order: the daemons before their network.
#[derive(Debug)]
pub struct Pair {
    /// The first director's daemon.
    pub lb1: Director,
    /// The second director's daemon.
    pub lb2: Director,
    webs: [Nginx; 2],
    /// The network.
    pub lab: Lab,
}

impl Pair {
    /// Builds the network and starts the two: lb2 when lb1 is Active, so that it is not the one that happens to be first.
    ///
    /// # Errors
    /// A program doesn't start, or lb1 does not come to be Active.
    pub fn start(roles: &Roles<'_>) -> Result<Self> {
        let lab = lab()?;
        let lb1 = Director::start(lab.lb1(), &roles.config())?;
        wait_active(&lb1)?;
        let lb2 = Director::start(lab.lb2(), &roles.config())?;
        let webs = [Nginx::start(lab.lb1(), 80)?, Nginx::start(lab.lb2(), 80)?];
        Ok(Self { lb1, lb2, webs, lab })
    }

    /// The web servers on lb1 and lb2, which answer with the node's name.
    pub const fn webs(&self) -> &[Nginx; 2] {
        &self.webs
    }

    /// Waits until lb1 has all addresses and lb2 none, with the states that belong to it.
    ///
    /// # Errors
    /// It doesn't come to that.
    pub fn wait_lb1(&self) -> Result<()> {
        wait_roles(&self.lb1, &self.lb2)
    }

    /// The other way round.
    ///
    /// # Errors
    /// It doesn't come to that.
    pub fn wait_lb2(&self) -> Result<()> {
        wait_roles(&self.lb2, &self.lb1)
    }
}

/// A network without web servers.
///
/// # Errors
/// It can't be built.
pub fn lab() -> Result<Lab> {
    Lab::with(Topology::one_arm().webs(0))
}

/// Waits until `active` has all addresses and `backup` none, with the states that belong to it.
///
/// # Errors
/// It doesn't come to that.
pub fn wait_roles(active: &Director, backup: &Director) -> Result<()> {
    wait_active(active)?;
    wait_backup(backup)
}

/// Waits until every instance of `director` is Active and every virtual address is on its interface.
///
/// # Errors
/// It doesn't come to that: says how things stand.
pub fn wait_active(director: &Director) -> Result<()> {
    wait_state(director, "active", |node| holds_all(node).unwrap_or(false))
}

/// Waits until every instance of `director` is Backup and no virtual address is on its interface.
///
/// # Errors
/// It doesn't come to that: says how things stand.
pub fn wait_backup(director: &Director) -> Result<()> {
    wait_state(director, "backup", |node| holds_none(node).unwrap_or(false))
}

fn wait_state(director: &Director, state: &str, holds: impl Fn(&Node) -> bool) -> Result<()> {
    let what = format!("{} to be {state}, with the addresses of that", director.node().name());
    wait_until(LIMIT, &what, || {
        let instances = director.status().ok()?.vrrp;
        let all = instances.iter().all(|instance| {
            instance.state == state && instance.holds_addresses == (state == "active")
        });
        (all && !instances.is_empty() && holds(director.node())).then_some(())
    })
    .with_context(|| {
        let addresses = director.node().run(["ip", "-brief", "address"]);
        let status = director.status().map(|status| status.vrrp);
        format!("{addresses:#?}\n{status:#?}\n{}", director.process().log_tail())
    })
}

/// Whether the node has every virtual address.
///
/// # Errors
/// The kernel can't be asked.
pub fn holds_all(node: &Node) -> Result<bool> {
    VIPS.into_iter().try_fold(true, |all, vip| Ok(all && node.has_address(vip)?))
}

/// Whether the node has no virtual address.
///
/// # Errors
/// The kernel can't be asked.
pub fn holds_none(node: &Node) -> Result<bool> {
    VIPS.into_iter().try_fold(true, |none, vip| Ok(none && !node.has_address(vip)?))
}

/// Makes requests to every virtual address until each is answered by `node`: the client knows it then.
///
/// # Errors
/// It is not answered, or by another node.
pub fn wait_served_by(client: &Node, node: &Node) -> Result<()> {
    for vip in VIPS {
        let mut last = None;
        let what = format!("{} to answer at {vip}", node.name());
        wait_until(LIMIT, &what, || {
            last = Some(client.enter(|| ask(SocketAddr::new(vip, 80))).ok()?);
            matches!(&last, Some(Ok(name)) if name == node.name()).then_some(())
        })
        .with_context(|| format!("the last answer: {last:?}"))?;
    }
    Ok(())
}

/// The MAC address that `client` believes `vip` to be at; none when it has no idea.
///
/// # Errors
/// The kernel can't be asked.
pub fn believed_mac(client: &Node, vip: IpAddr) -> Result<Option<String>> {
    let neighbours = client.run(["ip", "neighbour", "show", "to", &vip.to_string()])?.stdout;
    let mut words = neighbours.split_whitespace().skip_while(|word| *word != "lladdr");
    Ok(words.nth(1).map(str::to_owned))
}

/// Waits until `client` believes every virtual address to be at `node`. It asks nobody, so that only what was announced counts.
///
/// # Errors
/// It believes something else.
pub fn wait_believed(client: &Node, node: &Node) -> Result<()> {
    wait_believed_at(client, node, &VIPS)
}

/// As [`wait_believed`], of these addresses.
///
/// # Errors
/// It believes something else.
pub fn wait_believed_at(client: &Node, node: &Node, vips: &[IpAddr]) -> Result<()> {
    for &vip in vips {
        let mut last = None;
        let what = format!("{} to have learned that {vip} is at {}", client.name(), node.name());
        wait_until(LIMIT, &what, || {
            last = believed_mac(client, vip).ok().flatten();
            (last.as_deref() == Some(node.mac())).then_some(())
        })
        .with_context(|| format!("it believes {last:?}, {} is {}", node.name(), node.mac()))?;
    }
    Ok(())
}

/// A counter of an instance; 0 for one that has not counted yet.
///
/// # Errors
/// The daemon doesn't answer.
pub fn counter(director: &Director, instance: &str, name: &str) -> Result<u64> {
    Ok(director.instance(instance)?.counters.get(name).copied().unwrap_or_default())
}

/// Waits until a counter of both instances has grown by `by` since now: time as the protocol counts it.
///
/// # Errors
/// It doesn't.
pub fn wait_counted(director: &Director, name: &str, by: u64) -> Result<()> {
    INSTANCES.into_iter().try_for_each(|instance| wait_count(director, instance, name, by))
}

/// As [`wait_counted`], of one instance.
///
/// # Errors
/// It doesn't.
pub fn wait_count(director: &Director, instance: &str, name: &str, by: u64) -> Result<()> {
    let goal = counter(director, instance, name)? + by;
    wait_until(LIMIT, &format!("{name} of {instance} to reach {goal}"), || {
        counter(director, instance, name).ok().filter(|count| *count >= goal)
    })
    .map(drop)
}

/// Makes sure that nothing changes while `active` advertises ten times: same states, same addresses, no transition.
///
/// # Errors
/// Something does.
pub fn ensure_settled(active: &Director, backup: &Director) -> Result<()> {
    let transitions = |director: &Director| -> Result<Vec<u64>> {
        Ok(director.status()?.vrrp.iter().map(|instance| instance.transitions).collect())
    };
    let before = (transitions(active)?, transitions(backup)?);
    wait_counted(active, "advertisements_sent", 10)?;
    let after = (transitions(active)?, transitions(backup)?);
    ensure!(before == after, "transitions went from {before:?} to {after:?}");
    wait_roles(active, backup)
}

/// The instances of a director that has no fault, by name.
///
/// # Errors
/// The daemon doesn't answer, or an instance has a fault.
pub fn faultless(director: &Director) -> Result<Vec<Instance>> {
    let instances = director.status()?.vrrp;
    for instance in &instances {
        ensure!(instance.fault.is_none(), "{}: {:?}", instance.name, instance.fault);
    }
    Ok(instances)
}
