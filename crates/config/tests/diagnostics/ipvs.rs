//! Cases of `ipvs`, and of what waits for synchronisation.

use super::cases::Case;

/// A configuration with an instance `edge`, a service `web` with these further keys, and `ipvs` with these lines.
macro_rules! web {
    ([$($key:literal),*], $($line:literal),* $(,)?) => {
        concat!(
            "vrrp:\n  instances:\n    edge: {interface: eth0, vrid: 51, addresses: [192.0.2.10/24]}\n",
            "services:\n  web:\n    listen: tcp 192.0.2.10:80\n    real_servers: {web1: {address: '192.0.2.21:80'}}\n",
            $("    ", $key, "\n",)*
            "ipvs:\n",
            $("  ", $line, "\n",)*
        )
    };
}

/// The cases.
pub(crate) const CASES: &[Case] = &[
    (
        "HF0203",
        "sync without interface",
        web!(["forward: direct"], "sync: {per_node: {lb1: {interface: eth1}, lb2: {}}}"),
    ),
    (
        "HF0201",
        "keepalived's sync",
        web!(
            ["forward: direct"],
            "sync: {interface: eth1, syncid: 1, inst: edge}",
            "lvs_sync_daemon: eth1"
        ),
    ),
    (
        "HF0301",
        "syncid",
        web!(["forward: direct"], "sync: {interface: eth1, id: 300, maxlen: 10, ttl: 0}"),
    ),
    ("HF0601", "unicast", web!(["forward: direct"], "sync: {interface: eth1, group: 192.0.2.2}")),
    ("HF0601", "no address", web!(["forward: direct"], "sync: {interface: eth1, group: all}")),
    ("HF0602", "unknown", web!(["forward: direct"], "sync: {interface: eth1, follows: egde}")),
    (
        "HF0602",
        "no instance",
        "services:\n  web: {listen: tcp 192.0.2.10:80, forward: direct, real_servers: {web1: 192.0.2.21}}\nipvs:\n  sync: {interface: eth1}\n",
    ),
    (
        "HF0602",
        "several",
        "vrrp:\n  instances:\n    v4: {interface: eth0, vrid: 51, addresses: [192.0.2.10/24]}\n    v6: {interface: eth0, vrid: 51, addresses: ['fe80::33/64']}\nservices:\n  web: {listen: tcp 192.0.2.10:80, forward: direct, real_servers: {web1: 192.0.2.21}}\nipvs:\n  sync: {interface: eth1}\n",
    ),
    (
        "HF0603",
        "tunnel",
        "services:\n  web: {listen: tcp 192.0.2.10:80, forward: tunnel, real_servers: {web1: '[2001:db8::1]:80'}}\nipvs:\n  sync: {interface: eth1, role: both}\n",
    ),
    (
        "HF0604",
        "nothing",
        "vrrp:\n  instances:\n    edge: {interface: eth0, vrid: 51, addresses: [192.0.2.10/24]}\nipvs:\n  sync: {interface: eth1}\n",
    ),
    (
        "HF0605",
        "nobody tells",
        "vrrp:\n  instances:\n    edge: {interface: eth0, vrid: 51, addresses: [192.0.2.10/24], preempt: {wait_for_sync: 30s}}\n",
    ),
    (
        "HF0606",
        "shorter than two periods",
        "vrrp:\n  instances:\n    edge: {interface: eth0, vrid: 51, addresses: [192.0.2.10/24], preempt: {wait_for_sync: 20s}}\nservices:\n  web: {listen: tcp 192.0.2.10:80, forward: direct, real_servers: {web1: 192.0.2.21}}\nipvs:\n  sync: {interface: eth1}\n",
    ),
    (
        "HF0606",
        "no refresh",
        "vrrp:\n  instances:\n    edge: {interface: eth0, vrid: 51, addresses: [192.0.2.10/24], preempt: {wait_for_sync: 20s}}\nservices:\n  web: {listen: tcp 192.0.2.10:80, forward: direct, real_servers: {web1: 192.0.2.21}}\nipvs:\n  sync: {interface: eth1}\n  sysctls: {sync_refresh_period: 0}\n",
    ),
    (
        "HF0606",
        "owner",
        "vrrp:\n  instances:\n    edge: {interface: eth0, vrid: 51, priority: 255, addresses: [192.0.2.10/24], preempt: {wait_for_sync: 30s}}\nservices:\n  web: {listen: tcp 192.0.2.10:80, forward: direct, real_servers: {web1: 192.0.2.21}}\nipvs:\n  sync: {interface: eth1}\n",
    ),
    (
        "HF0203",
        "preempt without what it waits for",
        "vrrp:\n  instances:\n    edge: {interface: eth0, vrid: 51, addresses: [192.0.2.10/24], preempt: {}}\n",
    ),
    (
        "HF0607",
        "values",
        web!(
            ["forward: direct"],
            "sysctls:",
            "  sloppy_tcp: 2",
            "  conntrack: true",
            "  sync_threshold: 50 3",
            "  sync_ports: 3",
            "  est_nice: -21",
            "  est_cpulist: all",
        ),
    ),
    (
        "HF0201",
        "sysctl",
        web!(
            ["forward: direct"],
            "sysctls: {expire_nodest_con: 1, net.ipv4.ip_forward: 1, kernel.panic: 1}"
        ),
    ),
    (
        "HF0608",
        "mh",
        web!(
            ["forward: direct", "scheduler: {name: mh, flags: [fallback]}"],
            "sysctls: {sloppy_tcp: 0, schedule_icmp: 1}"
        ),
    ),
    (
        "HF0608",
        "persistence",
        web!(
            ["forward: direct", "persistence: {}"],
            "sysctls: {expire_quiescent_template: 0, conn_reuse_mode: 1}"
        ),
    ),
    ("HF0608", "redirects", web!(["forward: nat"], "sysctls: {send_redirects: 1}")),
    (
        "HF0608",
        "sync",
        web!(
            ["forward: direct"],
            "sync: {interface: eth1}",
            "sysctls: {sync_threshold: 3 50, sync_refresh_period: 0, backup_only: 1}"
        ),
    ),
    ("HF0609", "nat", web!(["forward: nat"], "sysctls: {ip_forward: 0}")),
    (
        "HF0609",
        "backup_only",
        web!(
            ["forward: direct"],
            "sync: {interface: eth1, role: both}",
            "sysctls: {backup_only: 1}"
        ),
    ),
];
