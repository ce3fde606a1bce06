//! What becomes of services when servers fail: quorum, sorry servers, damping, intervals.

use crate::cases::Case;

/// Each with its code.
pub(crate) const CASES: &[Case] = &[
    (
        "HF0541",
        "sorry is real",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, real_servers: {a: 10.0.0.1:80}, sorry_servers: {s: 10.0.0.1:80}}}\n",
    ),
    (
        "HF0542",
        "sorry without servers",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, all_down: sorry}}\n",
    ),
    (
        "HF0542",
        "fail open and sorry",
        "services:\n  web:\n    listen: tcp 192.0.2.10:80\n    forward: nat\n    all_down: fail_open\n    sorry_servers: {s: 10.0.0.9:80}\n",
    ),
    (
        "HF0543",
        "quorum above the weights",
        "services:\n  web:\n    listen: tcp 192.0.2.10:80\n    forward: nat\n    quorum: 4\n    real_servers: {a: 10.0.0.1:80, b: {address: 10.0.0.2:80, weight: 2}}\n",
    ),
    (
        "HF0543",
        "hysteresis above the weights",
        "services:\n  web:\n    listen: tcp 192.0.2.10:80\n    forward: nat\n    quorum: 3\n    hysteresis: 1\n    real_servers: {a: 10.0.0.1:80, b: {address: 10.0.0.2:80, weight: 2}}\n",
    ),
    (
        "HF0544",
        "nobody holds it",
        "vrrp: {instances: {edge: {interface: eth0, vrid: 51, addresses: [192.0.2.11/24]}}}\nservices: {web: {listen: tcp 192.0.2.10:80, forward: nat, all_down: withdraw_vip}}\n",
    ),
    (
        "HF0544",
        "the owner",
        "vrrp: {instances: {edge: {interface: eth0, vrid: 51, priority: 255, addresses: [192.0.2.10/24]}}}\nservices: {web: {listen: tcp 192.0.2.10:80, forward: nat, all_down: withdraw_vip}}\n",
    ),
    (
        "HF0545",
        "unknown service",
        "vrrp: {trackers: {pool: {service: wbe}}, instances: {edge: {interface: eth0, vrid: 51, addresses: [192.0.2.10/24], track: pool}}}\nservices: {web: {listen: tcp 192.0.2.10:80, forward: nat}}\n",
    ),
    (
        "HF0546",
        "fast interval",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, check: {tcp: {}, interval: 2s, fast_interval: 2s}}}\n",
    ),
    (
        "HF0301",
        "hysteresis",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, quorum: 2, hysteresis: 2}}\n",
    ),
    (
        "HF0301",
        "weight of a sorry server",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, sorry_servers: {s: {address: 10.0.0.9:80, weight: 0}}}}\n",
    ),
    (
        "HF0206",
        "all down",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, all_down: open}}\n",
    ),
    (
        "HF0201",
        "keepalived's sorry server",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, sorry_server: 10.0.0.9:80}}\n",
    ),
    (
        "HF0204",
        "all and any",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, checks: {all: [{tcp: {}}], any: [{icmp: {}}]}}}\n",
    ),
    (
        "HF0203",
        "neither all nor any",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, checks: {}}}\n",
    ),
    (
        "HF0504",
        "port of a sorry server",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: direct, sorry_servers: {s: 10.0.0.9:81}}}\n",
    ),
    (
        "HF0506",
        "sorry server with a virtual address",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, sorry_servers: {s: 192.0.2.11:80}}, two: {listen: tcp 192.0.2.11:80, forward: nat}}\n",
    ),
    (
        "HF0508",
        "sorry servers",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, sorry_servers: {s: 10.0.0.9:80, t: 10.0.0.9:80}}}\n",
    ),
    (
        "HF0206",
        "events of a service's hook",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, hooks: [{command: [/bin/true], on: active}]}}\n",
    ),
];
