//! Arbitrary and mutated text: nothing panics, a configuration and an error exclude each other, and every place lies within
//! the text.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use holdfast_config::host::{Facts, check};
use holdfast_config::{Code, Environment, RealServer, Severity, explain, parse};
use proptest::prelude::*;

/// Valid files, to be damaged.
const SEEDS: [&str; 10] = [
    include_str!("../../../examples/minimal.yaml"),
    include_str!("../../../examples/pair-direct.yaml"),
    include_str!("../../../examples/pair-nat.yaml"),
    include_str!("../../../examples/pair-ipv6.yaml"),
    include_str!("../../../examples/fwmark-ports.yaml"),
    include_str!("../../../examples/exec-check.yaml"),
    include_str!("../../../examples/vrrp-haproxy.yaml"),
    include_str!("../../../examples/crossed-pair.yaml"),
    include_str!("../../../examples/vrrp-crossed-pair.yaml"),
    include_str!("vrrp.yaml"),
];

/// What YAML and the small languages within it react to.
const FRAGMENTS: [&str; 44] = [
    "\n",
    "  ",
    "\t",
    ": ",
    "- ",
    "[",
    "]",
    "{",
    "}",
    ",",
    "\"",
    "'",
    "#",
    "&a ",
    "*a",
    "<<: ",
    "!t ",
    "---\n",
    "...\n",
    "|\n",
    ">\n",
    "? ",
    "~",
    "null",
    "no",
    "yes",
    "0",
    "-1",
    "256",
    "1e9",
    "0x33",
    "1:30",
    "99999999999999999999",
    "1s",
    "::1",
    "fe80::1/64",
    "0.0.0.0",
    "10.0.0.1:80",
    "tcp ",
    "\u{feff}",
    "\u{e9}",
    "\0",
    "\r\n",
    "\u{2028}",
];

fn holds(text: &[u8]) {
    let outcome = parse("fuzz.yaml", text, &Environment::new("lb1"));
    let refused = outcome.diagnostics.iter().any(|found| found.severity == Severity::Error);
    assert_eq!(outcome.config.is_none(), refused, "{}", outcome.render(false));
    let source = outcome.source.text();
    for found in &outcome.diagnostics {
        for label in found.primary.iter().chain(&found.secondary) {
            let span = label.span;
            assert!(source.get(span.start..span.end).is_some(), "{span:?} of {found}");
            let before = source.get(..span.start).unwrap();
            assert_eq!(before.matches('\n').count() + 1, span.line, "{span:?} of {found}");
            let line = before.rsplit('\n').next().unwrap();
            assert_eq!(line.chars().count() + 1, span.column, "{span:?} of {found}");
        }
        assert!(!found.to_string().contains(char::is_control), "{found:?}");
    }
    outcome.render(true);
    serde_json::to_string(&outcome.diagnostics).unwrap();
    if let Some(config) = &outcome.config {
        check(config, &outcome.source, &Facts::default());
        for service in config.services.values() {
            for server in service.real_servers.values() {
                let again = RealServer::new(
                    Some("again"),
                    &server.address.to_string(),
                    None,
                    service,
                    config,
                );
                let codes: Vec<_> = again.unwrap_err().iter().map(|found| found.code).collect();
                assert_eq!(codes, [Code::DuplicateServer]);
            }
        }
    }
}

/// An instance with more keys.
fn edge(keys: &str) -> String {
    format!(
        "vrrp: {{instances: {{a: {{interface: eth0, vrid: 1, addresses: [192.0.2.9/24], {keys}}}}}}}\n"
    )
}

fn edit() -> impl Strategy<Value = (prop::sample::Index, usize, prop::sample::Index)> {
    (any::<prop::sample::Index>(), 0_usize..6, any::<prop::sample::Index>())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        holds(&bytes);
    }

    #[test]
    fn arbitrary_fragments_never_panic(picks in prop::collection::vec(0..FRAGMENTS.len(), 0..60)) {
        let text: String = picks.into_iter().map(|pick| FRAGMENTS[pick]).collect();
        holds(text.as_bytes());
    }

    #[test]
    fn damaged_configurations_never_panic(seed in 0..SEEDS.len(), edits in prop::collection::vec(edit(), 1..6)) {
        let mut text: Vec<char> = SEEDS[seed].chars().collect();
        for (at, removed, inserted) in edits {
            let at = at.index(text.len() + 1);
            let end = (at + removed).min(text.len());
            text.splice(at..end, FRAGMENTS[inserted.index(FRAGMENTS.len())].chars());
        }
        holds(text.into_iter().collect::<String>().as_bytes());
    }

    #[test]
    fn values_of_any_text_never_panic(value in any::<String>(), key in 0_usize..13) {
        let quoted = serde_json::to_string(&value).unwrap();
        let text = match key {
            0 => format!("node: {quoted}\n"),
            1 => format!("services: {{a: {{listen: {quoted}, forward: {quoted}}}}}\n"),
            2 => format!("services: {{{quoted}: {{}}}}\n"),
            3 => format!("vrrp: {{instances: {{a: {{addresses: [{quoted}], interval: {quoted}, interface: {quoted}}}}}}}\n"),
            4 => format!("services: {{a: {{check: {{http: {{path: {quoted}, host: {quoted}, expect: {quoted}}}}}}}}}\n"),
            5 => edge(&format!("multicast_group: {quoted}, unicast: {{source: {quoted}, peers: [{quoted}, {{address: 192.0.2.1, ttl: {quoted}}}]}}")),
            6 => edge(&format!("routes: [{{to: {quoted}, via: {quoted}, table: {quoted}, device: {quoted}}}]")),
            7 => edge(&format!("rules: [{{from: {quoted}, mark: {quoted}, iif: {quoted}, table: 1, priority: 1}}]")),
            8 => edge(&format!("excluded: [{{address: 192.0.2.1/24, label: {quoted}}}], virtual_mac: {{name: {quoted}}}, track: [{quoted}]")),
            9 => format!("vrrp: {{trackers: {{a: {{file: {{path: {quoted}}}}}, b: {{process: {{name: {quoted}}}}}, c: {{bfd: {{peer: {quoted}}}}}}}}}\n"),
            10 => format!("vrrp: {{groups: {{a: {{instances: [{quoted}, {quoted}]}}}}, interfaces: {{{quoted}: {{up_delay: {quoted}}}}}}}\n"),
            11 => format!("vrrp: {{hooks: [{{command: [{quoted}], on: {quoted}}}]}}\n"),
            _ => format!("services: {{a: {{listen: 'tcp 10.0.0.1:1', forward: nat, real_servers: {{a: {quoted}}}}}}}\n"),
        };
        holds(text.as_bytes());
    }

    #[test]
    fn no_password_is_ever_shown(
        password in "[ -~]{4,12}",
        quoted in any::<bool>(),
        style in 0_usize..4,
        edits in prop::collection::vec(edit(), 0..3),
    ) {
        // Without quotes other characters end the value or make it something else.
        let kept = |c: &char| quoted || c.is_ascii_alphanumeric();
        let marked = format!("Zq{}Zq", password.chars().filter(kept).collect::<String>());
        let value = if quoted { serde_json::to_string(&marked).unwrap() } else { marked };
        let before = match style {
            0 => edge(&format!("priority: 0, authentication: {{password: {value}}}")),
            1 => edge(&format!("priority: 0, auth_pass: {value}")),
            2 => format!("vrrp:\n  instances:\n    a:\n      authentication:\n        password: {value}\n      vrid: 0\n"),
            _ => format!("authentication: {value}\nvrid: 0\n"),
        };
        // Damage behind the password, which leaves its key as it is.
        let mut text: Vec<char> = before.chars().collect();
        let end = before.rfind("Zq").unwrap() + 2;
        for (at, _, inserted) in edits {
            let at = end + at.index(text.len() - end + 1);
            text.splice(at..at, FRAGMENTS[inserted.index(FRAGMENTS.len())].chars());
        }
        let text: String = text.into_iter().collect();
        let outcome = parse("f", &text, &Environment::new("lb1"));
        let shown = outcome.render(false);
        prop_assert!(!shown.contains("Zq"), "{text}\n{shown}");
    }

    #[test]
    fn run_time_servers_and_explanations_never_panic(text in ".{0,40}", weight in any::<Option<u32>>()) {
        let config = parse("f", SEEDS[0], &Environment::new("lb1")).config.unwrap();
        let service = config.services.values().next().unwrap();
        let _result = RealServer::new(Some(&text), &text, weight, service, &config);
        let _result = explain(&text);
    }
}

#[test]
fn hostile_structures_are_refused() {
    let deep = "[".repeat(100_000);
    let deep_block: String = (0..1000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    let one_line = format!("services: {{{}}}", "a: 1, ".repeat(20_000));
    let long_key = format!("{}: 1\n", "k".repeat(1_000_000));
    let laughs = "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n".to_owned();
    let nodes: String = (0..2000).map(|n| format!("n{n}: {{priority: 1}}, ")).collect();
    let nodes = format!(
        "vrrp: {{instances: {{a: {{interface: e, vrid: 1, addresses: [10.0.0.1], per_node: {{{nodes}}}}}}}}}"
    );
    for text in [deep, deep_block, one_line, long_key, laughs, nodes] {
        let outcome = parse("f", &text, &Environment::new("lb1"));
        assert!(outcome.config.is_none());
        holds(text.as_bytes());
    }
}
