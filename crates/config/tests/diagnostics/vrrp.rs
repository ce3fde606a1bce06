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
    ("HF0411", "not multicast", edge!("multicast_group: 192.0.2.99")),
    ("HF0411", "beyond the link", edge!("multicast_group: 239.0.0.18")),
];
