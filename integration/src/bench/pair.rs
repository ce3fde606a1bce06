//! Two routers in a lab, all that listens to them, and bringing failures about.
//!
//! ```text
//!  ┌──────────┐   ┌──────────────┐   ┌──────────────┐
//!  │  client  │   │ lb1  router  │   │ lb2  router  │     the prober asks the virtual address,
//!  │  prober  │   │      echo    │   │      echo    │     the echo of the node that has it answers;
//!  │  watch   │   │      events  │   │      events  │     ARP is real
//!  └────┬─────┘   └──────┬───────┘   └──────┬───────┘
//!  ═════╧════════════════╧══════════════════╧═══════ br0
//! ```

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use holdfast_net::now;
use holdfast_testkit::lab::{Lab, Node, Topology, wait_until};
use holdfast_time::Instant;
use vrrp::AddressFamily;

use super::events::{Events, What};
use super::machine::is_of;
use super::probe::{Echo, Prober, longest_gap};
use super::rival::{Router, Setup, Software, Virtual};
use crate::watch::Watch;

/// What nothing takes longer than, besides the protocol's own time.
const LIMIT: Duration = Duration::from_secs(30);

/// How long probes are answered before something happens: the client knows by then where the address is.
const BEFORE: Duration = Duration::from_millis(150);

/// How long it is watched further after the other one has answered.
const AFTER: Duration = Duration::from_millis(100);

/// What happens to the Active.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// Its processes are killed; its kernel keeps the address.
    Kill,
    /// Its link has no carrier any more.
    LinkDown,
    /// It is asked to end.
    Terminate,
    /// `holdfast vrrp release`.
    Release,
    /// Nothing: shows what the measurement itself adds.
    Nothing,
}

impl Failure {
    /// Its name in the results.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Kill => "kill -9",
            Self::LinkDown => "link down",
            Self::Terminate => "SIGTERM",
            Self::Release => "release",
            Self::Nothing => "nothing",
        }
    }
}

/// What others saw of it.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// From the failure to the first answer of the other node.
    pub moved: Duration,
    /// The longest time without an answer of anybody.
    pub gap: Duration,
    /// From the last answer of anybody before the other node's first one to that.
    pub change: Duration,
    /// From the last advertisement of the one to the first one of the other.
    pub silence: Option<Duration>,
    /// From the loss of the carrier to the moment when the node itself has given the address up.
    pub given_up: Option<Duration>,
}

/// The pair. Its parts end in this order: the programs before their network.
#[derive(Debug)]
pub struct Pair {
    routers: [Router; 2],
    events: [Events; 2],
    watch: Watch,
    _echoes: [Echo; 2],
    active: usize,
    setup: Setup,
    priorities: [u8; 2],
    /// The network.
    pub lab: Lab,
}

impl Pair {
    /// Builds a network, lets `prepare` change it, and starts lb1 and then lb2 with these priorities. It waits until lb1 has every
    /// address and lb2 is Backup.
    ///
    /// # Errors
    /// It doesn't come to that: with the ends of the logs.
    pub fn start(
        softwares: [Software; 2],
        setup: Setup,
        priorities: [u8; 2],
        prepare: impl FnOnce(&Lab) -> Result<()>,
    ) -> Result<Self> {
        let lab = Lab::with(Topology::one_arm().webs(0))?;
        prepare(&lab)?;
        let (lb1, lb2) = (lab.lb1(), lab.lb2());
        let watch = Watch::start(lab.client(), AddressFamily::Ipv4)?;
        let events = [Events::start(lb1)?, Events::start(lb2)?];
        let echoes = [Echo::start(lb1, 0)?, Echo::start(lb2, 1)?];
        let [first, second] = softwares;
        let [high, low] = priorities;
        let one = Router::start(lb1, first, &setup, high)?;
        // The first one is to be Active, whatever the priorities: the other one waits until it is.
        let vip = What::Added(IpAddr::V4(setup.routers.first().context("no virtual router")?.vip));
        wait_until(LIMIT + setup.interval * 5, "lb1 to have an address", || {
            events.first().and_then(|events| events.first(vip, Instant::ZERO))
        })
        .with_context(|| one.log_tail())?;
        let two = Router::start(lb2, second, &setup, low)?;
        let routers = [one, two];
        let mut pair =
            Self { routers, events, watch, _echoes: echoes, active: 0, setup, priorities, lab };
        pair.wait_settled()?;
        Ok(pair)
    }

    /// The Active.
    pub fn active(&self) -> &Router {
        let [one, two] = &self.routers;
        if self.active == 0 { one } else { two }
    }

    /// The Backup.
    pub fn backup(&self) -> &Router {
        let [one, two] = &self.routers;
        if self.active == 0 { two } else { one }
    }

    fn active_mut(&mut self) -> &mut Router {
        let [one, two] = &mut self.routers;
        if self.active == 0 { one } else { two }
    }

    fn backup_mut(&mut self) -> &mut Router {
        let [one, two] = &mut self.routers;
        if self.active == 0 { two } else { one }
    }

    /// What the Backup's kernel told.
    pub fn backup_events(&self) -> &Events {
        let [one, two] = &self.events;
        if self.active == 0 { two } else { one }
    }

    /// What the Active's kernel told.
    pub fn active_events(&self) -> &Events {
        let [one, two] = &self.events;
        if self.active == 0 { one } else { two }
    }

    /// What was heard on the wire.
    pub const fn watch(&self) -> &Watch {
        &self.watch
    }

    /// What the two were told.
    pub const fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Active_Down_Interval of the one that is Backup now.
    pub fn bound(&self) -> Duration {
        let [one, two] = self.priorities;
        self.setup.active_down(if self.active == 0 { two } else { one })
    }

    /// Waits until the Backup is one and has heard the Active twice since, where they speak on `eth0`.
    ///
    /// # Errors
    /// It doesn't come to that.
    pub fn wait_settled(&mut self) -> Result<()> {
        let limit = LIMIT + self.setup.interval * 5;
        self.backup_mut().wait_backup(limit)?;
        if !self.setup.routers.iter().any(|one| one.interface == "eth0") {
            return Ok(());
        }
        let since = now();
        let active = self.active().node().clone();
        wait_until(limit, "the active node to advertise", || {
            let heard = self.watch.heard();
            let new = heard.iter().rev().take_while(|one| one.at >= since);
            (new.filter(|one| is_of(one.source, &active)).count() >= 2).then_some(())
        })
        .with_context(|| self.active().log_tail())
    }

    /// Lets `failure` happen to the Active, at this share (in thousandths) of the interval after an advertisement, with a probe
    /// every `pace`; waits until the other one answers, and says what was seen. The roles are exchanged then, and the one that
    /// failed is as it was found: call [`Self::mend`].
    ///
    /// # Errors
    /// The other one doesn't answer.
    pub fn fail(&mut self, failure: Failure, pace: Duration, permille: u32) -> Result<Seen> {
        let vip = self.first_router()?.vip;
        let prober = Prober::start(self.lab.client(), vip, pace)?;
        let old = u8::try_from(self.active)?;
        wait_until(LIMIT, "the active node to answer", || prober.first_of(old, Instant::ZERO))
            .with_context(|| self.active().log_tail())?;
        std::thread::sleep(BEFORE);
        self.wait_phase(permille)?;
        let began = now();
        let at = self.bring_about(failure)?;
        let limit = LIMIT + self.bound();
        let to = if failure == Failure::Nothing { old } else { 1 - old };
        let wait_for = if failure == Failure::Nothing { at + self.setup.interval } else { at };
        let moved = wait_until(limit, "the other node to answer", || prober.first_of(to, wait_for))
            .with_context(|| {
                format!("{}\n{}", self.active().log_tail(), self.backup().log_tail())
            })?;
        std::thread::sleep(AFTER);
        let until = now();
        if failure == Failure::Terminate {
            self.active_mut().wait_end()?;
        }
        let replies = prober.replies();
        let before = replies.iter().rfind(|reply| reply.at < moved);
        let change = before.map_or(Duration::MAX, |reply| moved.saturating_since(reply.at));
        let gap = longest_gap(&replies, began - BEFORE / 2, until);
        let given_up = match failure {
            Failure::LinkDown => {
                let removed = self.active_events().first(What::Removed(IpAddr::V4(vip)), at);
                removed.map(|removed| removed.saturating_since(at))
            }
            Failure::Kill | Failure::Terminate | Failure::Release | Failure::Nothing => None,
        };
        let moved = moved.saturating_since(at);
        let seen = Seen { moved, gap, change, silence: self.silence(at), given_up };
        if failure != Failure::Nothing {
            self.active = 1 - self.active;
        }
        Ok(seen)
    }

    /// Brings it about; when it happened.
    fn bring_about(&self, failure: Failure) -> Result<Instant> {
        match failure {
            Failure::Nothing => Ok(now()),
            Failure::Kill => self.active().kill(),
            Failure::Terminate => self.active().terminate(),
            Failure::Release => {
                let at = now();
                self.active().cli(&["vrrp", "release", &self.first_router()?.name()])?;
                Ok(at)
            }
            Failure::LinkDown => {
                let before = now();
                self.lab.link_down(self.active().node())?;
                wait_until(LIMIT, "the carrier to go", || {
                    self.active_events().first(What::CarrierLost, before)
                })
            }
        }
    }

    /// Makes a Backup again of the one that has failed.
    ///
    /// # Errors
    /// It doesn't come to that.
    pub fn mend(&mut self, failure: Failure) -> Result<()> {
        match failure {
            Failure::Nothing => return Ok(()),
            Failure::Kill => {
                self.backup_mut().wait_end()?;
                // Neither program needs this; it leaves both the same start.
                self.remove_addresses(&self.backup().node().clone())?;
                self.backup_mut().restart()?;
            }
            Failure::Terminate => self.backup_mut().restart()?,
            Failure::LinkDown => {
                self.backup_mut().remember();
                let node = self.backup().node().clone();
                self.lab.link_up(&node)?;
            }
            Failure::Release => {
                self.backup().cli(&["vrrp", "resume", &self.first_router()?.name()])?;
            }
        }
        self.wait_settled()
    }

    /// Takes the virtual addresses from a node, as somebody else would.
    ///
    /// # Errors
    /// The kernel can't be asked.
    pub fn remove_addresses(&self, node: &Node) -> Result<()> {
        let lines = self.setup.routers.iter().map(|one| {
            let Virtual { interface, vip, prefix, .. } = one;
            format!("address del {vip}/{prefix} dev {interface}\n")
        });
        // Those that are not there don't matter.
        let lines = lines.collect::<String>();
        let script = format!("ip -force -batch - 2>/dev/null <<'END' || true\n{lines}END\n");
        node.sh(&script).map(drop)
    }

    /// Kills the Active and waits, by `wait`, until the other one has taken over; when it was killed, and what `wait` has found. The
    /// roles are exchanged then: call [`Self::mend`].
    ///
    /// # Errors
    /// It had ended before, or `wait` fails.
    pub fn kill<T>(
        &mut self,
        wait: impl FnOnce(&Self, Instant) -> Result<T>,
    ) -> Result<(Instant, T)> {
        let at = self.active().kill()?;
        let found = wait(self, at)?;
        self.active = 1 - self.active;
        Ok((at, found))
    }

    fn first_router(&self) -> Result<&Virtual> {
        self.setup.routers.first().context("no virtual router")
    }

    /// Sleeps until so many thousandths of an interval have passed since the Active's latest advertisement, which it waits for.
    fn wait_phase(&self, permille: u32) -> Result<()> {
        let since = now();
        let heard = loop {
            let latest = self.watch.heard().last().copied();
            match latest.filter(|one| one.at >= since) {
                Some(one) => break one.at,
                None if since + LIMIT < now() => anyhow::bail!("nobody advertises any more"),
                None => std::thread::sleep(self.setup.interval.min(Duration::from_millis(20)) / 10),
            }
        };
        let at = heard + self.setup.interval * permille / 1000;
        std::thread::sleep(at.saturating_since(now()));
        Ok(())
    }

    /// From the last advertisement of the Active, up to `at` or little later, to the first one of the other after it.
    fn silence(&self, at: Instant) -> Option<Duration> {
        let heard = self.watch.heard();
        let (active, backup) = (self.active().node(), self.backup().node());
        let first = heard.iter().find(|one| one.at >= at && is_of(one.source, backup))?;
        let mut before = heard.iter().filter(|one| one.at < first.at);
        let last = before.rfind(|one| is_of(one.source, active) && one.priority > 0)?;
        Some(first.at.saturating_since(last.at))
    }
}
