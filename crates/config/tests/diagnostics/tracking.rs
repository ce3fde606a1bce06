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
pub(crate) const CASES: &[Case] = &[(
    "HF0412",
    "bfd",
    pair!(", track: [peer]"; "trackers: {peer: {bfd: {peer: 192.0.2.2, source: '2001:db8::1'}}}"),
)];
