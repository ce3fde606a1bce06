//! The interfaces of virtual MAC addresses (RFC 9568 §7.3), and the sysctls that they need.
//!
//! Each is a macvlan that is made when the interface below it is there, up while the node is the Active, and removed at the end. What a
//! killed daemon has left is removed at the start. Nothing of it is ever seen from a Backup: an interface that is down sends nothing,
//! and its MAC address is in no filter.
//!
//! The interface below has to leave ARP for the virtual addresses alone: it answers for its own addresses only (arp_ignore), and asks
//! with none but its own (arp_announce), for a request that carries a virtual address and the physical MAC address moves the
//! address in every neighbour's table. IPv6 needs neither.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use holdfast_config as config;
use holdfast_control::chain;
use holdfast_net::{
    Device, IfIndex, Interface, Inventory, MacAddress, Macvlan, MacvlanError, Macvlans, Sysctl,
    SysctlError, Sysctls,
};
use ipnet::IpNet;

use super::kernel::told;

/// Metric of the routes to the virtual addresses' networks: the interface below is preferred where it has one (0 and 256).
pub(super) const METRIC: u32 = 4096;

/// The interface of an instance's virtual MAC address, as it is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seat {
    pub(super) name: String,
    pub(super) mac: MacAddress,
    pub(super) below: String,
    ipv4: bool,
    ipv6: bool,
}

impl Seat {
    /// That of the instance of `config`; none when it uses none.
    pub(super) fn of(config: &config::Instance) -> Option<Self> {
        let virtual_mac = config.virtual_mac.as_ref()?;
        let has = |of: fn(&IpNet) -> bool| config.held().any(|address| of(&address.net));
        Some(Self {
            name: virtual_mac.name.clone(),
            mac: MacAddress::new(config.vrid.mac(config.family)),
            below: config.interface.clone(),
            ipv4: has(|net| matches!(net, IpNet::V4(_))),
            ipv6: has(|net| matches!(net, IpNet::V6(_))),
        })
    }

    /// What the interface below needs, and what for each at least.
    fn below(&self) -> Vec<(Sysctl, i64)> {
        let sysctl = |name| Sysctl::ipv4(&self.below, name);
        match self.ipv4 {
            // 1: only for addresses of the interface that is asked. 2: always the best address of the interface that asks.
            true => vec![(sysctl("arp_ignore"), 1), (sysctl("arp_announce"), 2)],
            false => Vec::new(),
        }
    }

    /// What the interface itself needs; it has it for as long as it exists.
    fn own(&self) -> Vec<(Sysctl, i64)> {
        let (v4, v6) =
            (|name| Sysctl::ipv4(&self.name, name), |name| Sysctl::ipv6(&self.name, name));
        let mut all = vec![
            (v4("arp_ignore"), 1),
            // Answers leave by the interface below, which is the way back for this filter. 2 also holds where `all` says 1.
            (v4("rp_filter"), 2),
            (v4("promote_secondaries"), 1),
            // No link-local address of its own, no router's advice, no detection of duplicates.
            (v6("addr_gen_mode"), 1),
            (v6("accept_ra"), 0),
            (v6("autoconf"), 0),
            (v6("accept_dad"), 0),
        ];
        if self.ipv6 {
            // The kernel's answers have the R flag (RFC 9568 §6.4.3, 8.2.2). It forwards no packet by this alone.
            all.push((v6("forwarding"), 1));
        } else {
            all.push((v6("disable_ipv6"), 1));
        }
        all
    }
}

/// Why an interface is not as it should be.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) enum SeatError {
    /// The interface.
    Macvlan(#[from] MacvlanError),
    /// A sysctl.
    Sysctl(#[from] SysctlError),
}

/// The interfaces that were made, by their names. Dropping it removes them, and gives the sysctls back.
#[derive(Debug)]
pub(super) struct Seats {
    macvlans: Macvlans,
    sysctls: Sysctls,
    /// That what sysctls were is not written down was said.
    said: bool,
    made: BTreeMap<String, Macvlan>,
}

impl Seats {
    /// Removes what an earlier run has left: interfaces, and sysctls that none of `seats` needs any more. An interface of one that is
    /// inherited, as is said beside it, stays. `state` is the directory that remembers what sysctls were.
    ///
    /// # Errors
    /// No netlink socket can be had. What could not be removed, or read, is logged.
    pub(super) fn open(seats: &[(Seat, bool)], state: &Path) -> Result<Self, SeatError> {
        let (mut macvlans, mut sysctls) = (Macvlans::open()?, Sysctls::open(state, "sysctls")?);
        if let Some(error) = sysctls.lost() {
            let why = chain(error);
            tracing::error!(why, "what sysctls were is not known: they are not given back");
        }
        let mut made = BTreeMap::new();
        for left in macvlans.list()? {
            let is_its = |seat: &Seat| seat.name == left.interface.name && seat.mac == left.mac;
            if seats.iter().any(|(seat, inherited)| *inherited && is_its(seat)) {
                made.insert(left.interface.name.clone(), left);
                continue;
            }
            tracing::info!(interface = %left.interface, "the interface of a virtual MAC address that an earlier run has left is removed");
            log(macvlans.delete(&left.interface).map_err(SeatError::from));
        }
        let needed = seats.iter().flat_map(|(seat, _)| seat.below());
        let needed = needed.map(|(sysctl, _)| sysctl).collect();
        for error in sysctls.keep_only(&needed) {
            log(Err(error.into()));
        }
        let mut seats = Self { macvlans, sysctls, said: false, made };
        seats.say_unkept();
        Ok(seats)
    }

    /// Removes the interfaces that are none of `seats`, and gives back sysctls that none of them needs. What is refused is logged.
    pub(super) fn keep_only<'a>(&mut self, seats: impl Iterator<Item = &'a Seat>) {
        let (mut names, mut needed) = (BTreeSet::new(), BTreeSet::new());
        for seat in seats {
            names.insert(seat.name.clone());
            needed.extend(seat.below().into_iter().map(|(sysctl, _)| sysctl));
        }
        let gone: Vec<String> =
            self.made.keys().filter(|name| !names.contains(*name)).cloned().collect();
        for made in gone.iter().filter_map(|name| self.made.remove(name)).collect::<Vec<_>>() {
            log(self.macvlans.delete(&made.interface).map_err(SeatError::from));
        }
        for error in self.sysctls.keep_only(&needed) {
            log(Err(error.into()));
        }
    }

    /// Says once that what sysctls were is not written down, until it is.
    fn say_unkept(&mut self) {
        let unkept = self.sysctls.unkept();
        if let Some(error) = unkept.filter(|_| !self.said) {
            let why = chain(error);
            tracing::error!(
                why,
                "what sysctls were can't be written down: a daemon that is killed does not give them back"
            );
        }
        self.said = unkept.is_some();
    }

    /// Sees to it that the interface of `seat` is there, if the one below it, `below`, is, and up if it is `held`. What is there now has
    /// to be added to what is known of the host.
    ///
    /// # Errors
    /// Something was refused; the next call tries again.
    pub(super) fn prepare(
        &mut self,
        seat: &Seat,
        below: Option<&Interface>,
        held: bool,
        host: &Inventory,
    ) -> Result<Option<Device>, SeatError> {
        let Some(below) = below else {
            self.made.remove(&seat.name);
            return Ok(None);
        };
        for (sysctl, least) in seat.below() {
            self.sysctls.raise(&sysctl, least)?;
        }
        self.say_unkept();
        let is_there = |index: IfIndex| host.device_by_index(index);
        let known = self.made.get(&seat.name).filter(|made| {
            let same = |device: &Device| {
                device.interface.name == seat.name && device.mac == Some(seat.mac)
            };
            made.parent == Some(below.index) && is_there(made.interface.index).is_some_and(same)
        });
        let macvlan = match known {
            Some(known) => known.clone(),
            None => self.make(seat, below)?,
        };
        let is_up = macvlan.up && is_there(macvlan.interface.index).is_some_and(|one| one.up);
        if held && !is_up {
            self.macvlans.set_up(&macvlan.interface, true)?;
            self.made.insert(seat.name.clone(), Macvlan { up: true, ..macvlan.clone() });
        }
        let is_known = is_there(macvlan.interface.index).is_some_and(|one| one.up || !held);
        let device =
            || Device { interface: macvlan.interface.clone(), mac: Some(macvlan.mac), up: held };
        Ok((!is_known).then(device))
    }

    /// Makes the interface anew, down, with the sysctls that it needs.
    fn make(&mut self, seat: &Seat, below: &Interface) -> Result<Macvlan, SeatError> {
        // One that somebody has renamed or given another MAC address is in the way.
        let made = self.made.remove(&seat.name).map(|made| made.interface.index);
        let lefts = self.macvlans.list()?.into_iter();
        for left in
            lefts.filter(|one| one.interface.name == seat.name || Some(one.interface.index) == made)
        {
            self.macvlans.delete(&left.interface)?;
        }
        let macvlan = self.macvlans.create(&seat.name, below, seat.mac)?;
        for (sysctl, value) in seat.own() {
            // A kernel without IPv6 has none of its sysctls.
            match sysctl.write(value) {
                Err(SysctlError::Write { source, .. })
                    if source.kind() == std::io::ErrorKind::NotFound && !seat.ipv6 => {}
                written => written?,
            }
        }
        if seat.ipv4 {
            // A new interface has what is the default; whether this host forwards is said of the interface below, or of all.
            let forwards = Sysctl::ipv4(&seat.below, "forwarding").read()?;
            Sysctl::ipv4(&seat.name, "forwarding").write(forwards)?;
        }
        self.made.insert(seat.name.clone(), macvlan.clone());
        Ok(macvlan)
    }

    /// Sets the interface of `seat` down: its addresses are gone.
    ///
    /// # Errors
    /// It was refused.
    pub(super) fn rest(&mut self, seat: &Seat, host: &Inventory) -> Result<(), SeatError> {
        let Some(made) = self.made.get_mut(&seat.name) else { return Ok(()) };
        let is_up = host.device_by_index(made.interface.index).is_some_and(|one| one.up);
        if made.up || is_up {
            made.up = false;
            self.macvlans.set_up(&made.interface, false)?;
        }
        Ok(())
    }
}

impl Drop for Seats {
    fn drop(&mut self) {
        for made in self.made.values() {
            log(self.macvlans.delete(&made.interface).map_err(SeatError::from));
        }
        for error in self.sysctls.keep_only(&BTreeSet::new()) {
            log(Err(error.into()));
        }
    }
}

fn log(result: Result<(), SeatError>) {
    if let Err(error) = result.map_err(|error| told(&error)) {
        tracing::error!(error, "something of a virtual MAC address was left behind");
    }
}
