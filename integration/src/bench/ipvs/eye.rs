//! Looks into the kernel's table of a namespace: cheaply while something is awaited, wholly once it is there.

use std::fs;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use holdfast_net::now;
use holdfast_testkit::lab::Node;
use holdfast_time::Instant;
use ipvs_ctl::client::Client;
use ipvs_ctl::model::ServiceKey;

use super::setup::Setup;

/// Between two looks; a look takes a fraction of a millisecond.
const PACE: Duration = Duration::from_millis(1);

/// A way to the kernel's table of one node.
#[derive(Debug)]
pub struct Eye {
    node: Node,
    client: Client,
}

impl Eye {
    /// Opens it.
    ///
    /// # Errors
    /// The namespace can't be entered, or the kernel has no IPVS.
    pub fn open(node: &Node) -> Result<Self> {
        Ok(Self { node: node.clone(), client: node.enter(Client::open)?? })
    }

    /// The weight of a server; none where it is not there.
    ///
    /// # Errors
    /// The kernel doesn't answer.
    pub fn weight(&mut self, setup: &Setup, service: u32, server: u32) -> Result<Option<u32>> {
        self.weight_at(&Setup::key(service), setup.server(service, server).into())
    }

    /// The weight of the server at `address` in the service of this key; none where it is not there.
    ///
    /// # Errors
    /// The kernel doesn't answer.
    pub fn weight_at(&mut self, key: &ServiceKey, address: IpAddr) -> Result<Option<u32>> {
        let found = self.client.service(key)?;
        let found = found.and_then(|found| {
            found.destinations.into_iter().find(|one| one.destination.address.ip() == address)
        });
        Ok(found.map(|found| found.destination.weight))
    }

    /// How many services and destinations that take connections there are, by `/proc/net/ip_vs`: another way of the kernel's than
    /// the one that the programs use.
    ///
    /// # Errors
    /// The list can't be read.
    pub fn count(&self) -> Result<(u32, u32)> {
        let list = self.node.enter(|| fs::read_to_string("/proc/thread-self/net/ip_vs"))?;
        let (mut services, mut destinations) = (0, 0);
        for line in list.context("read /proc/net/ip_vs")?.lines() {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            match words.as_slice() {
                ["TCP" | "UDP", ..] => services += 1,
                ["->", address, _, weight, ..] if *address != "RemoteAddress:Port" => {
                    destinations += u32::from(*weight != "0");
                }
                _ => {}
            }
        }
        Ok((services, destinations))
    }

    /// Waits until the table is complete, every weight above zero, and answers when it was. The last service is looked at until all
    /// of its servers are there, because both programs go through their configuration in order; then everything is counted.
    ///
    /// # Errors
    /// It isn't within `limit`.
    pub fn wait_complete(&mut self, setup: &Setup, limit: Duration) -> Result<Instant> {
        let start = now();
        let key = Setup::key(setup.services - 1);
        loop {
            let last = self.client.service(&key)?;
            let serving = last.map_or(0, |last| {
                last.destinations.iter().filter(|one| one.destination.weight > 0).count()
            });
            let at = now();
            if serving == setup.servers as usize && self.is_complete(setup)? {
                return Ok(at);
            }
            if at.saturating_since(start) > limit {
                bail!("waited {limit:?} in vain for the whole table; it has {:?}", self.count()?);
            }
            std::thread::sleep(PACE);
        }
    }

    /// Waits until the first or the last service is there, and answers when it was.
    ///
    /// # Errors
    /// Neither is within `limit`.
    pub fn wait_any(&mut self, setup: &Setup, limit: Duration) -> Result<Instant> {
        let start = now();
        let ends = [Setup::key(0), Setup::key(setup.services - 1)];
        loop {
            for key in &ends {
                if self.client.service(key)?.is_some() {
                    return Ok(now());
                }
            }
            ensure!(
                now().saturating_since(start) < limit,
                "waited {limit:?} in vain for a service"
            );
            std::thread::sleep(PACE);
        }
    }

    /// Waits until the first server of the service in the middle has the weight that `setup` says.
    ///
    /// # Errors
    /// It hasn't within `limit`.
    pub fn wait_weight(&mut self, setup: &Setup, limit: Duration) -> Result<Instant> {
        let start = now();
        loop {
            let weight = self.weight(setup, setup.middle(), 0)?;
            let at = now();
            if weight == Some(setup.weight) {
                return Ok(at);
            }
            if at.saturating_since(start) > limit {
                bail!("waited {limit:?} in vain for the weight {}; it is {weight:?}", setup.weight);
            }
            std::thread::sleep(PACE);
        }
    }

    /// Whether every entry is there and takes connections.
    ///
    /// # Errors
    /// As [`Self::count`].
    pub fn is_complete(&self, setup: &Setup) -> Result<bool> {
        let services = setup.services + u32::from(setup.real.is_some());
        Ok(self.count()? == (services, setup.destinations()))
    }

    /// Removes everything, as `ipvsadm -C` does.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn flush(&mut self) -> Result<()> {
        Ok(self.client.flush()?)
    }
}
