//! Nodes with a sync group each, on one virtual LAN for every member: machines, group and succession driven as a thread has to
//! drive them, with real bytes on links that can be cut. Nothing here reads a clock: a seed gives the same run.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use holdfast_config::Name;
use holdfast_engine::vrrp::{Member, Order, Succession, SyncGroup};
use holdfast_testkit::lan::Random;
use holdfast_time::Instant;
use vrrp::receive::{self, Datagram};
use vrrp::wire::HOP_LIMIT;
use vrrp::{
    Action, AddressList, Event, Params, Priority, Status, Timer, Version, VirtualRouter, Vrid,
};

/// How long a frame takes.
pub(crate) const DELAY: Duration = Duration::from_micros(50);

/// The name written as `text`.
pub(crate) fn name(text: &str) -> Name {
    text.to_owned().try_into().unwrap()
}

/// A member on one node.
#[derive(Debug)]
pub(crate) struct Station {
    pub(crate) name: Name,
    pub(crate) router: VirtualRouter,
    pub(crate) fault: Option<String>,
    pub(crate) became_active: u32,
    succession: Succession,
    address: IpAddr,
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) group: SyncGroup,
    pub(crate) stations: Vec<Station>,
    pub(crate) alive: bool,
}

/// A member's place: its node and its LAN, both counted from 0.
pub(crate) type Place = (usize, usize);

/// The nodes, and what is between them.
#[derive(Debug)]
pub(crate) struct Lans {
    pub(crate) now: Instant,
    pub(crate) nodes: Vec<Node>,
    frames: BTreeMap<(Instant, u64), (Place, IpAddr, Vec<u8>)>,
    next_frame: u64,
    /// Who is told that the daemon at an address has died.
    deaths: BTreeMap<(Instant, u64), (Place, IpAddr)>,
    /// LAN, from, to.
    cut: BTreeSet<(usize, usize, usize)>,
    random: Random,
    /// How many of a thousand frames are lost.
    pub(crate) loss_per_mille: u16,
    /// Since when two connected nodes are Active on the same LAN, and the longest such time.
    both: Option<Instant>,
    pub(crate) longest_overlap: Duration,
}

/// The parameters of the member on a LAN: the first LAN has IPv4, the second IPv6 and so on.
pub(crate) fn params(lan: usize, priority: u8, preempt: bool) -> Params {
    let address = if lan.is_multiple_of(2) { "192.0.2.1" } else { "fe80::1" };
    let vrid = Vrid::new(u8::try_from(lan + 1).unwrap()).unwrap();
    let list = AddressList::new(vec![address.parse().unwrap()]).unwrap();
    Params::new(Version::V3, vrid, list)
        .unwrap()
        .with_priority(Priority::new(priority))
        .unwrap()
        .with_preempt_mode(preempt)
}

impl Lans {
    /// Nodes whose members have these priorities, one for each LAN. All start at once; `seed` makes the nodes' salts.
    pub(crate) fn new(seed: u64, priorities: &[&[u8]], preempt: bool) -> Self {
        let mut lans = Self {
            now: Instant::ZERO,
            nodes: Vec::new(),
            frames: BTreeMap::new(),
            next_frame: 0,
            deaths: BTreeMap::new(),
            cut: BTreeSet::new(),
            random: Random::new(seed),
            loss_per_mille: 0,
            both: None,
            longest_overlap: Duration::ZERO,
        };
        for (number, priorities) in priorities.iter().enumerate() {
            let station = |(lan, &priority): (usize, &u8)| {
                let host = u8::try_from(number + 11).unwrap();
                let address = if lan.is_multiple_of(2) {
                    IpAddr::from([192, 0, 2, host])
                } else {
                    IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, u16::from(host)])
                };
                Station {
                    name: name(&format!("m{lan}")),
                    router: VirtualRouter::new(lans.now, params(lan, priority, preempt)),
                    fault: None,
                    became_active: 0,
                    succession: Succession::default(),
                    address,
                }
            };
            let stations: Vec<Station> = priorities.iter().enumerate().map(station).collect();
            let members = stations.iter().map(|station| station.name.clone());
            let salt = seed.wrapping_mul(31).wrapping_add(u64::try_from(number).unwrap());
            let group = SyncGroup::new(name("pair"), members, salt);
            lans.nodes.push(Node { group, stations, alive: false });
        }
        (0..lans.nodes.len()).for_each(|node| lans.boot(node));
        lans
    }

    /// A node starts, knowing nothing of an earlier life.
    pub(crate) fn boot(&mut self, node: usize) {
        let now = self.now;
        let Node { group, stations, alive } = &mut self.nodes[node];
        let members: Vec<Name> = group.members().cloned().collect();
        *group = SyncGroup::new(group.name().clone(), members, u64::try_from(node).unwrap());
        *alive = true;
        for station in stations.iter_mut() {
            station.router = VirtualRouter::new(now, station.router.params().clone());
            station.fault = None;
            station.succession.forget();
        }
        for lan in 0..self.nodes[node].stations.len() {
            let primary = self.nodes[node].stations[lan].address;
            self.give((node, lan), Event::InterfaceUp { primary });
            self.give((node, lan), Event::Startup);
        }
        self.attend(node);
    }

    /// A node dies without a word.
    pub(crate) fn crash(&mut self, node: usize) {
        self.nodes[node].alive = false;
        self.both = None;
    }

    /// A node's daemon dies as a whole. On each LAN those are told who hear it as their Active, each after a time of its own.
    pub(crate) fn die(&mut self, node: usize, within: Duration) {
        for lan in 0..self.nodes[node].stations.len() {
            for to in (0..self.nodes.len()).filter(|&to| to != node) {
                self.tell_of_death((to, lan), node, within);
            }
        }
        self.crash(node);
    }

    /// A member is told within so short a time that a node's daemon has died, whether that is true or not, if it has a channel there.
    pub(crate) fn tell_of_death(&mut self, (to, lan): Place, of: usize, within: Duration) {
        let address = self.nodes[of].stations[lan].address;
        let router = &self.nodes[to].stations[lan].router;
        let watches = router.status() == Status::Backup && router.active_address() == Some(address);
        let carries = !self.cut.contains(&(lan, of, to)) && !self.cut.contains(&(lan, to, of));
        if watches && carries && self.nodes[to].alive {
            let at = self.now + DELAY * 3 + self.random.duration(within);
            self.deaths.insert((at, self.next_frame), ((to, lan), address));
            self.next_frame += 1;
        }
    }

    /// Nothing goes from one node to another on a LAN any more.
    pub(crate) fn cut_one_way(&mut self, lan: usize, from: usize, to: usize) {
        self.cut.insert((lan, from, to));
        self.both = None;
    }

    /// Nothing goes between two nodes on a LAN any more, or it does again.
    pub(crate) fn cut(&mut self, lan: usize, one: usize, other: usize, cut: bool) {
        for way in [(lan, one, other), (lan, other, one)] {
            if cut {
                self.cut.insert(way)
            } else {
                self.cut.remove(&way)
            };
        }
        self.both = None;
    }

    pub(crate) fn heal(&mut self) {
        self.cut.clear();
        self.loss_per_mille = 0;
        self.both = None;
    }

    /// A member's interface goes down or comes up.
    pub(crate) fn link(&mut self, (node, lan): Place, up: bool) {
        let primary = self.nodes[node].stations[lan].address;
        let event = if up { Event::InterfaceUp { primary } } else { Event::InterfaceDown };
        self.give((node, lan), event);
        self.blame((node, lan), (!up).then_some("its interface is down"));
    }

    /// A tracker without a weight goes down or up.
    pub(crate) fn track(&mut self, (node, lan): Place, up: bool) {
        if !up {
            self.give((node, lan), Event::Shutdown);
        }
        self.blame((node, lan), (!up).then_some("tracker `haproxy`: no process"));
    }

    /// The group hears of a fault's end before the member goes on, which it does not while it is excluded.
    fn blame(&mut self, (node, lan): Place, fault: Option<&str>) {
        self.nodes[node].stations[lan].fault = fault.map(str::to_owned);
        self.attend(node);
        let member = &self.nodes[node].stations[lan].name;
        if fault.is_none() && self.nodes[node].group.excluded(member).is_none() {
            self.give((node, lan), Event::Startup);
            self.attend(node);
        }
    }

    /// Tracking changes the priority of all members of a node.
    pub(crate) fn handicap(&mut self, node: usize, priority: u8) {
        for lan in 0..self.nodes[node].stations.len() {
            let params = self.nodes[node].stations[lan].router.params().clone();
            let params = params.with_priority(Priority::new(priority)).unwrap();
            self.give((node, lan), Event::Reconfigure(params));
        }
        self.attend(node);
    }

    /// An operator has one member step down.
    pub(crate) fn release(&mut self, place: Place) {
        self.give(place, Event::StepDown);
        self.attend(place.0);
    }

    /// Lets so much time pass.
    pub(crate) fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(next) = self.next().filter(|&next| next <= end) {
            self.now = next.max(self.now);
            self.step();
        }
        self.now = end;
    }

    /// What the members of a node are.
    pub(crate) fn statuses(&self, node: usize) -> Vec<Status> {
        self.nodes[node].stations.iter().map(|station| station.router.status()).collect()
    }

    /// The node all of whose members are Active while nobody else's is any; none when it is otherwise.
    pub(crate) fn active(&self) -> Option<usize> {
        let alive = |node: &usize| self.nodes[*node].alive;
        let all = |node: &usize| self.statuses(*node).iter().all(|&one| one == Status::Active);
        let any = |node: usize| self.statuses(node).iter().any(|one| one.holds_addresses());
        let node = (0..self.nodes.len()).filter(alive).find(all)?;
        let others = (0..self.nodes.len()).filter(alive).filter(|&other| other != node);
        let mut others = others.filter(|&other| any(other));
        others.next().is_none().then_some(node)
    }

    /// How often members became Active, in all.
    pub(crate) fn takeovers(&self) -> u32 {
        let stations = self.nodes.iter().flat_map(|node| &node.stations);
        stations.map(|station| station.became_active).sum()
    }

    fn next(&self) -> Option<Instant> {
        let frames = self.frames.first_key_value().map(|(&(at, _), _)| at);
        let alive = || self.nodes.iter().filter(|node| node.alive);
        let groups = alive().filter_map(|node| node.group.poll_timeout());
        let stations = alive().flat_map(|node| &node.stations);
        let timers = stations.filter_map(|station| self.deadline(station));
        let deaths = self.deaths.first_key_value().map(|(&(at, _), _)| at);
        frames.into_iter().chain(deaths).chain(groups).chain(timers).min()
    }

    /// An expired Active_Down_Timer waits for the group, and nothing has to be done for it.
    fn deadline(&self, station: &Station) -> Option<Instant> {
        let due = match station.router.poll_timeout() {
            Some((at, Timer::ActiveDown)) => (at > self.now).then_some(at),
            other => other.map(|(at, _)| at),
        };
        let fallen = station.succession.poll_timeout().filter(|&at| at > self.now);
        [due, fallen].into_iter().flatten().min()
    }

    /// First everything arrives, then timers fire.
    fn step(&mut self) {
        while let Some(entry) = self.frames.first_entry().filter(|one| one.key().0 <= self.now) {
            let (place, source, payload) = entry.remove();
            if self.nodes[place.0].alive {
                self.receive(place, source, &payload);
                self.attend(place.0);
            }
        }
        while let Some(entry) = self.deaths.first_entry().filter(|one| one.key().0 <= self.now) {
            let (place, address) = entry.remove();
            if self.nodes[place.0].alive {
                self.give(place, Event::ActiveDied { address });
                self.attend(place.0);
            }
        }
        for node in 0..self.nodes.len() {
            if !self.nodes[node].alive {
                continue;
            }
            for lan in 0..self.nodes[node].stations.len() {
                let router = &mut self.nodes[node].stations[lan].router;
                let due = router.poll_timeout().filter(|(at, _)| *at <= self.now);
                if due.is_some_and(|(_, timer)| timer != Timer::ActiveDown) {
                    router.handle_timeout(self.now);
                    self.perform((node, lan));
                }
            }
            self.nodes[node].group.handle_timeout(self.now);
            self.attend(node);
        }
        self.check();
    }

    fn receive(&mut self, place: Place, source: IpAddr, payload: &[u8]) {
        let station = &mut self.nodes[place.0].stations[place.1];
        if station.router.primary().is_none() {
            return;
        }
        let destination = station.router.params().family().multicast_group();
        let datagram = Datagram { source, destination, hop_limit: Some(HOP_LIMIT), payload };
        let received = receive::identify(datagram)
            .and_then(|one| receive::check(&one, Some(station.router.expectation())))
            .unwrap();
        self.give(place, Event::Advertisement(received.advertisement));
        let station = &mut self.nodes[place.0].stations[place.1];
        station.succession.hear(self.now, received.advertisement, &station.router);
    }

    fn give(&mut self, (node, lan): Place, event: Event) {
        self.nodes[node].stations[lan].router.handle(self.now, event);
        self.perform((node, lan));
    }

    fn perform(&mut self, (node, lan): Place) {
        while let Some(action) = self.nodes[node].stations[lan].router.poll_action() {
            let station = &mut self.nodes[node].stations[lan];
            match action {
                Action::SendAdvertisement { priority } => {
                    let group = station.router.params().family().multicast_group();
                    let payload = station.router.encode(priority, station.address, group);
                    let source = station.address;
                    for to in (0..self.nodes.len()).filter(|&to| to != node) {
                        let lost = self.random.per_mille(self.loss_per_mille);
                        if !lost && !self.cut.contains(&(lan, node, to)) {
                            let key = (self.now + DELAY, self.next_frame);
                            self.next_frame += 1;
                            self.frames.insert(key, ((to, lan), source, payload.clone()));
                        }
                    }
                }
                Action::Report(transition) => {
                    station.became_active += u32::from(transition.to == Status::Active);
                }
                Action::InstallAddresses
                | Action::RemoveAddresses
                | Action::UpdateAddresses { .. }
                | Action::Announce
                | Action::Observe(_)
                | _ => {}
            }
        }
    }

    fn observe(&mut self, (node, lan): Place) {
        let now = self.now;
        let Node { group, stations, .. } = &mut self.nodes[node];
        let station = &stations[lan];
        let fallen = station.succession.is_due(now, station.router.priority());
        let member = Member::of(&station.router, station.fault.clone(), now).or_fallen(fallen);
        group.observe(now, &station.name, member);
    }

    /// Tells a node's group what its members are, and does what it says.
    fn attend(&mut self, node: usize) {
        for lan in 0..self.nodes[node].stations.len() {
            self.observe((node, lan));
        }
        for orders in 0.. {
            assert!(orders < 20, "a group never comes to an end: {:?}", self.nodes[node]);
            let Some(order) = self.nodes[node].group.poll_order() else { break };
            self.obey(node, order);
        }
        let stations = &self.nodes[node].stations;
        let active = stations.iter().any(|one| one.router.status() == Status::Active);
        let fault = stations.iter().any(|one| one.fault.is_some());
        assert!(!(active && fault), "one is Active and one has a fault: {:?}", self.nodes[node]);
    }

    fn obey(&mut self, node: usize, order: Order) {
        let (member, events) = match order {
            Order::TakeOver(member) => (member, vec![Event::TakeOver]),
            Order::StepDown(member) => (member, vec![Event::StepDown]),
            Order::LetGo(member) => {
                (member, vec![Event::Shutdown, Event::Shutdown, Event::Startup])
            }
            Order::Exclude(member, sentence) => {
                assert!(sentence.starts_with("sync group `pair`: instance `m"), "{sentence}");
                (member, vec![Event::Shutdown])
            }
            Order::Readmit(member) => (member, vec![Event::Startup]),
        };
        let stations = &self.nodes[node].stations;
        let lan = stations.iter().position(|station| station.name == member).unwrap();
        let faulty = stations[lan].fault.is_some();
        for event in events {
            if !(faulty && event == Event::Startup) {
                self.give((node, lan), event);
            }
        }
        self.observe((node, lan));
    }

    /// Counts for how long two nodes that hear each other are Active on the same LAN.
    fn check(&mut self) {
        let nodes: Vec<usize> = (0..self.nodes.len()).filter(|&n| self.nodes[n].alive).collect();
        let lans = self.nodes[0].stations.len();
        let is_active = |node: usize, lan: usize| {
            self.nodes[node].stations[lan].router.status() == Status::Active
        };
        let both = (0..lans).any(|lan| {
            nodes.iter().any(|&one| {
                nodes.iter().any(|&other| {
                    one < other
                        && is_active(one, lan)
                        && is_active(other, lan)
                        && !self.cut.contains(&(lan, one, other))
                        && !self.cut.contains(&(lan, other, one))
                })
            })
        });
        let since = both.then(|| self.both.unwrap_or(self.now));
        self.both = since;
        let overlap = since.map_or(Duration::ZERO, |since| self.now.saturating_since(since));
        self.longest_overlap = self.longest_overlap.max(overlap);
    }
}
