//! What both programs of a pair are told, and what is heard and seen of them.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use holdfast_control::Instance;
use holdfast_integration::pair::{LIMIT, VIPS, believed_mac, wait_believed_at};
use holdfast_integration::probes::look_for;
use holdfast_integration::watch::{Heard, Watch, longest_overlap};
use holdfast_integration::{Director, config};
use holdfast_testkit::lab::{Keepalived, Lab, Node, VIP4, VIP6, wait_until};
use vrrp::AddressFamily;

/// Version 2's password.
pub(crate) const PASSWORD: &str = "s3cr3t-7";

/// The virtual MAC addresses of VRID 51 (RFC 9568 §7.3), in the order of the virtual addresses.
const VIRTUAL_MACS: [&str; 2] = ["00:00:5e:00:01:33", "00:00:5e:00:02:33"];

/// Other groups than VRRP's.
const GROUP4: &str = "224.0.0.77";
const GROUP6: &str = "ff02::77";

/// A protocol version and what is configured in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Speech {
    pub(crate) version: u8,
    pub(crate) interval: Duration,
    pub(crate) vips: &'static [IpAddr],
    pub(crate) preempt: bool,
    pub(crate) dialect: Dialect,
}

/// What is configured besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Nothing.
    Plain,
    /// Passwords: ours and theirs.
    Passwords(&'static str, &'static str),
    /// Other groups.
    Groups,
    /// Unicast; over IPv6 between link-local addresses.
    Unicast,
    /// Unicast; over IPv6 between global addresses.
    UnicastGlobal,
    /// Unicast with one password on both sides.
    UnicastPassword,
    /// Unicast over IPv4, with the checksum that keepalived had up to 1.3.6.
    OldUnicast,
    /// Unicast with the hop limit that keepalived's host has by default, and what ours takes.
    UsualHopLimit(&'static str),
    /// So many lost advertisements make the Active count as dead.
    DownAdverts(u8),
    /// Ours sends checksums of this form.
    Checksum(&'static str),
    /// Virtual MAC addresses on both sides.
    VirtualMac,
}

impl Dialect {
    /// Whether what goes to a peer, only that peer hears.
    const fn is_unicast(self) -> bool {
        matches!(
            self,
            Self::Unicast | Self::UnicastGlobal | Self::UnicastPassword | Self::OldUnicast
        )
    }
}

pub(crate) const VERSION_3: Speech = Speech {
    version: 3,
    interval: Duration::from_millis(200),
    vips: &VIPS,
    preempt: true,
    dialect: Dialect::Plain,
};

pub(crate) const VERSION_2: Speech = Speech {
    version: 2,
    interval: Duration::from_secs(1),
    vips: &[IpAddr::V4(VIP4)],
    preempt: true,
    dialect: Dialect::Plain,
};

/// The link-local address that the node's MAC address makes (RFC 4291, appendix A).
pub(crate) fn link_local(node: &Node) -> Ipv6Addr {
    let octet = |text: &str| u16::from_str_radix(text, 16).unwrap();
    let mac: Vec<u16> = node.mac().split(':').map(octet).collect();
    let [a, b, c, d, e, f] = mac.try_into().unwrap();
    let pair = |high: u16, low: u16| high << 8 | low;
    Ipv6Addr::new(0xfe80, 0, 0, 0, pair(a ^ 2, b), pair(c, 0xff), pair(0xfe, d), pair(e, f))
}

/// The director that `node` is not.
pub(crate) fn other<'a>(lab: &'a Lab, node: &Node) -> &'a Node {
    if node.name() == "lb1" { lab.lb2() } else { lab.lb1() }
}

impl Speech {
    pub(crate) const fn with(self, dialect: Dialect) -> Self {
        Self { dialect, ..self }
    }

    /// Instances by name, family and addresses; IPv6 needs the link-local one first.
    pub(crate) fn instances(
        &self,
    ) -> impl Iterator<Item = (&'static str, AddressFamily, Vec<String>)> {
        self.vips.iter().map(|vip| match vip {
            IpAddr::V4(_) => ("v4", AddressFamily::Ipv4, vec![format!("{VIP4}/24")]),
            IpAddr::V6(_) => {
                ("v6", AddressFamily::Ipv6, vec!["fe80::33/64".to_owned(), format!("{VIP6}/64")])
            }
        })
    }

    /// The address that `node` speaks from.
    pub(crate) fn source(&self, node: &Node, family: AddressFamily) -> IpAddr {
        match family {
            AddressFamily::Ipv4 => node.ip4().into(),
            AddressFamily::Ipv6 if self.dialect == Dialect::UnicastGlobal => node.ip6().into(),
            AddressFamily::Ipv6 => link_local(node).into(),
        }
    }

    /// Starts ours on `node`.
    pub(crate) fn holdfast(&self, lab: &Lab, node: &Node, priority: u8) -> Director {
        let Self { version, interval, preempt, .. } = self;
        let instance = |(name, family, addresses): (&str, _, Vec<String>)| {
            let addresses = addresses.join("', '");
            format!(
                "    {name}: {{interface: eth0, vrid: 51, version: {version}, interval: {}ms, \
                 priority: {priority}, preempt: {preempt}, addresses: ['{addresses}']{}}}\n",
                interval.as_millis(),
                self.our_keys(lab, node, family)
            )
        };
        let instances: String = self.instances().map(instance).collect();
        let http = "daemon: {http: {listen: '127.0.0.1:9112'}}\n";
        Director::start(node, &(http.to_owned() + &config(&instances, ""))).unwrap()
    }

    fn our_keys(&self, lab: &Lab, node: &Node, family: AddressFamily) -> String {
        let peer = self.source(other(lab, node), family);
        match (self.dialect, family) {
            (Dialect::Plain, _) => String::new(),
            (Dialect::Passwords(ours, _), _) => {
                format!(", authentication: {{password: '{ours}'}}")
            }
            (Dialect::Groups, AddressFamily::Ipv4) => format!(", multicast_group: '{GROUP4}'"),
            (Dialect::Groups, AddressFamily::Ipv6) => format!(", multicast_group: '{GROUP6}'"),
            (Dialect::Unicast | Dialect::UnicastGlobal | Dialect::OldUnicast, _) => {
                format!(", unicast: {{peers: ['{peer}']}}")
            }
            (Dialect::UnicastPassword, _) => format!(
                ", unicast: {{peers: ['{peer}']}}, authentication: {{password: '{PASSWORD}'}}"
            ),
            (Dialect::UsualHopLimit(ttl), _) => {
                format!(", unicast: {{peers: [{{address: '{peer}', ttl: {ttl}}}]}}")
            }
            (Dialect::DownAdverts(number), _) => format!(", down_adverts: {number}"),
            (Dialect::Checksum(form), _) => format!(", checksum: {form}"),
            (Dialect::VirtualMac, _) => ", virtual_mac: true".to_owned(),
        }
    }

    /// Starts keepalived on `node`.
    pub(crate) fn keepalived(&self, lab: &Lab, node: &Node, priority: u8) -> Keepalived {
        let Self { version, interval, preempt, .. } = self;
        let nopreempt = if *preempt { "" } else { "    nopreempt\n" };
        let instance = |(name, family, addresses): (&str, _, Vec<String>)| {
            let addresses = addresses.join("\n        ");
            format!(
                "vrrp_instance {name} {{\n    state BACKUP\n{nopreempt}    interface eth0\n    \
                 virtual_router_id 51\n    priority {priority}\n    advert_int {}.{}\n{}    \
                 virtual_ipaddress {{\n        {addresses}\n    }}\n}}\n",
                interval.as_secs(),
                interval.subsec_millis() / 100,
                self.their_keys(lab, node, family)
            )
        };
        let instances: String = self.instances().map(instance).collect();
        // On a busy machine as punctual as ours. By default the kernel kills a keepalived with that priority after 10 ms without a pause.
        let config = format!(
            "global_defs {{\n    vrrp_version {version}\n    vrrp_rt_priority 2\n    \
             vrrp_rlimit_rttime 10000000\n}}\n{instances}"
        );
        Keepalived::start(node, &config).unwrap()
    }

    fn their_keys(&self, lab: &Lab, node: &Node, family: AddressFamily) -> String {
        let (own, peer) = (self.source(node, family), self.source(other(lab, node), family));
        match (self.dialect, family) {
            (Dialect::Plain | Dialect::Checksum(_), _) => String::new(),
            (Dialect::Passwords(_, theirs), _) => format!(
                "    authentication {{\n        auth_type PASS\n        auth_pass {theirs}\n    }}\n"
            ),
            (Dialect::Groups, AddressFamily::Ipv4) => format!("    mcast_dst_ip {GROUP4}\n"),
            (Dialect::Groups, AddressFamily::Ipv6) => format!("    mcast_dst_ip {GROUP6}\n"),
            // Over IPv6 keepalived sends to peers with the host's usual hop limit, 64, unless told otherwise.
            (Dialect::Unicast | Dialect::UnicastGlobal, _) => format!(
                "    unicast_src_ip {own}\n    unicast_ttl 255\n    unicast_peer {{\n        {peer}\n    }}\n"
            ),
            (Dialect::UnicastPassword, _) => format!(
                "    unicast_src_ip {own}\n    unicast_peer {{\n        {peer}\n    }}\n    \
                 authentication {{\n        auth_type PASS\n        auth_pass {PASSWORD}\n    }}\n"
            ),
            (Dialect::OldUnicast, _) => format!(
                "    unicast_src_ip {own}\n    unicast_peer {{\n        {peer}\n    }}\n    old_unicast_checksum\n"
            ),
            (Dialect::UsualHopLimit(_), _) => {
                format!("    unicast_src_ip {own}\n    unicast_peer {{\n        {peer}\n    }}\n")
            }
            (Dialect::DownAdverts(number), _) => format!("    down_timer_adverts {number}\n"),
            (Dialect::VirtualMac, _) => "    use_vmac\n".to_owned(),
        }
    }

    pub(crate) fn holds_all(&self, node: &Node) -> bool {
        self.vips.iter().all(|vip| node.has_address(*vip).unwrap())
    }

    pub(crate) fn holds_none(&self, node: &Node) -> bool {
        !self.vips.iter().any(|vip| node.has_address(*vip).unwrap())
    }

    /// Waits until `to` has the addresses and the client knows it. With `alone` nobody else has them then.
    pub(crate) fn wait_moved(&self, lab: &Lab, to: &Node, alone: bool) {
        let other = other(lab, to);
        wait_until(LIMIT, &format!("the addresses to be on {}", to.name()), || {
            (self.holds_all(to) && (!alone || self.holds_none(other))).then_some(())
        })
        .unwrap();
        // The client asks for each address once, so that it has an entry that announcements change.
        for vip in self.vips {
            look_for(lab.client(), *vip).unwrap();
        }
        if self.dialect == Dialect::VirtualMac {
            self.wait_switched(lab, to);
        } else {
            wait_believed_at(lab.client(), to, self.vips).unwrap();
        }
    }

    /// Waits until the client believes the addresses to be at the virtual MAC addresses, and the switch these on `to`'s port.
    fn wait_switched(&self, lab: &Lab, to: &Node) {
        for (vip, mac) in self.vips.iter().zip(VIRTUAL_MACS) {
            wait_until(LIMIT, &format!("{vip} to be at {mac}"), || {
                let believed = believed_mac(lab.client(), *vip).ok()??;
                (believed == mac).then_some(())
            })
            .unwrap();
            wait_until(LIMIT, &format!("{mac} to be on the port of {}", to.name()), || {
                (lab.port_of(mac).ok()?.as_deref() == Some(to.name())).then_some(())
            })
            .unwrap();
        }
    }

    pub(crate) fn wait_state(&self, ours: &Director, state: &str) {
        for (name, _, _) in self.instances() {
            ours.wait_instance(name, state, LIMIT).unwrap();
        }
    }

    /// Each of ours, by what its family is.
    pub(crate) fn ours<'a>(
        &'a self,
        ours: &'a Director,
    ) -> impl Iterator<Item = (AddressFamily, Instance)> + 'a {
        self.instances().map(|(name, family, _)| (family, ours.instance(name).unwrap()))
    }

    /// Listens to all that is said from now on.
    pub(crate) fn listen(&self, lab: &Lab) -> Vec<Ear> {
        let ear = |family| Ear {
            watches: match (self.dialect, family) {
                (dialect, _) if dialect.is_unicast() => {
                    let start = |node: &Node| Watch::start(node, family).unwrap();
                    vec![start(lab.lb1()), start(lab.lb2())]
                }
                (Dialect::Groups, AddressFamily::Ipv4) => {
                    vec![Watch::start_in(lab.client(), family, GROUP4.parse().ok()).unwrap()]
                }
                (Dialect::Groups, AddressFamily::Ipv6) => {
                    vec![Watch::start_in(lab.client(), family, GROUP6.parse().ok()).unwrap()]
                }
                _ => vec![Watch::start(lab.client(), family).unwrap()],
            },
        };
        self.instances().map(|(_, family, _)| ear(family)).collect()
    }

    /// Nobody claimed the addresses beside somebody else for longer than one interval, and both did at times.
    pub(crate) fn never_both(&self, ears: &[Ear]) {
        for ear in ears {
            let heard = ear.heard();
            let mut sources: Vec<IpAddr> = heard.iter().map(|one| one.source).collect();
            sources.sort();
            sources.dedup();
            assert_eq!(sources.len(), 2, "{sources:?}");
            let overlap = longest_overlap(&heard, self.interval);
            assert!(overlap <= self.interval, "both were active for {overlap:?}: {heard:#?}");
        }
    }
}

/// What listens to one family.
#[derive(Debug)]
pub(crate) struct Ear {
    watches: Vec<Watch>,
}

impl Ear {
    /// All that was heard until now, in order.
    pub(crate) fn heard(&self) -> Vec<Heard> {
        let mut heard: Vec<Heard> = self.watches.iter().flat_map(Watch::heard).collect();
        heard.sort_by_key(|one| one.at);
        heard
    }

    /// What was heard of `node`.
    pub(crate) fn heard_of(&self, node: &Node) -> Vec<Heard> {
        self.heard().into_iter().filter(|one| is_of(one.source, node)).collect()
    }
}

/// Whether an advertisement's source is an address of this node: its IPv4 one, its IPv6 one, or the link-local one.
pub(crate) fn is_of(source: IpAddr, node: &Node) -> bool {
    match source {
        IpAddr::V4(v4) => v4 == node.ip4(),
        IpAddr::V6(v6) => v6 == node.ip6() || v6 == link_local(node),
    }
}

/// Waits until `node` has advertised six times more: longer than any takeover would have taken, which is four.
pub(crate) fn wait_advertised(ears: &[Ear], node: &Node) {
    for ear in ears {
        let goal = ear.heard_of(node).len() + 6;
        wait_until(LIMIT, &format!("advertisements of {}", node.name()), || {
            (ear.heard_of(node).len() >= goal).then_some(())
        })
        .unwrap();
    }
}

/// Nothing was heard of this node.
pub(crate) fn never_claimed(ears: &[Ear], node: &Node) {
    for ear in ears {
        let claims = ear.heard_of(node);
        assert_eq!(claims, [], "{} is backup and advertises", node.name());
    }
}

/// This node has said goodbye on each ear.
pub(crate) fn released(ears: &[Ear], node: &Node) -> bool {
    ears.iter().all(|ear| ear.heard_of(node).iter().any(|one| one.priority == 0))
}
