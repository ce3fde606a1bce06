//! What the file says of VRRP is what the domain types say.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::time::Duration;

use holdfast_config::{
    Checksum, Config, Environment, HookEvent, ReachBy, RouteKind, Scope, TrackerKind, parse,
};

#[test]
fn the_scalars_of_an_instance_are_what_the_types_say() {
    let text = "
vrrp:
  instances:
    edge:
      interface: eth0
      vrid: 51
      version: 2
      down_adverts: 5
      checksum: rfc9568
      authentication: {password: secret}
      preempt_delay: 30s
      accept: false
      unicast:
        source: 192.0.2.1
        ttl: 254
        peers: [192.0.2.2, {address: 192.0.2.3, ttl: 254}, {address: 192.0.2.4, ttl: 253-255}]
      addresses: [192.0.2.10/24, {address: 192.0.2.11/24, device: eth1, label: 'eth1:web', scope: link}]
      excluded: ['2001:db8::10/64']
      announce: {count: 1, repeat_after: 0s, refresh: 60s, refresh_count: 2}
      lifetime: 9500ms
";
    let on = |text: &str, node: &str| {
        let outcome = parse("f", text, &Environment::new(node));
        assert!(outcome.config.is_some(), "{}", outcome.render(false));
        outcome.config.unwrap().instances.into_values().next().unwrap()
    };
    let edge = on(text, "lb1");
    assert_eq!((edge.down_adverts.get(), edge.checksum), (5, Checksum::Rfc9568));
    assert_eq!(edge.password.as_ref().unwrap().bytes(), *b"secret\0\0");
    assert_eq!((edge.preempt_delay, edge.accept), (Duration::from_secs(30), false));
    let unicast = edge.unicast.as_ref().unwrap();
    assert_eq!((unicast.source, unicast.ttl), (Some("192.0.2.1".parse().unwrap()), 254));
    let ttls: Vec<_> = unicast.peers.iter().map(|peer| peer.ttl).collect();
    assert_eq!(ttls, [(255, 255), (254, 254), (253, 255)]);
    let held: Vec<_> = edge.held().map(|address| address.net.to_string()).collect();
    assert_eq!(held, ["192.0.2.10/24", "192.0.2.11/24", "2001:db8::10/64"]);
    assert_eq!(edge.advertised().count(), 2);
    let web = &edge.addresses[1];
    assert_eq!((web.device.as_deref(), web.label.as_deref()), (Some("eth1"), Some("eth1:web")));
    assert_eq!(web.scope, Some(Scope::Link));
    assert_eq!(edge.lifetime, Some(Duration::from_secs(10)));
    let announce = edge.announce;
    assert_eq!((announce.count, announce.refresh_count), (1, 2));
    assert_eq!(
        (announce.repeat_after, announce.refresh),
        (Duration::ZERO, Duration::from_secs(60))
    );
    assert_eq!(edge.virtual_mac, None);
    let text = "
vrrp:
  instances:
    edge:
      interface: eth0
      vrid: 51
      addresses: ['fe80::33/64']
      multicast_group: 'ff02::99'
      per_node: {lb2: {virtual_mac: true, checksum: auto}, lb3: {virtual_mac: {name: vip}, multicast_group: 'ff02::12'}}
";
    let group = |node: &str| on(text, node).multicast_group.map(|group| group.to_string());
    assert_eq!(group("lb1").as_deref(), Some("ff02::99"));
    assert_eq!(group("lb3").as_deref(), Some("ff02::12"));
    let name = |node: &str| on(text, node).virtual_mac.map(|mac| mac.name);
    assert_eq!(
        [name("lb1"), name("lb2"), name("lb3")].map(Option::unwrap_or_default),
        ["", "vrrp6.51", "vip"]
    );
}

fn config(text: &str) -> Config {
    let outcome = parse("f", text, &Environment::new("lb1"));
    assert!(outcome.config.is_some(), "{}", outcome.render(false));
    outcome.config.unwrap()
}

#[test]
fn routes_and_rules_are_what_the_types_say() {
    let text = "
vrrp:
  instances:
    edge:
      interface: eth0
      vrid: 51
      addresses: [192.0.2.10/24]
      routes:
        - {to: default, via: 192.0.2.1, device: eth0, source: 192.0.2.10, table: 100, metric: 5, mtu: 1400, advmss: 1360, on_link: true}
        - {to: default, via: 'fe80::1', device: eth0}
        - {to: 198.51.100.0/24, type: blackhole, table: local}
        - {to: 203.0.113.7, device: eth1, scope: link}
      rules:
        - {from: 192.0.2.10/32, to: 198.51.100.0/24, table: 100, priority: 1000}
        - {iif: eth1, oif: eth2, mark: 16/255, family: inet6, table: main, priority: 1001}
        - {mark: 16, table: default, priority: 32765}
        - {not: true, ipproto: tcp, sport: 1024-65534, dport: 443, uidrange: 33-40, suppress_prefixlength: 0, table: main, priority: 9}
        - {type: prohibit, from: '2001:db8::/32', ipproto: 132, priority: 10}
";
    let edge = config(text).instances.into_values().next().unwrap();
    let [gateway, ipv6, hole, host] = edge.routes.as_slice() else { panic!("{:?}", edge.routes) };
    assert_eq!((gateway.to.to_string().as_str(), gateway.table), ("0.0.0.0/0", 100));
    assert_eq!((gateway.metric, gateway.mtu, gateway.on_link), (Some(5), Some(1400), true));
    assert_eq!(gateway.advmss, Some(1360));
    assert_eq!(gateway.source, Some("192.0.2.10".parse().unwrap()));
    assert_eq!(ipv6.to.to_string(), "::/0", "of the next hop's family");
    assert_eq!((hole.kind, hole.table), (RouteKind::Blackhole, 255));
    assert_eq!((host.to.prefix_len(), host.scope, host.table), (32, Some(Scope::Link), 254));
    let [addresses, marked, last, picky, wall] = edge.rules.as_slice() else {
        panic!("{:?}", edge.rules)
    };
    assert_eq!(addresses.from.unwrap().to_string(), "192.0.2.10/32");
    assert_eq!((addresses.priority, addresses.table), (1000, Some(100)));
    assert_eq!((marked.mark, marked.table), (Some((16, 255)), Some(254)));
    assert_eq!(marked.family, vrrp::AddressFamily::Ipv6);
    assert_eq!((last.mark, last.table), (Some((16, u32::MAX)), Some(253)));
    assert_eq!(last.family, vrrp::AddressFamily::Ipv4, "the instance's");
    assert_eq!((picky.not, picky.ipproto, picky.kind), (true, Some(6), RouteKind::Unicast));
    assert_eq!((picky.sport, picky.dport), (Some((1024, 65534)), Some((443, 443))));
    assert_eq!((picky.uidrange, picky.suppress_prefixlength), (Some((33, 40)), Some(0)));
    assert_eq!((wall.kind, wall.table, wall.ipproto), (RouteKind::Prohibit, None, Some(132)));
    assert_eq!(wall.family, vrrp::AddressFamily::Ipv6, "of its addresses");
}

/// Every key of VRRP; every kind of tracker is used.
const TRACKERS: &str = include_str!("vrrp.yaml");

#[test]
fn trackers_groups_interfaces_and_hooks_are_what_the_types_say() {
    let config = config(TRACKERS);
    assert_eq!(config.daemon.state.to_str(), Some("/srv/holdfast"));
    let vrrp = &config.vrrp;
    assert_eq!(vrrp.startup_delay, Duration::from_secs(10));
    let a = config.instances.values().next().unwrap();
    assert_eq!((a.track[0].tracker.as_str(), a.track[0].weight), ("haproxy", None));
    assert_eq!((a.track[1].weight, a.track[1].reverse), (Some(-20), true));
    assert_eq!(a.hooks[0].command, ["/bin/one", "x"]);
    assert_eq!(a.hooks[0].on, [HookEvent::Priority].into());
    assert_eq!(a.hooks[0].timeout, Duration::from_secs(1));
    let group = vrrp.groups.values().next().unwrap();
    let members: Vec<_> = group.instances.iter().map(ToString::to_string).collect();
    assert_eq!((members, group.track.len()), (vec!["a".to_owned(), "b".to_owned()], 9));
    assert_eq!(group.hooks[0].on.len(), 4, "every change of state");
    assert_eq!(group.hooks[0].timeout, Duration::from_secs(5), "that of scripts");
    assert_eq!(vrrp.hooks[0].on, [HookEvent::Active, HookEvent::LowerPriority].into());
    let eth0 = vrrp.interfaces["eth0"];
    assert_eq!(
        (eth0.up_delay, eth0.down_delay),
        (Duration::from_secs(3), Duration::from_millis(500))
    );
    assert_eq!(eth0.announce_interval, Duration::from_millis(1));
}

#[test]
fn every_kind_of_tracker_is_what_the_types_say() {
    let config = config(TRACKERS);
    let kind = |wanted: &str| {
        let found = config.vrrp.trackers.values().find(|tracker| tracker.name.as_str() == wanted);
        &found.unwrap().kind
    };
    assert_eq!(*kind("up"), TrackerKind::Interface("eth1".to_owned()));
    let TrackerKind::Script { policy, .. } = kind("script") else { panic!() };
    assert_eq!((policy.timeout, policy.rise, policy.fall), (Duration::from_millis(500), 2, 3));
    let TrackerKind::Script { policy, command } = kind("plain") else { panic!() };
    assert_eq!(*command, ["/bin/true"]);
    assert_eq!(
        (policy.interval, policy.timeout),
        (Duration::from_secs(1), Duration::from_millis(500))
    );
    assert_eq!((policy.rise, policy.fall), (1, 1));
    assert!(matches!(kind("file"), TrackerKind::File { path } if path.to_str() == Some("/run/x")));
    let TrackerKind::Process { quorum, quorum_max, up_delay, down_delay, .. } = kind("haproxy")
    else {
        panic!()
    };
    assert_eq!((*quorum, *quorum_max), (2, Some(3)));
    assert_eq!((up_delay.as_secs(), down_delay.as_secs()), (1, 2));
    let TrackerKind::Reach { by, interface, policy, .. } = kind("gateway") else { panic!() };
    assert_eq!((*by, interface.as_deref(), policy.fall), (ReachBy::Neighbour, Some("eth0"), 3));
    let TrackerKind::Reach { by, policy, .. } = kind("far") else { panic!() };
    assert_eq!((*by, policy.rise, policy.fall), (ReachBy::Icmp, 1, 1));
    assert!(
        matches!(kind("default"), TrackerKind::Route { to, .. } if to.to_string() == "0.0.0.0/0")
    );
    assert!(matches!(kind("default6"), TrackerKind::Route { to, .. } if to.to_string() == "::/0"));
    let TrackerKind::Bfd(peer) = kind("peer") else { panic!() };
    assert_eq!((peer.min_tx.as_millis(), peer.min_rx.as_millis()), (10, 20));
    assert_eq!((peer.multiplier.get(), peer.passive), (5, true));
    let TrackerKind::Bfd(peer) = kind("plain-peer") else { panic!() };
    assert_eq!((peer.min_tx.as_millis(), peer.multiplier.get(), peer.passive), (50, 3, false));
}

/// The codes that a file of two nodes has, each with 100 or what `nodes` says.
fn codes(instance: &str, nodes: &str, more: &str) -> Vec<&'static str> {
    let text = format!(
        "node: lb1
vrrp:
  instances:
    a:
      interface: eth0
      vrid: 51
      addresses: [192.0.2.10/24]
      per_node: {{{nodes}}}
{instance}
    b: {{interface: eth1, vrid: 52, addresses: [198.51.100.10/24]}}
{more}
"
    );
    let outcome = parse("f", &text, &Environment::new("lb1"));
    outcome.diagnostics.iter().map(|found| found.code.as_str()).collect()
}

#[test]
fn weights_that_can_change_who_is_active_are_not_warned_of() {
    let nodes = "lb1: {priority: 150}, lb2: {priority: 100}";
    let up = "  trackers: {up: {interface: eth1}, down: {interface: eth2}}";
    let track = |list: &str| codes(&format!("      track: [{list}]"), nodes, up);
    let too_small = ["HF0440"];
    assert_eq!(track("{tracker: up, weight: -51}, down"), [""; 0]);
    assert_eq!(track("{tracker: up, weight: -50}, down"), too_small, "equal: the Active stays");
    assert_eq!(track("{tracker: up, weight: 51}, down"), [""; 0], "up on the other node only");
    assert_eq!(track("{tracker: up, weight: -30}, {tracker: down, weight: -30}"), [""; 0], "both");
    assert_eq!(track("{tracker: up, weight: -30}, {tracker: down, weight: 21}"), [""; 0], "both");
    assert_eq!(track("{tracker: up, weight: -30}, {tracker: down, weight: 20}"), too_small);
    assert_eq!(track("up, down"), [""; 0], "faults");
    let file = "  trackers: {up: {file: {path: /run/x}}}";
    let one = "      track: [{tracker: up, weight: -1}]";
    assert_eq!(codes(one, nodes, file), [""; 0], "a file's number has no limit");
    let one = "      track: [{tracker: up, weight: -100}]";
    let group = "  trackers: {up: {interface: eth1}}\n  groups: {pair: {instances: [a, b]}}";
    assert_eq!(codes(one, nodes, group), [""; 0]);
    let group = "  trackers: {up: {interface: eth1}}\n  groups: {pair: {instances: [a, b], track: [{tracker: up, weight: -5}]}}";
    assert_eq!(codes("", nodes, group), too_small, "the group's count for its instances");
}

#[test]
fn priorities_and_preemption_are_looked_at_on_the_nodes_that_the_file_names() {
    assert_eq!(codes("", "lb1: {priority: 110}, lb2: {priority: 100}", ""), [""; 0]);
    assert_eq!(codes("", "lb1: {priority: 109}, lb2: {priority: 100}", ""), ["HF0439"]);
    assert_eq!(codes("", "lb2: {priority: 91}", ""), ["HF0439"], "this node by the common keys");
    assert_eq!(codes("", "lb1: {priority: 255}, lb2: {priority: 254}", ""), [""; 0], "an owner");
    let up = "  trackers: {up: {interface: eth1}}";
    let weight = "      track: [{tracker: up, weight: -60}]";
    let nodes = "lb1: {priority: 150}, lb2: {priority: 100, preempt: false}";
    assert_eq!(codes(weight, nodes, up), ["HF0441"]);
    assert_eq!(codes("      track: up", nodes, up), [""; 0], "a fault");
    let group = "  trackers: {up: {interface: eth1}}\n  groups: {pair: {instances: [a, b], track: [{tracker: up, weight: -60}]}}";
    assert_eq!(codes("", nodes, group), ["HF0441"]);
}

/// Every word of ip-route(8) and ip-rule(8) that an instance's routes and rules have no key for (docs/vrrp.md lists them).
#[test]
fn what_a_route_or_rule_cannot_be_is_refused_and_never_left_out() {
    let routes = "nexthop weight nhid tos from encap as ttl-propagate window rtt rttvar rto_min cwnd ssthresh initcwnd initrwnd \
                  reordering quickack congctl features fastopen_no_cookie hoplimit realms pref expires pervasive proto";
    let rules = "tos dsfield l3mdev tun_id goto nop nat realms suppress_ifgroup protocol";
    let refused = |list: &str| {
        codes(&format!("      {list}"), "lb1: {priority: 150}, lb2: {priority: 100}", "")
    };
    for key in routes.split_whitespace() {
        let list = format!("routes: [{{to: default, via: 192.0.2.1, {key}: 1}}]");
        assert_eq!(refused(&list), ["HF0201"], "{key}");
    }
    for kind in ["local", "broadcast", "multicast", "throw", "nat"] {
        let list = format!("routes: [{{to: 198.51.100.0/24, device: eth0, type: {kind}}}]");
        assert_eq!(refused(&list), ["HF0206"], "{kind}");
    }
    for key in rules.split_whitespace() {
        let list = format!("rules: [{{table: 100, priority: 1000, {key}: 1}}]");
        assert_eq!(refused(&list), ["HF0201"], "{key}");
    }
    for list in [
        "rules: [{table: 100, priority: 1000, type: goto}]",
        "rules: [{table: 100, priority: 1000, type: nop}]",
        "rules: [{table: 100, priority: 1000, ipproto: igmp}]",
    ] {
        assert_eq!(refused(list), ["HF0206"], "{list}");
    }
    for list in [
        "rules: [{table: 100, priority: 1000, sport: 0}]",
        "rules: [{table: 100, priority: 1000, sport: 65535}]",
        "rules: [{table: 100, priority: 1000, dport: 80-}]",
        "rules: [{table: 100, priority: 1000, uidrange: 5-4}]",
        "rules: [{table: 100, priority: 1000, not: true}]",
        "rules: [{type: blackhole, priority: 1000, from: 192.0.2.0/24, table: 100}]",
        "rules: [{type: prohibit, priority: 1000, from: 192.0.2.0/24, suppress_prefixlength: 0}]",
    ] {
        assert_eq!(refused(list), ["HF0423"], "{list}");
    }
}

#[test]
fn a_route_of_another_table_or_metric_is_another_route() {
    let routes = |second: &str| {
        let list = format!(
            "      routes: [{{to: default, via: 192.0.2.1}}, {{to: default, via: 192.0.2.2{second}}}]"
        );
        codes(&list, "", "")
    };
    assert_eq!(routes(""), ["HF0424"]);
    assert_eq!(routes(", table: 100"), [""; 0]);
    assert_eq!(routes(", metric: 5"), [""; 0]);
    assert_eq!(routes(", table: main"), ["HF0424"]);
}

/// A password that no diagnostic may show, in every place and form.
#[test]
fn no_diagnostic_shows_a_password() {
    let instance = "vrrp: {instances: {edge: {interface: eth0, vrid: 0, ";
    let files = [
        format!("{instance}authentication: {{password: hunter2}}, addresses: [x]}}}}}}\n"),
        format!(
            "{instance}authentication: {{password: 'hunter2'}}, version: 3, addresses: [x]}}}}}}\n"
        ),
        format!(
            "{instance}authentication: {{auth_type: PASS, auth_pass: hunter2}}, addresses: [x]}}}}}}\n"
        ),
        format!("{instance}authentication: hunter2, addresses: [x]}}}}}}\n"),
        format!("{instance}authentication: [hunter2], addresses: [x]}}}}}}\n"),
        format!("{instance}autentication: {{passwort: hunter2}}, addresses: [x]}}}}}}\n"),
        format!("{instance}auth_pass: hunter2, addresses: [x]}}}}}}\n"),
        format!("{instance}authentication: {{password: hunter2}}, addresses: [x}}}}}}\n"),
        "authentication:\n  password: |\n    hunter2\n    hunter2\nnod: 1\n".to_owned(),
        "authentication:\n  password: \"hunter2\n    hunter2\"\nnod: 1\n".to_owned(),
        "authentication:\n  password: \"hunter2\nnod: 1\n".to_owned(),
        "authentication:\n\tpassword: hunter2\n".to_owned(),
        "authentication:\n  password hunter2\n".to_owned(),
        "authentication: {password: hunter2}\nauthentication: {password: hunter2}\n".to_owned(),
        "authentication: {password: &a hunter2}\n".to_owned(),
        "password: !secret hunter2\n".to_owned(),
    ];
    for file in files {
        let outcome = parse("f", &file, &Environment::new("lb1"));
        assert!(!outcome.diagnostics.is_empty(), "{file}");
        let shown = outcome.render(false) + &outcome.render(true) + &format!("{outcome:?}");
        assert!(!shown.contains("unter"), "{file}\n{shown}");
        let json = serde_json::to_string(&outcome.diagnostics).unwrap();
        assert!(!json.contains("unter"), "{json}");
    }
}

/// The session serves whoever has its peer for an Active; what else it is for can't be known.
#[test]
fn a_bfd_session_needs_no_entry_and_is_a_dangerous_one_only_of_a_unicast_peer() {
    let codes = |keys: &str| {
        let text = format!(
            "vrrp:\n  instances:\n    edge: {{interface: eth0, vrid: 51, addresses: [192.0.2.10/24]{keys}}}\n  \
             trackers: {{peer: {{bfd: {{peer: 192.0.2.2}}}}}}\n"
        );
        let outcome = parse("f", &text, &Environment::new("lb1"));
        outcome.diagnostics.iter().map(|found| found.code.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(codes(""), [""; 0]);
    assert_eq!(codes(", track: [peer]"), [""; 0], "a router, for all that is known");
    let unicast =
        |track: &str| codes(&format!(", unicast: {{peers: [192.0.2.2]}}, track: [{track}]"));
    assert_eq!(unicast("peer"), ["HF0442"]);
    assert_eq!(unicast("{tracker: peer, weight: -5}"), [""; 0]);
    assert_eq!(unicast("{tracker: peer, reverse: true}"), [""; 0]);
}

/// Who takes them over is another node, and the file must say that there is one. An owner's are its own.
#[test]
fn addresses_end_with_their_daemon_where_the_file_names_another_node() {
    let lifetime = |keys: &str, more: &str| {
        let text = format!(
            "{more}vrrp: {{instances: {{edge: {{interface: eth0, vrid: 51, addresses: [192.0.2.10/24]{keys}}}}}}}\n"
        );
        config(&text).instances.into_values().next().unwrap().lifetime.map(|one| one.as_secs())
    };
    assert_eq!(lifetime("", ""), None, "a node without a peer");
    assert_eq!(lifetime(", lifetime: 9s", ""), Some(9));
    for keys in [
        ", per_node: {lb1: {priority: 150}}",
        ", per_node: {lb2: {priority: 90}}",
        ", unicast: {peers: [192.0.2.3]}",
    ] {
        assert_eq!(lifetime(keys, ""), Some(4), "{keys}");
        for (more, seconds) in [
            (", interval: 10ms", Some(4)),
            (", interval: 2500ms", Some(10)),
            (", interval: 1010ms", Some(5)),
            (", down_adverts: 9", Some(10)),
            (", lifetime: 0s", None),
            (", lifetime: 30s", Some(30)),
        ] {
            assert_eq!(lifetime(&format!("{keys}{more}"), ""), seconds, "{keys}{more}");
        }
    }
    assert_eq!(lifetime(", priority: 255, unicast: {peers: [192.0.2.3]}", ""), None);
    let pair = "daemon: {pair: {nodes: {lb1: 192.0.2.2, lb2: 192.0.2.3}, certificate: /etc/c, key: /etc/k, ca: /etc/a}}\n";
    assert_eq!(lifetime("", pair), Some(4));
    // Where nothing is said, and nothing can be concluded, that is known; should there be another node all the same, it is said.
    let unsaid = |keys: &str| {
        let text = format!(
            "vrrp: {{instances: {{edge: {{interface: eth0, vrid: 51, addresses: [192.0.2.10/24]{keys}}}}}}}"
        );
        config(&text).instances.into_values().next().unwrap().lifetime_unsaid
    };
    assert!(unsaid(""));
    for keys in [
        ", lifetime: 0s",
        ", lifetime: 9s",
        ", priority: 255",
        ", unicast: {peers: [192.0.2.3]}",
        ", per_node: {lb2: {priority: 90}}",
    ] {
        assert!(!unsaid(keys), "{keys}");
    }
}
