//! The instances, found by what is known of them: by packet, by deadline, by name.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use holdfast_config::Name;
use holdfast_net::IfIndex;
use holdfast_time::Instant;
use vrrp::Vrid;
use vrrp::receive::Identified;

use super::instance::Instance;
use super::sockets::SocketKey;

/// Every instance, and where it stands in two indexes that make the cost of an event independent of how many there are.
#[derive(Debug, Default)]
pub(super) struct Roster {
    instances: Vec<Instance>,
    names: BTreeMap<Name, usize>,
    interfaces: BTreeMap<String, Vec<usize>>,
    /// Which instance a packet is for.
    routers: BTreeMap<(SocketKey, Vrid), usize>,
    /// The deadlines, earliest first, and of each instance the one that stands there.
    deadlines: BTreeSet<(Instant, usize)>,
    noted: Vec<Option<Instant>>,
    /// Members of sync groups that something was done to.
    news: BTreeSet<Name>,
}

impl Roster {
    /// A roster of `instances`.
    pub(super) fn new(instances: Vec<Instance>) -> Self {
        let names = instances.iter().enumerate().map(|(at, one)| (one.name().clone(), at));
        let names = names.collect();
        let noted = vec![None; instances.len()];
        let mut interfaces: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (at, one) in instances.iter().enumerate() {
            interfaces.entry(one.interface_name().to_owned()).or_default().push(at);
        }
        let mut roster = Self { instances, names, interfaces, noted, ..Self::default() };
        // Each stands in the indexes then, and is news to its group.
        roster.each(|_| ());
        roster.find_sockets();
        roster
    }

    /// The instances, to make another roster of.
    pub(super) fn into_instances(self) -> Vec<Instance> {
        self.instances
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Instance> {
        self.instances.iter()
    }

    pub(super) fn get(&self, name: &Name) -> Option<&Instance> {
        self.instances.get(*self.names.get(name)?)
    }

    /// Lets `change` do something to every instance.
    pub(super) fn each(&mut self, mut change: impl FnMut(&mut Instance)) {
        for at in 0..self.instances.len() {
            self.at(at, &mut change);
        }
    }

    /// Lets `change` do something to every instance on the interface that is called so.
    pub(super) fn on(&mut self, interface: &str, mut change: impl FnMut(&mut Instance)) {
        for at in self.interfaces.get(interface).cloned().unwrap_or_default() {
            self.at(at, &mut change);
        }
    }

    /// The names of the interfaces that instances have for the one with this number.
    pub(super) fn on_index(&self, index: IfIndex) -> BTreeSet<String> {
        let there = self.iter().filter(|one| one.socket().is_some_and(|(on, _)| on == index));
        there.map(|one| one.interface_name().to_owned()).collect()
    }

    /// The interfaces that instances are on.
    pub(super) fn interfaces(&self) -> BTreeSet<String> {
        self.interfaces.keys().cloned().collect()
    }

    /// Lets `change` do something to the instance that is called so; none when there is no such.
    pub(super) fn with<T>(
        &mut self,
        name: &Name,
        change: impl FnOnce(&mut Instance) -> T,
    ) -> Option<T> {
        let at = *self.names.get(name)?;
        self.at(at, change)
    }

    /// Lets `change` do something to the instance that a packet is for; none when there is no such.
    pub(super) fn addressee<T>(
        &mut self,
        key: SocketKey,
        packet: &Identified<'_>,
        change: impl FnOnce(&mut Instance) -> T,
    ) -> Option<T> {
        let at = *self.routers.get(&(key, packet.vrid()?))?;
        self.at(at, change)
    }

    /// Lets `change` do something to the instance of this socket that brings `address`.
    pub(super) fn bringer(
        &mut self,
        key: SocketKey,
        address: IpAddr,
        change: impl FnOnce(&mut Instance),
    ) {
        let brings = |one: &Instance| one.socket() == Some(key) && one.brings(address);
        if let Some(at) = self.instances.iter().position(brings) {
            self.at(at, change);
        }
    }

    /// Lets `change` do something to every instance whose deadline has come.
    pub(super) fn due(&mut self, now: Instant, mut change: impl FnMut(&mut Instance)) {
        let due: Vec<usize> =
            self.deadlines.iter().take_while(|(at, _)| *at <= now).map(|(_, at)| *at).collect();
        for at in due {
            self.at(at, &mut change);
        }
    }

    /// The next member of a sync group that something was done to.
    pub(super) fn pop_news(&mut self) -> Option<Name> {
        self.news.pop_first()
    }

    /// Takes note that what is new of a member is known.
    pub(super) fn take_news(&mut self, name: &Name) {
        self.news.remove(name);
    }

    /// The earliest deadline.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Takes note of where the instances are after interfaces have changed.
    pub(super) fn find_sockets(&mut self) {
        let places = self.instances.iter().enumerate();
        self.routers =
            places.filter_map(|(at, one)| Some(((one.socket()?, one.vrid()), at))).collect();
    }

    fn at<T>(&mut self, at: usize, change: impl FnOnce(&mut Instance) -> T) -> Option<T> {
        let instance = self.instances.get_mut(at)?;
        let answer = change(instance);
        if instance.group_name().is_some() {
            self.news.insert(instance.name().clone());
        }
        let (deadline, noted) = (instance.deadline(), self.noted.get_mut(at)?);
        if *noted != deadline {
            if let Some(before) = std::mem::replace(noted, deadline) {
                self.deadlines.remove(&(before, at));
            }
            self.deadlines.extend(deadline.map(|deadline| (deadline, at)));
        }
        Some(answer)
    }
}
