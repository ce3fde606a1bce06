//! Checks of what is on the host: commands whose status is a weight, files, BFD sessions.

use crate::cases::Case;

/// Each with its code.
pub(crate) const CASES: &[Case] = &[
    (
        "HF0204",
        "nagios and weight",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, check: {exec: {command: [/bin/true], nagios: true, weight: true}}}}\n",
    ),
    (
        "HF0203",
        "file without a path",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, check: {file: {missing: down}}}}\n",
    ),
    (
        "HF0206",
        "what a missing file means",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, check: {file: {path: /run/web, missing: drain}}}}\n",
    ),
    (
        "HF0308",
        "relative path of a file",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, check: {file: {path: run/web}}}}\n",
    ),
    (
        "HF0203",
        "bfd without a session",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, check: {bfd: {}}}}\n",
    ),
    (
        "HF0531",
        "a misspelt session",
        "vrrp: {trackers: {rack2: {bfd: {peer: 192.0.2.2}}}}\nservices: {web: {listen: tcp 192.0.2.10:80, forward: nat, check: {bfd: {session: rack}}}}\n",
    ),
    (
        "HF0531",
        "a tracker of another kind",
        "vrrp:\n  instances: {a: {interface: eth0, vrid: 1, addresses: [192.0.2.10/24], track: [up]}}\n  trackers: {up: {file: {path: /run/up}}}\nservices:\n  web:\n    listen: tcp 192.0.2.10:80\n    forward: nat\n    real_servers: {a: {address: 10.0.0.1:80, checks: [{tcp: {}}, {bfd: {session: up}}]}}\n",
    ),
];
