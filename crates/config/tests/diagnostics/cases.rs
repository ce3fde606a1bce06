//! Configurations with the code that each must have.

/// The code, what is wrong, and the file.
pub(crate) type Case = (&'static str, &'static str, &'static str);

/// Files that are not read as YAML at all.
const FILES: &[(&str, &str, &[u8])] = &[
    ("HF0001", "not utf-8", b"node: lb1\n# b\xfcro\n"),
    ("HF0003", "nul", b"node: lb1\nvrrp:\0\n"),
    ("HF0003", "escape", b"node: \x1b[31mlb1\n"),
    ("HF0004", "empty", b"\n# nothing but a comment\n"),
    ("HF0004", "no byte", b""),
    ("HF0005", "list", b"- vrrp\n- services\n"),
    ("HF0005", "word", b"holdfast\n"),
];

/// YAML that is refused or misread elsewhere.
const YAML: &[Case] = &[
    (
        "HF0006",
        "a pattern for folders",
        "include: [conf.d/*.yaml, '*/more.yaml', dir/]\nservices: {}\n",
    ),
    (
        "HF0101",
        "missing bracket",
        "services:\n  web:\n    listen: [tcp 192.0.2.10:80\n    forward: nat\n",
    ),
    (
        "HF0101",
        "missing colon",
        "services:\n  web:\n    forward nat\n    listen: tcp 192.0.2.10:80\n",
    ),
    ("HF0101", "colon in text", "node: a: b\n"),
    ("HF0101", "open quote", "node: \"lb1\n"),
    ("HF0101", "directive", "%YAML 9\nnode: lb1\n"),
    ("HF0102", "tabs", "vrrp:\n\tinstances:\n\t\tedge: {}\n"),
    (
        "HF0103",
        "siblings apart",
        "services:\n  web:\n    listen: tcp 192.0.2.10:80\n   forward: nat\n",
    ),
    (
        "HF0103",
        "deeper than its sibling",
        "services:\n  web:\n    listen: tcp 192.0.2.10:80\n      forward: nat\n",
    ),
    (
        "HF0104",
        "services",
        "services:\n  web: {listen: tcp 192.0.2.10:80, forward: nat}\n  dns: {listen: udp 192.0.2.10:53, forward: nat}\n  web: {listen: tcp 192.0.2.10:81, forward: nat}\n",
    ),
    ("HF0104", "keys with other problems", "node: lb1\nnode: lb2\nservces: {}\n"),
    ("HF0105", "two documents", "node: lb1\n---\nnode: lb2\n"),
    ("HF0106", "anchor", "services:\n  web: &web\n    listen: tcp 192.0.2.10:80\n"),
    ("HF0106", "undefined alias", "node: *lb1\n"),
    ("HF0106", "merge key", "services:\n  web:\n    <<: {forward: nat}\n"),
    ("HF0107", "tag", "node: !secret lb1\n"),
    ("HF0107", "tagged mapping", "vrrp: !!map {}\n"),
    ("HF0108", "deep", "node: [[[[[[[[[[[[[[[[[[[[lb1]]]]]]]]]]]]]]]]]]]]\n"),
    ("HF0109", "placeholder", "services:\n  {{ name }}: {forward: nat}\n"),
    (
        "HF0310",
        "yes",
        "vrrp: {instances: {edge: {interface: eth0, vrid: 51, preempt: no, addresses: [192.0.2.10/24]}}}\n",
    ),
    (
        "HF0310",
        "octal",
        "vrrp: {instances: {edge: {interface: eth0, vrid: 051, addresses: [192.0.2.10/24]}}}\n",
    ),
    (
        "HF0310",
        "sexagesimal",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, real_servers: {a: {address: 10.0.0.1:80, weight: 1:30}}}}\n",
    ),
    ("HF0302", "sexagesimal", "ipvs: {poll: 1:30}\n"),
];

/// Keys and types.
const KEYS: &[Case] = &[
    (
        "HF0201",
        "typo",
        "vrrp:\n  instances:\n    edge:\n      interface: eth0\n      vrid: 51\n      prioritty: 150\n      addresses: [192.0.2.10/24]\n",
    ),
    ("HF0201", "at the top", "service: {}\n"),
    (
        "HF0201",
        "keepalived's word",
        "vrrp: {instances: {edge: {interface: eth0, virtual_router_id: 51, addresses: [192.0.2.10/24]}}}\n",
    ),
    (
        "HF0201",
        "a level too high",
        "services:\n  web:\n    listen: tcp 192.0.2.10:80\n    forward: nat\n    rise: 3\n",
    ),
    (
        "HF0201",
        "in an override",
        "vrrp: {instances: {edge: {interface: eth0, vrid: 51, addresses: [192.0.2.10/24], per_node: {lb2: {priorty: 1}}}}}\n",
    ),
    ("HF0202", "mapping for text", "node: {name: lb1}\n"),
    ("HF0202", "number for text", "node: 12\n"),
    ("HF0202", "text for a mapping", "services: web\n"),
    (
        "HF0202",
        "text for a list",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, checks: tcp}}\n",
    ),
    (
        "HF0202",
        "quoted number",
        "vrrp: {instances: {edge: {interface: eth0, vrid: \"51\", addresses: [192.0.2.10/24]}}}\n",
    ),
    (
        "HF0202",
        "no value",
        "vrrp:\n  instances:\n    edge:\n      interface: eth0\n      vrid:\n      addresses: [192.0.2.10/24]\n",
    ),
    (
        "HF0202",
        "command as text",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, check: {exec: {command: /usr/bin/check -v web}}}}\n",
    ),
    ("HF0203", "interface and vrid", "vrrp: {instances: {edge: {addresses: [192.0.2.10/24]}}}\n"),
    (
        "HF0203",
        "on one node",
        "vrrp:\n  instances:\n    edge:\n      vrid: 51\n      addresses: [192.0.2.10/24]\n      per_node: {lb2: {interface: eth0}}\n",
    ),
    ("HF0203", "forward and listen", "services:\n  web:\n    real_servers: {a: 10.0.0.1:80}\n"),
    (
        "HF0203",
        "what a check tries",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, check: {interval: 2s}}}\n",
    ),
    (
        "HF0203",
        "port of gue",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: {tunnel: {type: gue}}}}\n",
    ),
    (
        "HF0204",
        "check and checks",
        "services:\n  web:\n    listen: tcp 192.0.2.10:80\n    forward: nat\n    check: {tcp: {}}\n    checks: [{tcp: {}}]\n",
    ),
    (
        "HF0204",
        "two kinds",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, check: {tcp: {}, http: {}}}}\n",
    ),
    (
        "HF0204",
        "port of ipip",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: {tunnel: {type: ipip, port: 6080}}}}\n",
    ),
    (
        "HF0205",
        "service",
        "services: {\"web server\": {listen: tcp 192.0.2.10:80, forward: nat}}\n",
    ),
    ("HF0205", "node", "node: lb 1\n"),
    (
        "HF0203",
        "files of the pair",
        "daemon: {pair: {nodes: {lb1: 192.0.2.2, lb2: \"[2001:db8::3]\"}}}\n",
    ),
    (
        "HF0204",
        "two keys of the pair, and one address",
        "daemon: {pair: {nodes: {lb1: 192.0.2.2, lb2: \"192.0.2.2:9651\"}, certificate: /e/node.pem, key: /e/node.key, key_credential: pair, ca: /e/ca.pem}}\n",
    ),
    (
        "HF0205",
        "nodes of the pair",
        "daemon: {pair: {nodes: {lb1: 192.0.2.2, \"lb 2\": 192.0.2.3, -lb3: 192.0.2.4, 192.0.2.5: 192.0.2.5}, certificate: /e/node.pem, key_credential: a/b, ca: /e/ca.pem}}\n",
    ),
    ("HF0205", "group", "daemon: {control: {group: \"a b\"}}\n"),
    ("HF0206", "forward", "services: {web: {listen: tcp 192.0.2.10:80, forward: dirct}}\n"),
    ("HF0206", "on_stop", "ipvs: {on_stop: flush}\n"),
    (
        "HF0206",
        "remote checksum of gre",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: {tunnel: {type: gre, checksum: remote}}}}\n",
    ),
    (
        "HF0208",
        "addresses",
        "vrrp: {instances: {edge: {interface: eth0, vrid: 51, addresses: []}}}\n",
    ),
    ("HF0208", "listen", "services: {web: {listen: [], forward: nat}}\n"),
    (
        "HF0208",
        "command",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, check: {exec: {command: []}}}}\n",
    ),
];

/// Values.
const VALUES: &[Case] = &[
    (
        "HF0301",
        "vrid",
        "vrrp:\n  instances:\n    edge:\n      interface: eth0\n      vrid: 512\n      addresses: [192.0.2.10/24]\n",
    ),
    (
        "HF0301",
        "priority",
        "vrrp: {instances: {edge: {interface: eth0, vrid: 51, priority: 0, addresses: [192.0.2.10/24]}}}\n",
    ),
    (
        "HF0301",
        "version",
        "vrrp: {instances: {edge: {interface: eth0, vrid: 51, version: 4, addresses: [192.0.2.10/24]}}}\n",
    ),
    (
        "HF0301",
        "weight",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, real_servers: {a: {address: 10.0.0.1:80, weight: -1}}}}\n",
    ),
    ("HF0301", "port", "services: {web: {listen: tcp 192.0.2.10:65536, forward: nat}}\n"),
    (
        "HF0301",
        "rise and fall",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, check: {tcp: {port: 0}, rise: 0, fall: 256}}}\n",
    ),
    ("HF0301", "duration", "ipvs: {poll: 2h}\n"),
    (
        "HF0301",
        "persistence",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, persistence: {timeout: 745h, prefix: 64}}}\n",
    ),
    (
        "HF0302",
        "no unit",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, check: {tcp: {}, interval: 2}}}\n",
    ),
    (
        "HF0302",
        "decimal",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, check: {tcp: {}, interval: 1.5s}}}\n",
    ),
    (
        "HF0303",
        "host name",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, real_servers: {a: web1.example.org:80}}}\n",
    ),
    (
        "HF0303",
        "address with a port",
        "vrrp: {instances: {edge: {interface: eth0, vrid: 51, addresses: [\"192.0.2.10:80\"]}}}\n",
    ),
    (
        "HF0303",
        "prefix",
        "vrrp: {instances: {edge: {interface: eth0, vrid: 51, addresses: [192.0.2.10/33]}}}\n",
    ),
    ("HF0304", "brackets", "services: {web: {listen: \"tcp 2001:db8::1:80\", forward: nat}}\n"),
    ("HF0305", "listen", "services: {web: {listen: tcp 192.0.2.10, forward: nat}}\n"),
    (
        "HF0305",
        "server under nat",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, real_servers: {a: 10.0.0.1}}}\n",
    ),
    ("HF0306", "multicast", "services: {web: {listen: tcp 224.0.0.18:80, forward: nat}}\n"),
    (
        "HF0306",
        "link-local server",
        "services: {web: {listen: \"tcp [2001:db8::10]:80\", forward: nat, real_servers: {a: \"[fe80::1]:80\"}}}\n",
    ),
    (
        "HF0306",
        "network address",
        "vrrp: {instances: {edge: {interface: eth0, vrid: 51, addresses: [192.0.2.0/24]}}}\n",
    ),
    ("HF0307", "no transport", "services: {web: {listen: 192.0.2.10:80, forward: nat}}\n"),
    ("HF0307", "unknown transport", "services: {web: {listen: tpc 192.0.2.10:80, forward: nat}}\n"),
    (
        "HF0308",
        "command",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, check: {exec: {command: [check, web]}}}}\n",
    ),
    ("HF0308", "socket", "daemon: {control: {socket: control.sock}}\n"),
    (
        "HF0316",
        "webhook",
        "daemon: {notifications: {ops: {webhook: {url: \"https://user:hunter2@hooks.example/secret-token\"}}}}\n",
    ),
    (
        "HF0206",
        "event",
        "daemon: {notifications: {ops: {on: [servers, vrrp.active], command: [/bin/true]}}}\n",
    ),
    (
        "HF0204",
        "two ways to tell",
        "daemon: {notifications: {ops: {command: [/bin/true], webhook: {url: \"https://hooks.example/x\"}}}}\n",
    ),
    (
        "HF0309",
        "path",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, check: {http: {path: \"/a b\", host: \"x\\r\\nEvil: 1\"}}}}\n",
    ),
    (
        "HF0309",
        "status",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, check: {http: {expect: [200, 2xx]}}}}\n",
    ),
    (
        "HF0309",
        "headers",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, check: {http: {headers: {Host: x, \"a b\": c, X-A: \"a\\nb\"}}}}}\n",
    ),
    (
        "HF0311",
        "timeout",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, check: {tcp: {}, interval: 1s, timeout: 1s}}}\n",
    ),
    (
        "HF0312",
        "interface",
        "vrrp: {instances: {edge: {interface: averylonginterface0, vrid: 51, addresses: [192.0.2.10/24]}}}\n",
    ),
    (
        "HF0330",
        "pattern",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, check: {tcp: {expect: {regex: 'a(b'}}}}}\n",
    ),
    (
        "HF0331",
        "bytes",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, check: {tcp: {send: {hex: 0xff}, expect: {hex: '0'}}}}}\n",
    ),
    (
        "HF0331",
        "hash and name",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, check: {https: {body: {sha256: abcd}, tls: {name: 'a b'}}}}}\n",
    ),
    (
        "HF0204",
        "two expectations",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, check: {tcp: {expect: {hex: '00', regex: a}}}}}\n",
    ),
    (
        "HF0204",
        "authority and no verification",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, check: {tls: {verify: false, ca: /etc/ca.pem}}}}\n",
    ),
    (
        "HF0204",
        "body of HEAD",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, check: {http: {method: HEAD, body: OK}}}}\n",
    ),
    (
        "HF0203",
        "key of a certificate",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, check: {tls: {certificate: /etc/own.pem}}}}\n",
    ),
    (
        "HF0203",
        "what is expected",
        "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, check: {http: {body: {}}}}}\n",
    ),
];

/// Virtual routers.
const VRRP: &[Case] = &[
    (
        "HF0401",
        "version 3",
        "vrrp: {instances: {edge: {interface: eth0, vrid: 51, interval: 15ms, addresses: [192.0.2.10/24]}}}\n",
    ),
    (
        "HF0401",
        "version 2",
        "vrrp: {instances: {edge: {interface: eth0, vrid: 51, version: 2, interval: 500ms, addresses: [192.0.2.10/24]}}}\n",
    ),
    (
        "HF0402",
        "version 2",
        "vrrp:\n  instances:\n    edge:\n      interface: eth0\n      vrid: 51\n      version: 2\n      addresses: [\"fe80::33/64\"]\n",
    ),
    (
        "HF0403",
        "mixed",
        "vrrp:\n  instances:\n    edge:\n      interface: eth0\n      vrid: 51\n      addresses:\n        - 192.0.2.10/24\n        - 2001:db8::10/64\n",
    ),
    (
        "HF0404",
        "no link-local",
        "vrrp:\n  instances:\n    edge:\n      interface: eth0\n      vrid: 51\n      addresses:\n        - 2001:db8::10/64\n",
    ),
    (
        "HF0404",
        "link-local later",
        "vrrp: {instances: {edge: {interface: eth0, vrid: 51, addresses: [\"2001:db8::10/64\", \"fe80::33/64\"]}}}\n",
    ),
    (
        "HF0406",
        "same vrid",
        "vrrp:\n  instances:\n    a: {interface: eth0, vrid: 51, addresses: [192.0.2.10/24]}\n    b: {interface: eth0, vrid: 51, addresses: [192.0.2.11/24]}\n",
    ),
    (
        "HF0406",
        "on the other node only",
        "node: lb1\nvrrp:\n  instances:\n    a: {interface: eth0, vrid: 51, addresses: [192.0.2.10/24]}\n    b:\n      interface: eth0\n      vrid: 52\n      addresses: [192.0.2.11/24]\n      per_node: {lb2: {vrid: 51}}\n",
    ),
    (
        "HF0407",
        "two instances",
        "vrrp:\n  instances:\n    a: {interface: eth0, vrid: 51, addresses: [192.0.2.10/24]}\n    b: {interface: eth1, vrid: 52, addresses: [192.0.2.10/32]}\n",
    ),
    (
        "HF0408",
        "twice",
        "vrrp: {instances: {edge: {interface: eth0, vrid: 51, addresses: [192.0.2.10/24, 192.0.2.10/32]}}}\n",
    ),
    (
        "HF0409",
        "equal",
        "node: lb1\nvrrp:\n  instances:\n    edge:\n      interface: eth0\n      vrid: 51\n      priority: 150\n      addresses: [192.0.2.10/24]\n      per_node: {lb2: {priority: 150}}\n",
    ),
    (
        "HF0410",
        "owner",
        "vrrp: {instances: {edge: {interface: eth0, vrid: 51, priority: 255, preempt: false, addresses: [192.0.2.10/24]}}}\n",
    ),
];

/// Every case.
pub(crate) fn all() -> impl Iterator<Item = (&'static str, &'static str, &'static [u8])> {
    let texts = [
        YAML,
        KEYS,
        VALUES,
        VRRP,
        super::vrrp::CASES,
        super::tracking::CASES,
        super::services::CASES,
        super::attributes::CASES,
        super::checks::CASES,
        super::ipvs::CASES,
        super::policy::CASES,
    ]
    .into_iter()
    .flatten();
    let texts = texts.map(|(code, name, text)| (*code, *name, text.as_bytes()));
    FILES.iter().copied().chain(texts)
}
