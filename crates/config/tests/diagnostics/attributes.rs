//! Attributes of services: transports, marks, thresholds, persistence, timeouts.

use crate::cases::Case;

/// Each with its code.
pub(crate) const CASES: &[Case] = &[
    (
        "HF0206",
        "engine",
        "services: {sip: {listen: udp 192.0.2.10:5060, forward: nat, persistence: {engine: sips}}}\n",
    ),
    (
        "HF0204",
        "prefix and netmask",
        "services:\n  web:\n    listen: tcp 192.0.2.10:80\n    forward: nat\n    persistence: {prefix: 24, netmask: 255.255.255.0}\n",
    ),
    (
        "HF0201",
        "keepalived's thresholds",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, real_servers: {a: {address: 10.0.0.1:80, uthreshold: 100, lthreshold: 50}}}}\n",
    ),
    (
        "HF0202",
        "a list of lists",
        "services: {web: {listen: [[tcp 192.0.2.10:80]], forward: nat}}\n",
    ),
    ("HF0203", "mark", "services: {web: {listen: {match: tcp 192.0.2.10:80}, forward: nat}}\n"),
    ("HF0208", "match", "services: {web: {listen: {fwmark: 7, match: []}, forward: nat}}\n"),
    ("HF0301", "mark too large", "services: {web: {listen: {fwmark: 4294967296}, forward: nat}}\n"),
    ("HF0302", "timeouts", "ipvs: {timeouts: {tcp: 1500ms, tcp_fin: 2, udp: 5m}}\n"),
    ("HF0301", "timeouts", "ipvs: {timeouts: {tcp: 577h}}\n"),
    ("HF0305", "listen", "services: {web: {listen: tcp 192.0.2.10, forward: nat}}\n"),
    ("HF0307", "icmp", "services: {web: {listen: icmp 192.0.2.10:80, forward: nat}}\n"),
    (
        "HF0307",
        "icmp in match",
        "services: {web: {listen: {fwmark: 7, match: icmp 192.0.2.10:80}, forward: nat}}\n",
    ),
    ("HF0307", "family of a mark", "services: {web: {listen: fwmark 7 inet6, forward: nat}}\n"),
    ("HF0315", "mark 0", "services: {web: {listen: [fwmark 0, {fwmark: 0}], forward: nat}}\n"),
    ("HF0315", "mark with a mask", "services: {web: {listen: fwmark 7/255, forward: nat}}\n"),
    (
        "HF0504",
        "port behind a mark",
        "services: {web: {listen: fwmark 7, forward: direct, real_servers: {a: 10.0.0.1:80}}}\n",
    ),
    (
        "HF0504",
        "mark and port",
        "services: {web: {listen: [tcp 192.0.2.10:80, fwmark 7], forward: direct, real_servers: {a: 10.0.0.1:80}}}\n",
    ),
    (
        "HF0505",
        "server behind a mark",
        "services: {web: {listen: fwmark 7 ipv6, forward: nat, real_servers: {a: 10.0.0.1}}}\n",
    ),
    (
        "HF0505",
        "family and match",
        "services: {web: {listen: {fwmark: 7, family: ipv4, match: [\"tcp [2001:db8::10]:80\"]}, forward: nat}}\n",
    ),
    (
        "HF0505",
        "two families in match",
        "services:\n  web:\n    listen:\n      fwmark: 7\n      match:\n        - tcp 192.0.2.10:80\n        - tcp [2001:db8::10]:80\n    forward: nat\n",
    ),
    (
        "HF0506",
        "server in a range",
        "services: {web: {listen: {fwmark: 7, match: tcp 10.0.0.0/24:80}, forward: nat, real_servers: {a: 10.0.0.1}}}\n",
    ),
    (
        "HF0506",
        "server in another's range",
        "services:\n  a: {listen: {fwmark: 7, match: tcp 192.0.2.0/28}, forward: nat}\n  b: {listen: tcp 192.0.2.30:80, forward: nat, real_servers: {one: 192.0.2.3:80}}\n",
    ),
    (
        "HF0507",
        "same mark",
        "services:\n  a: {listen: fwmark 7, forward: nat}\n  b: {listen: {fwmark: 7, match: tcp 192.0.2.10:80}, forward: nat}\n",
    ),
    (
        "HF0511",
        "range",
        "vrrp: {instances: {edge: {interface: eth0, vrid: 51, addresses: [192.0.2.10/24]}}}\nservices: {web: {listen: {fwmark: 7, match: [tcp 192.0.2.8/29, tcp 192.0.2.20-192.0.2.30]}, forward: nat}}\n",
    ),
    (
        "HF0520",
        "no persistence",
        "services: {web: {listen: tcp 192.0.2.10:0, forward: direct, real_servers: {a: 10.0.0.1}}}\n",
    ),
    (
        "HF0521",
        "tcp",
        "services:\n  web:\n    listen: tcp 192.0.2.10:80\n    one_packet: true\n    forward: nat\n",
    ),
    (
        "HF0521",
        "marks of tcp",
        "services: {web: {listen: {fwmark: 7, match: tcp 192.0.2.10:80}, one_packet: true, forward: nat}}\n",
    ),
    (
        "HF0522",
        "tcp beside udp",
        "services:\n  sip:\n    listen: [udp 192.0.2.10:5060, tcp 192.0.2.10:5060]\n    one_packet: true\n    persistence: {engine: sip}\n    forward: nat\n",
    ),
    (
        "HF0522",
        "marks of sctp",
        "services: {sip: {listen: {fwmark: 7, match: [udp 192.0.2.10:5060, sctp 192.0.2.10:5060]}, one_packet: true, persistence: {engine: sip}, forward: nat}}\n",
    ),
    (
        "HF0523",
        "by connection",
        "services:\n  sip:\n    listen: udp 192.0.2.10:5060\n    persistence: {engine: sip}\n    forward: nat\n",
    ),
    (
        "HF0524",
        "above",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, upper_threshold: 100, lower_threshold: 200}}\n",
    ),
    (
        "HF0524",
        "alone",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, upper_threshold: 100, real_servers: {a: {address: 10.0.0.1:80, lower_threshold: 10}}}}\n",
    ),
    (
        "HF0525",
        "words",
        "services: {web: {listen: {fwmark: 7, match: [tcp, tcp web:80, \"tcp 192.0.2.20-192.0.2.10:80\", \"tcp 192.0.2.10:90-80\", tcp 192.0.2.1/24]}, forward: nat}}\n",
    ),
    (
        "HF0304",
        "match",
        "services: {web: {listen: {fwmark: 7, match: \"tcp 2001:db8::10:80\"}, forward: nat}}\n",
    ),
    (
        "HF0306",
        "match",
        "services: {web: {listen: {fwmark: 7, match: tcp 224.0.0.0/24}, forward: nat}}\n",
    ),
    (
        "HF0526",
        "ranges",
        "services:\n  a: {listen: {fwmark: 7, match: tcp 192.0.2.10-192.0.2.20:8000-8999}, forward: nat}\n  b: {listen: {fwmark: 8, match: tcp 192.0.2.16/28:8999}, forward: nat}\n",
    ),
    (
        "HF0526",
        "twice",
        "services: {a: {listen: {fwmark: 7, match: [tcp 192.0.2.10, tcp 192.0.2.10]}, forward: nat}}\n",
    ),
    (
        "HF0526",
        "an address within",
        "services:\n  a: {listen: {fwmark: 7, match: tcp 192.0.2.10:8000-8999}, forward: nat}\n  b: {listen: tcp 192.0.2.10:8080, forward: nat}\n",
    ),
    (
        "HF0527",
        "nat",
        "services: {web: {listen: fwmark 7, persistence: {}, forward: nat, real_servers: {a: 10.0.0.1:80}}}\n",
    ),
    (
        "HF0528",
        "service's",
        "services:\n  web:\n    listen: fwmark 7\n    forward: nat\n    check: {tcp: {}}\n    real_servers: {a: 10.0.0.1}\n",
    ),
    (
        "HF0528",
        "server's",
        "services:\n  web:\n    listen: tcp 192.0.2.10:0\n    persistence: {}\n    forward: direct\n    check: {tcp: {port: 80}}\n    real_servers: {a: {address: 10.0.0.1, checks: [{tcp: {port: 80}}, {http: {}}]}}\n",
    ),
    (
        "HF0529",
        "holes",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, persistence: {netmask: 255.0.255.0}}}\n",
    ),
    (
        "HF0529",
        "text",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, persistence: {netmask: \"24\"}}}\n",
    ),
    (
        "HF0529",
        "IPv6",
        "services: {web: {listen: \"tcp [2001:db8::10]:80\", forward: nat, persistence: {netmask: 255.255.255.0}}}\n",
    ),
];
