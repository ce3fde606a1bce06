//! Cases of what an instance says besides its addresses.

use super::cases::Case;

/// An instance of IPv4 with more keys, at six spaces.
macro_rules! edge {
    ($($line:literal),+ $(,)?) => {
        concat!(
            "vrrp:\n  instances:\n    edge:\n      interface: eth0\n      vrid: 51\n",
            "      addresses: [192.0.2.10/24]\n",
            $("      ", $line, "\n"),+
        )
    };
}

/// The cases.
pub(crate) const CASES: &[Case] = &[
    ("HF0301", "announce", edge!("announce: {count: 0, refresh: 10ms, refresh_count: 101}")),
    ("HF0301", "lifetime", edge!("lifetime: 3s")),
    ("HF0301", "preempt_delay", edge!("preempt_delay: 1001s")),
    ("HF0303", "peer", edge!("unicast: {peers: [lb2, '192.0.2.2:80', 192.0.2.0/24]}")),
    ("HF0306", "peer", edge!("unicast: {source: 0.0.0.0, peers: [224.0.0.18]}")),
    ("HF0208", "peers", edge!("unicast: {peers: []}")),
    ("HF0203", "peers", edge!("unicast: {}")),
    ("HF0206", "checksum", edge!("checksum: rfc5798")),
    ("HF0201", "keepalived's words", edge!("use_vmac: true", "unicast_peer: [192.0.2.2]")),
    ("HF0202", "virtual_mac", edge!("virtual_mac: vrrp.51")),
    ("HF0313", "too long", edge!("version: 2", "authentication: {password: hunter2hunter2}")),
    ("HF0314", "upside down", edge!("unicast: {peers: [{address: 192.0.2.2, ttl: 255-253}]}")),
    ("HF0315", "beyond the mask", edge!("rules: [{mark: 16/8, table: 100, priority: 1}]")),
    (
        "HF0443",
        "lo",
        "vrrp:\n  instances:\n    edge: {interface: lo, vrid: 51, addresses: [192.0.2.10/24]}\n    six:\n      interface: eth0\n      vrid: 51\n      addresses: ['fe80::33/64']\n      per_node: {lb1: {interface: lo}}\n",
    ),
    ("HF0411", "not multicast", edge!("multicast_group: 192.0.2.99")),
    ("HF0411", "beyond the link", edge!("multicast_group: 239.0.0.18")),
    ("HF0411", "another family", edge!("multicast_group: 'ff02::12'")),
    ("HF0412", "peers", edge!("unicast: {source: '2001:db8::1', peers: ['2001:db8::2']}")),
    ("HF0413", "own source", edge!("unicast: {source: 192.0.2.1, peers: [192.0.2.1]}")),
    ("HF0413", "virtual address", edge!("unicast: {peers: [{address: 192.0.2.10}]}")),
    ("HF0414", "twice", edge!("unicast: {peers: [192.0.2.2, {address: 192.0.2.2, ttl: 254}]}")),
    ("HF0415", "both", edge!("unicast: {peers: [192.0.2.2]}", "multicast_group: 224.0.0.99")),
    (
        "HF0204",
        "two passwords",
        edge!("version: 2\n      authentication: {password: secret, password_file: /etc/secret}"),
    ),
    (
        "HF0205",
        "no credential",
        edge!("version: 2\n      authentication: {password_credential: a/b}"),
    ),
    ("HF0416", "version 3 and a file", edge!("authentication: {password_file: /etc/secret}")),
    ("HF0416", "version 3", edge!("authentication: {password: secret}")),
    ("HF0417", "never", edge!("preempt: false", "preempt_delay: 30s")),
    ("HF0418", "owner", edge!("priority: 255", "accept: false")),
    ("HF0419", "both", edge!("unicast: {peers: [192.0.2.2]}", "virtual_mac: true")),
    ("HF0420", "the interface itself", edge!("virtual_mac: {name: eth0}")),
    (
        "HF0420",
        "same vrid",
        "vrrp:\n  instances:\n    a: {interface: eth0, vrid: 51, addresses: [192.0.2.10/24], virtual_mac: true}\n    b: {interface: eth1, vrid: 51, addresses: [198.51.100.10/24], virtual_mac: true}\n",
    ),
    (
        "HF0421",
        "another interface",
        edge!("excluded: [{address: 192.0.2.11/24, label: 'eth1:web'}]"),
    ),
    (
        "HF0421",
        "too long",
        edge!("excluded: [{address: 192.0.2.11/24, label: 'eth0:application'}]"),
    ),
    ("HF0421", "ipv6", edge!("excluded: [{address: '2001:db8::1/64', label: 'eth0:web'}]")),
    ("HF0408", "excluded", edge!("excluded: [192.0.2.10/32]")),
    ("HF0422", "nowhere", edge!("routes: [{to: 198.51.100.0/24}]")),
    ("HF0422", "two families", edge!("routes: [{to: 198.51.100.0/24, via: 'fe80::1'}]")),
    (
        "HF0422",
        "blackhole",
        edge!("routes: [{to: 198.51.100.0/24, type: blackhole, via: 192.0.2.1, device: eth0}]"),
    ),
    (
        "HF0422",
        "scopes",
        edge!(
            "routes:",
            "  - {to: 198.51.100.0/24, via: 192.0.2.1, scope: link}",
            "  - {to: '2001:db8:1::/48', device: eth0, scope: link, on_link: true}",
        ),
    ),
    ("HF0306", "host bits", edge!("routes: [{to: 198.51.100.1/24, device: eth0}]")),
    ("HF0201", "nexthop", edge!("routes: [{to: default, nexthop: 192.0.2.1, realms: 1}]")),
    ("HF0203", "rule", edge!("rules: [{from: 192.0.2.10/32}]")),
    (
        "HF0204",
        "family of a rule",
        edge!("rules: [{from: 192.0.2.10/32, family: inet, table: 100, priority: 1000}]"),
    ),
    (
        "HF0423",
        "two families",
        edge!("rules: [{from: 192.0.2.10/32, to: '2001:db8::/32', table: 100, priority: 1000}]"),
    ),
    (
        "HF0423",
        "rules that do nothing",
        edge!(
            "rules:",
            "  - {not: true, table: 100, priority: 1000}",
            "  - {type: blackhole, from: 192.0.2.0/24, table: 100, priority: 1001}",
            "  - {sport: 1024-65535, table: 100, priority: 1002}",
        ),
    ),
    (
        "HF0424",
        "routes",
        edge!("routes:", "  - {to: default, via: 192.0.2.1}", "  - {to: default, via: 192.0.2.2}"),
    ),
    (
        "HF0424",
        "rules",
        edge!("rules:", "  - {table: 100, priority: 1}", "  - {table: 100, priority: 1}"),
    ),
    (
        "HF0439",
        "near",
        "node: lb1\nvrrp:\n  instances:\n    edge:\n      interface: eth0\n      vrid: 51\n      addresses: [192.0.2.10/24]\n      per_node: {lb1: {priority: 105}, lb2: {priority: 100}}\n",
    ),
];
