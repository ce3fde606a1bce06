//! Services that are refused, or warned of.

use super::cases::Case;

/// The cases.
pub(crate) const CASES: &[Case] = &[
    (
        "HF0501",
        "scheduler",
        "services: {web: {listen: tcp 192.0.2.10:80, scheduler: roundrobin, forward: nat}}\n",
    ),
    (
        "HF0501",
        "typo",
        "services: {web: {listen: tcp 192.0.2.10:80, scheduler: {name: wlcc}, forward: nat}}\n",
    ),
    (
        "HF0502",
        "flag",
        "services: {web: {listen: tcp 192.0.2.10:80, scheduler: {name: wlc, flags: [fallback]}, forward: nat}}\n",
    ),
    (
        "HF0503",
        "mh",
        "services:\n  web:\n    listen: tcp 192.0.2.10:80\n    scheduler: mh\n    forward: direct\n    real_servers: {a: 10.0.0.1:80, b: 10.0.0.2:80, c: 10.0.0.3:80}\n",
    ),
    (
        "HF0540",
        "mh",
        "services:\n  web: {listen: tcp 192.0.2.10:80, scheduler: {name: mh, flags: [fallback]}, forward: direct, slow_start: 30s}\n",
    ),
    (
        "HF0540",
        "rr",
        "services:\n  web: {listen: tcp 192.0.2.10:80, scheduler: rr, forward: nat, slow_start: 30s}\n",
    ),
    (
        "HF0301",
        "a weight that slow start makes too large",
        "services:\n  web: {listen: tcp 192.0.2.10:80, forward: nat, slow_start: 30s, real_servers: {a: {address: 10.0.0.1:80, weight: 21474837}}}\n",
    ),
    (
        "HF0301",
        "a drain idle for less than the counters take",
        "services:\n  web: {listen: tcp 192.0.2.10:80, forward: nat, drain: {idle: 1s}}\n",
    ),
    (
        "HF0504",
        "direct",
        "services:\n  web:\n    listen: tcp 192.0.2.10:80\n    forward: direct\n    real_servers:\n      web1: 10.0.0.11:8080\n      web2: {address: 10.0.0.12:80}\n",
    ),
    (
        "HF0504",
        "tunnel",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: tunnel, real_servers: {a: {address: 10.0.0.1:81}}}}\n",
    ),
    (
        "HF0504",
        "two ports",
        "services:\n  web:\n    listen: [tcp 192.0.2.10:80, tcp 192.0.2.10:443]\n    forward: direct\n    real_servers: {a: 10.0.0.1:80}\n",
    ),
    (
        "HF0505",
        "nat",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, real_servers: {a: \"[2001:db8::1]:80\"}}}\n",
    ),
    (
        "HF0505",
        "two families",
        "services: {web: {listen: [tcp 192.0.2.10:80, \"tcp [2001:db8::10]:80\"], forward: nat}}\n",
    ),
    (
        "HF0506",
        "own service",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, real_servers: {a: 192.0.2.10:8080}}}\n",
    ),
    (
        "HF0506",
        "an instance's",
        "vrrp: {instances: {edge: {interface: eth0, vrid: 51, addresses: [192.0.2.10/24, 192.0.2.11/24]}}}\nservices: {web: {listen: tcp 192.0.2.10:80, forward: nat, real_servers: {a: 192.0.2.11:8080}}}\n",
    ),
    (
        "HF0507",
        "two services",
        "services:\n  web: {listen: tcp 192.0.2.10:80, forward: nat}\n  www:\n    listen: [tcp 192.0.2.10:443, tcp 192.0.2.10:80]\n    forward: nat\n",
    ),
    (
        "HF0508",
        "pool",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, real_servers: {a: 10.0.0.1:80, b: {address: 10.0.0.1:80}}}}\n",
    ),
    (
        "HF0511",
        "not held",
        "vrrp: {instances: {edge: {interface: eth0, vrid: 51, addresses: [192.0.2.10/24]}}}\nservices: {web: {listen: tcp 192.0.2.20:80, forward: nat}}\n",
    ),
    (
        "HF0331",
        "name and values of the DNS",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, check: {dns: {name: a..b, type: CAA, answer: x}}}}\n",
    ),
    (
        "HF0331",
        "values that no record has",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, checks: [{dns: {type: A, answer: [192.0.2.1, 'fd00::1']}}, {dns: {type: AAAA, answer: 192.0.2.1}}, {dns: {type: MX, answer: mail.test}}, {dns: {type: SRV, answer: 1 2 x www.test}}, {dns: {answer: ns.test admin.test}}, {dns: {type: NS, answer: a b}}, {dns: {type: TXT, answer: a  b c}}]}}\n",
    ),
    (
        "HF0331",
        "numbers that no record has",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, checks: [{dns: {type: MX, answer: +10 mail.test}}, {dns: {type: SRV, answer: 1 02 80 www.test}}, {dns: {answer: ns.test admin.test 007}}, {dns: {answer: ns.test admin.test 0}}]}}\n",
    ),
    (
        "HF0203",
        "user of a login",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, checks: [{mysql: {max_lag: 10s}}, {postgres: {role: replica}}, {redis: {user: a}}]}}\n",
    ),
    (
        "HF0203",
        "port of an agent",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, check: {agent: {}}}}\n",
    ),
    (
        "HF0204",
        "reply of UDP",
        "services: {web: {listen: udp 192.0.2.10:80, forward: nat, check: {udp: {expect: a, reply: false}}}}\n",
    ),
    (
        "HF0206",
        "role",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, check: {redis: {role: master}}}}\n",
    ),
    (
        "HF0530",
        "source and address",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, check: {tcp: {source: 10.0.0.1, address: 'fe80::1'}}}}\n",
    ),
    (
        "HF0530",
        "source and server",
        "services:\n  web:\n    listen: tcp 192.0.2.10:80\n    forward: nat\n    check: {tcp: {source: '2001:db8::1'}}\n    real_servers:\n      a: 10.0.0.1:80\n      b: {address: 10.0.0.2:80, check: {http: {source: 10.0.0.9}}}\n",
    ),
];
