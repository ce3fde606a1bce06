//! What must be equal on all nodes, as a number for each thing: two nodes that exchange them see what differs without showing it.
//!
//! A service counts whole, its servers with it. Of a VRRP instance counts what its peers must have as well: virtual router, version,
//! interval, lost advertisements, addresses, way of speaking. What nodes differ in by their nature does not: interface, priority,
//! preemption, peers, tracking, hooks, and the password, of which no trace leaves the node.
//!
//! The numbers are made of how this version of the program holds a configuration: those of two versions can't be compared.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Debug, Write};

use crate::model::{Config, Group, Instance};

/// A number made of a text: FNV-1a of 64 bits. It is the same in every version, and proof against accidents, not against malice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest(u64);

impl Digest {
    /// That of the empty text.
    pub const EMPTY: Self = Self(0xcbf2_9ce4_8422_2325);

    /// That of the text with `bytes` behind it.
    #[must_use]
    pub fn with(self, bytes: &[u8]) -> Self {
        let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        Self(bytes.iter().fold(self.0, mix))
    }

    /// That of how `value` prints.
    pub fn of(value: &impl Debug) -> Self {
        let mut digest = Self::EMPTY;
        // A digest takes any text.
        let _infallible = write!(digest, "{value:?}");
        digest
    }
}

impl Write for Digest {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        *self = self.with(text.as_bytes());
        Ok(())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The digests of things by name.
pub type Digests = BTreeMap<String, Digest>;

/// One digest of many.
pub fn together(digests: &Digests) -> Digest {
    Digest::of(digests)
}

/// The services, each with its servers.
pub fn services(config: &Config) -> Digests {
    config.services.iter().map(|(name, service)| (name.to_string(), Digest::of(service))).collect()
}

/// VRRP: what the nodes must have alike of each instance and group.
pub fn vrrp(config: &Config) -> Digests {
    let instances = config.instances.values();
    let mut all: Digests =
        instances.map(|instance| (instance.name.to_string(), shared(instance))).collect();
    let members = |Group { instances, .. }: &Group| Digest::of(instances);
    let groups = config.vrrp.groups.values();
    all.extend(groups.map(|group| (format!("group {}", group.name), members(group))));
    all
}

fn shared(instance: &Instance) -> Digest {
    let Instance {
        vrid,
        interval,
        down_adverts,
        version,
        accept,
        family,
        multicast_group,
        unicast,
        virtual_mac,
        ..
    } = instance;
    // What is advertised, in its order, and what moves along, in any.
    let advertised: Vec<_> = instance.advertised().collect();
    let excluded: BTreeSet<_> = instance.excluded.iter().map(|one| one.net.addr()).collect();
    let speaks = (multicast_group, unicast.is_some(), virtual_mac.is_some());
    Digest::of(&(
        (vrid, family, version, interval),
        (down_adverts, accept),
        speaks,
        advertised,
        excluded,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Environment, parse};

    const TEXT: &str = "\
vrrp:
  instances:
    edge:
      interface: eth0
      vrid: 51
      priority: 150
      addresses: [192.0.2.10/24]
      per_node: {lb2: {priority: 100, interface: eth7}}
    six: {interface: eth0, vrid: 52, addresses: [\"fe80::52/64\", \"2001:db8::10/64\"]}
  groups: {both: {instances: [edge, six]}}
services:
  web:
    listen: tcp 192.0.2.10:80
    forward: nat
    check: {http: {path: /, headers: {X-Token: s3cret}}}
    real_servers: {web1: 10.0.0.11:80, web2: 10.0.0.12:80}
  dns: {listen: udp 192.0.2.10:53, forward: nat, real_servers: {ns1: 10.0.0.21:53}}
";

    fn of(text: &str, node: &str) -> (Digests, Digests) {
        let outcome = parse("f", text, &Environment::new(node));
        let config = outcome.config.as_ref().unwrap_or_else(|| panic!("{}", outcome.render(false)));
        (services(config), vrrp(config))
    }

    fn differing(one: &Digests, two: &Digests) -> Vec<String> {
        let names: BTreeSet<_> = one.keys().chain(two.keys()).collect();
        names.into_iter().filter(|name| one.get(*name) != two.get(*name)).cloned().collect()
    }

    #[test]
    fn two_nodes_with_one_file_are_equal_whatever_per_node_says() {
        assert_eq!(of(TEXT, "lb1"), of(TEXT, "lb2"));
        // Files of their own that say the same with other words.
        let words = "# lb2\n".to_owned()
            + &TEXT
                .replace("priority: 150", "priority: 90")
                .replace("web1: 10.0.0.11:80", "web1: {address: 10.0.0.11:80, weight: 1}");
        assert_eq!(of(TEXT, "lb1"), of(&words, "lb2"));
    }

    #[test]
    fn what_differs_is_known_by_its_name() {
        let was = of(TEXT, "lb1");
        for (from, to, services, vrrp) in [
            (
                "forward: nat\n    check",
                "forward: nat\n    scheduler: rr\n    check",
                &["web"][..],
                &[][..],
            ),
            ("10.0.0.12:80", "10.0.0.13:80", &["web"], &[]),
            ("s3cret", "other", &["web"], &[]),
            ("ns1: 10.0.0.21:53", "ns2: 10.0.0.21:53", &["dns"], &[]),
            ("  dns: {", "  dnz: {", &["dns", "dnz"], &[]),
            ("vrid: 51", "vrid: 53", &[], &["edge"]),
            ("192.0.2.10/24]", "192.0.2.10/24, 192.0.2.11/24]", &[], &["edge"]),
            ("2001:db8::10/64", "2001:db8::11/64", &[], &["six"]),
            ("vrid: 52,", "vrid: 52, interval: 250ms,", &[], &["six"]),
            ("  groups: {both: {instances: [edge, six]}}\n", "", &[], &["group both"]),
        ] {
            assert!(TEXT.contains(from), "{from}");
            let now = of(&TEXT.replace(from, to), "lb1");
            assert_eq!(differing(&was.0, &now.0), services, "{from} → {to}");
            assert_eq!(differing(&was.1, &now.1), vrrp, "{from} → {to}");
            assert_eq!(together(&was.0) == together(&now.0), services.is_empty());
            assert_eq!(together(&was.1) == together(&now.1), vrrp.is_empty());
        }
    }

    #[test]
    fn a_password_leaves_no_trace() {
        let with = |password: &str| {
            of(
                &TEXT.replace(
                    "      vrid: 51\n",
                    &format!("      vrid: 51\n      version: 2\n      authentication: {{password: {password}}}\n"),
                ),
                "lb1",
            )
        };
        assert_eq!(with("hunter2"), with("hunter3"));
    }
}
