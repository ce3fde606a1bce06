//! Unicast between daemons: who is heard and who is not, and peers behind a router. The network is [`holdfast_integration::pair`]'s,
//! and for the router [`holdfast_testkit::lab`]'s with two networks.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the failure, and says where")]

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use holdfast_integration::pair::{
    INSTANCES, LIMIT, Roles, counter, ensure_settled, lab, wait_active, wait_counted, wait_roles,
};
use holdfast_integration::watch::{Heard, Watch, longest_overlap};
use holdfast_integration::{Director, config};
use holdfast_testkit::lab::{Lab, Node, Topology, wait_until};
use socket2::{Domain, Socket, Type};
use vrrp::AddressFamily;

const INTERVAL: Duration = Duration::from_millis(300);

/// The link-local addresses that the directors' MAC addresses make (RFC 4291, appendix A).
const LB1: &str = "fe80::ff:fe77:11";
const LB2: &str = "fe80::ff:fe77:12";

/// The pair's configuration, each node's peer being the other one.
fn pair_config(lab: &Lab) -> String {
    let peers = |v4: &Node, v6: &str| (format!("{}", v4.ip4()), v6.to_owned());
    let (lb1, lb2) = (peers(lab.lb2(), LB2), peers(lab.lb1(), LB1));
    let roles = Roles { interval: "300ms", lb1: "priority: 150, LB1", lb2: "priority: 100, LB2" };
    let mut config = String::new();
    for line in roles.config().lines() {
        let (one, two) = if line.contains(" v4:") { (&lb1.0, &lb2.0) } else { (&lb1.1, &lb2.1) };
        let unicast = |peer: &str| format!("unicast: {{peers: ['{peer}']}}");
        config += &line.replace("LB1", &unicast(one)).replace("LB2", &unicast(two));
        config.push('\n');
    }
    config
}

/// A router of the same VRID and a rank above all, with addresses of its own; `keys` are its instances' in both families.
fn intruder(node: &Node, keys: [&str; 2]) -> Director {
    let [v4, v6] = keys;
    let common = "interface: eth0, vrid: 51, priority: 254, interval: 300ms";
    let instances = format!(
        "    v4: {{{common}, addresses: [203.0.113.1/32]{v4}}}\n    \
         v6: {{{common}, addresses: ['fe80::99/128', '2001:db8::1/128']{v6}}}\n"
    );
    Director::start(node, &config(&instances, "")).unwrap()
}

/// What both directors heard of each other, in order.
fn heard(watches: &[Watch]) -> Vec<Heard> {
    let mut heard: Vec<Heard> = watches.iter().flat_map(Watch::heard).collect();
    heard.sort_by_key(|one| one.at);
    heard
}

#[test]
fn peers_take_over_from_each_other_and_hear_nobody_else() {
    let lab = lab().unwrap();
    let config = pair_config(&lab);
    let listen = |family| [lab.lb1(), lab.lb2()].map(|node| Watch::start(node, family).unwrap());
    let watches = [listen(AddressFamily::Ipv4), listen(AddressFamily::Ipv6)];
    let mut lb1 = Director::start(lab.lb1(), &config).unwrap();
    let lb2 = Director::start(lab.lb2(), &config).unwrap();
    wait_roles(&lb1, &lb2).unwrap();
    ensure_settled(&lb1, &lb2).unwrap();

    // Without a word, and back; with a goodbye, and back.
    lb1.kill().unwrap();
    wait_active(&lb2).unwrap();
    lb1.restart().unwrap();
    wait_roles(&lb1, &lb2).unwrap();
    lb1.stop().unwrap();
    wait_active(&lb2).unwrap();
    for name in INSTANCES {
        assert_eq!(lb2.instance(name).unwrap().reason, "active_released", "{name}");
    }
    lb1.restart().unwrap();
    wait_roles(&lb1, &lb2).unwrap();
    for watches in &watches {
        let heard = heard(watches);
        let overlap = longest_overlap(&heard, INTERVAL);
        assert!(overlap <= INTERVAL, "both were active for {overlap:?}: {heard:#?}");
    }

    // Somebody else of a higher rank, by unicast to both and by multicast.
    let lists = |one: String, two: &str| format!(", unicast: {{peers: ['{one}', '{two}']}}");
    let v4 = lists(lab.lb1().ip4().to_string(), &lab.lb2().ip4().to_string());
    let v6 = lists(LB1.to_owned(), LB2);
    for keys in [[v4.as_str(), &v6], ["", ""]] {
        let mut stranger = intruder(lab.client(), keys);
        for director in [&lb1, &lb2] {
            wait_counted(director, "discarded_not_a_peer", 5).unwrap();
        }
        ensure_settled(&lb1, &lb2).unwrap();
        stranger.stop().unwrap();
    }
    for director in [&lb1, &lb2] {
        for name in INSTANCES {
            let peers = director.instance(name).unwrap().peers;
            assert_eq!(peers.len(), 1, "{name} believes in {peers:?}");
        }
        let log = director.process().log();
        assert!(log.contains("reason=\"not_a_peer\" source=10.77.0.1"), "{log}");
    }
}

/// ```text
///  client 10.77.0.1 ── lb1, which forwards ── 10.78.0.21 web1
/// ```
struct Routed {
    lab: Lab,
}

impl Routed {
    fn new() -> Self {
        let lab = Lab::with(Topology::nat().webs(1)).unwrap();
        let lb1 = lab.lb1();
        let (inner4, inner6) = (lb1.inner4().unwrap(), lb1.inner6().unwrap());
        for (node, network4, via4, network6, via6) in [
            (lab.client(), "10.78.0.0/24", lb1.ip4(), "fd00:78::/64", lb1.ip6()),
            (lab.web(1), "10.77.0.0/24", inner4, "fd00:77::/64", inner6),
        ] {
            node.sh(&format!(
                "ip route add {network4} via {via4}\nip route add {network6} via {via6}"
            ))
            .unwrap();
        }
        Self { lab }
    }

    fn peer(&self, node: &Node) -> [IpAddr; 2] {
        let web = self.lab.web(1);
        let other = if node.name() == "client" { web } else { self.lab.client() };
        [other.ip4().into(), other.ip6().into()]
    }

    /// A director whose peer is the other one, with this TTL.
    fn config(&self, node: &Node, priority: u8, ttl: &str) -> String {
        let [v4, v6] = self.peer(node);
        let instance = |name: &str, addresses: &str, peer: IpAddr| {
            format!(
                "    {name}: {{interface: eth0, vrid: 51, interval: 300ms, priority: {priority}, \
                 addresses: [{addresses}], unicast: {{peers: [{{address: '{peer}'{ttl}}}]}}}}\n"
            )
        };
        // No address of the two networks, whose routes they would change.
        let v4 = instance("v4", "203.0.113.1/32", v4);
        config(&(v4 + &instance("v6", "'fe80::99/128', '2001:db8::1/128'", v6)), "")
    }

    fn start(&self, node: &Node, priority: u8, ttl: &str) -> Director {
        Director::start(node, &self.config(node, priority, ttl)).unwrap()
    }
}

/// The fate channel's port of a director on `addresses` answers nobody on `node`, be it ever so near.
fn ensure_no_answer(node: &Node, addresses: [IpAddr; 2]) {
    for to in addresses.map(|address| SocketAddr::new(address, 112)) {
        let connected = node.enter(|| {
            let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
            match to {
                SocketAddr::V4(_) => socket.set_ttl_v4(255)?,
                SocketAddr::V6(_) => socket.set_unicast_hops_v6(255)?,
            }
            socket.connect_timeout(&to.into(), Duration::from_millis(500))
        });
        assert_eq!(connected.unwrap().unwrap_err().kind(), ErrorKind::TimedOut, "{to}");
    }
}

fn wait_both(director: &Director, state: &str) {
    for name in INSTANCES {
        director.wait_instance(name, state, LIMIT).unwrap();
    }
}

#[test]
fn a_peer_behind_a_router_is_heard_with_the_ttl_that_is_configured() {
    let routed = Routed::new();
    let (client, web) = (routed.lab.client(), routed.lab.web(1));
    let mut near = routed.start(client, 150, ", ttl: 254");
    wait_both(&near, "active");

    // By default a packet must prove that it has passed no router.
    for wrong in ["", ", ttl: 255", ", ttl: '1-253'"] {
        let mut strict = routed.start(web, 100, wrong);
        wait_counted(&strict, "discarded_hop_limit", 3).unwrap();
        wait_both(&strict, "active");
        for name in INSTANCES {
            assert_eq!(counter(&strict, name, "advertisements_received").unwrap(), 0);
            // The other one hears that it is not heard.
            wait_until(LIMIT, "two Actives to be noticed", || {
                near.instance(name).ok()?.dual_active
            })
            .unwrap();
        }
        let seen = || near.instance("v4").ok()?.dual_active;
        let dual = wait_until(LIMIT, "two Actives of v4", seen).unwrap();
        assert_eq!((dual.other, dual.other_priority), (web.ip4().into(), 100));
        assert_eq!(dual.own, Some(client.ip4().into()));
        strict.kill().unwrap();
        for name in INSTANCES {
            wait_until(LIMIT, "one Active again", || {
                near.instance(name).ok()?.dual_active.is_none().then_some(())
            })
            .unwrap();
        }
    }

    for right in [", ttl: 254", ", ttl: '250-255'"] {
        let mut far = routed.start(web, 100, right);
        wait_counted(&far, "advertisements_received", 10).unwrap();
        wait_both(&far, "backup");
        for (name, source) in INSTANCES.into_iter().zip(routed.peer(web)) {
            let instance = far.instance(name).unwrap();
            assert_eq!((instance.transitions, instance.active), (1, Some(source)), "{name}");
        }
        wait_until(LIMIT, "the fate channels", || {
            let log = far.process().log();
            (log.matches("the fate channel to the active node stands").count() >= 2).then_some(())
        })
        .unwrap();
        // The router is no peer of the one whose link it is on.
        ensure_no_answer(routed.lab.lb1(), routed.peer(web));
        near.kill().unwrap();
        wait_both(&far, "active");
        for name in INSTANCES {
            assert_eq!(far.instance(name).unwrap().reason, "active_died", "{name}");
        }
        near.restart().unwrap();
        wait_both(&near, "active");
        wait_both(&far, "backup");
        far.stop().unwrap();
    }
}
