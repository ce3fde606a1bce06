//! Cases of trackers, groups, interfaces and hooks.

use super::cases::Case;

/// Two instances whose first has more keys, and more keys of `vrrp`.
macro_rules! pair {
    ($first:literal; $($line:literal),+ $(,)?) => {
        concat!(
            "vrrp:\n  instances:\n    a: {interface: eth0, vrid: 51, addresses: [192.0.2.10/24]", $first,
            "}\n    b: {interface: eth1, vrid: 52, addresses: [198.51.100.10/24]}\n",
            $("  ", $line, "\n"),+
        )
    };
}

/// The cases.
pub(crate) const CASES: &[Case] = &[
    (
        "HF0412",
        "bfd",
        pair!(", track: [peer]"; "trackers: {peer: {bfd: {peer: 192.0.2.2, source: '2001:db8::1'}}}"),
    ),
    ("HF0430", "typo", pair!(", track: [haproxi]"; "trackers: {haproxy: {interface: eth1}}")),
    ("HF0430", "none", pair!(", track: [{tracker: haproxy, weight: 5}]"; "startup_delay: 1s")),
    (
        "HF0431",
        "twice",
        pair!(", track: [up, {tracker: up, weight: -5}]"; "trackers: {up: {interface: eth1}}"),
    ),
    ("HF0432", "unused", pair!(""; "trackers: {up: {interface: eth1}}")),
    ("HF0433", "owner", pair!(", priority: 255, track: up"; "trackers: {up: {interface: eth1}}")),
    (
        "HF0434",
        "sessions",
        pair!(", track: [x, y]"; "trackers:", "  x: {bfd: {peer: 192.0.2.2}}", "  y: {bfd: {peer: 192.0.2.2, passive: true}}"),
    ),
    ("HF0435", "typo", pair!(""; "groups: {pair: {instances: [a, c]}}")),
    (
        "HF0436",
        "two groups",
        pair!(""; "groups:", "  x: {instances: [a, b]}", "  y: {instances: [b, a]}"),
    ),
    (
        "HF0206",
        "group hook",
        pair!(""; "groups: {pair: {instances: [a, b], hooks: [{command: [/bin/true], on: [active, priority]}]}}"),
    ),
    ("HF0437", "one", pair!(""; "groups: {alone: {instances: [a]}}")),
    ("HF0438", "late", pair!(", interval: 500ms"; "interfaces: {eth0: {down_delay: 1s}}")),
    (
        "HF0440",
        "small",
        "node: lb1\nvrrp:\n  instances:\n    edge:\n      interface: eth0\n      vrid: 51\n      addresses: [192.0.2.10/24]\n      track: [{tracker: up, weight: -20}]\n      per_node: {lb1: {priority: 150}, lb2: {priority: 100}}\n  trackers: {up: {interface: eth1}}\n",
    ),
    (
        "HF0441",
        "preempt off",
        pair!(", preempt: false, track: [{tracker: up, weight: 20}]"; "trackers: {up: {interface: eth1}}"),
    ),
    (
        "HF0442",
        "peer",
        pair!(", unicast: {peers: [192.0.2.2]}, track: [peer]"; "trackers: {peer: {bfd: {peer: 192.0.2.2}}}"),
    ),
    (
        "HF0301",
        "weight of a tracker",
        pair!(", track: [{tracker: up, weight: 0}, {tracker: up, weight: 254}]"; "trackers: {up: {interface: eth1}}"),
    ),
    (
        "HF0202",
        "weight",
        pair!(", track: [{tracker: up, weight: heavy}]"; "trackers: {up: {interface: eth1}}"),
    ),
    ("HF0203", "what is watched", pair!(""; "trackers: {up: {interval: 1s}}")),
    (
        "HF0203",
        "interface of a neighbour",
        pair!(""; "trackers: {gw: {reach: {address: 192.0.2.1, by: neighbour}}}"),
    ),
    ("HF0203", "hook without command", pair!(""; "hooks: [{on: active}]")),
    ("HF0204", "two things", pair!(""; "trackers: {up: {interface: eth1, file: {path: /run/x}}}")),
    (
        "HF0204",
        "interval of an interface",
        pair!(""; "trackers: {up: {interface: eth1, interval: 1s}}"),
    ),
    ("HF0206", "hook", pair!(""; "hooks: [{command: [/bin/true], on: [master]}]")),
    ("HF0208", "hook", pair!(""; "hooks: [{command: [/bin/true], on: []}]")),
    ("HF0205", "process", pair!(""; "trackers: {x: {process: {name: /usr/sbin/haproxy}}}")),
    ("HF0205", "reference", pair!(", track: ['two words']"; "startup_delay: 1s")),
    (
        "HF0301",
        "quorum",
        pair!(""; "trackers: {x: {process: {name: x, quorum: 2, quorum_max: 1}}}"),
    ),
    (
        "HF0301",
        "bfd",
        pair!(""; "trackers: {x: {bfd: {peer: 192.0.2.2, min_tx: 61s, multiplier: 0}}}"),
    ),
    (
        "HF0311",
        "tracker",
        pair!(""; "trackers: {x: {script: {command: [/bin/true]}, timeout: 1s}}"),
    ),
    ("HF0312", "interfaces", pair!(""; "interfaces: {'eth 0': {up_delay: 1s}}")),
    ("HF0308", "file", pair!(""; "trackers: {x: {file: {path: run/x}}}")),
    ("HF0201", "vrrp_script", pair!(""; "vrrp_script: {x: {}}")),
    (
        "HF0201",
        "keepalived's notify",
        pair!(", notify_master: /bin/true, track_script: [x], garp_master_delay: 5"; "vrrp_sync_group: {}"),
    ),
];
