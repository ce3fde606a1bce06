use super::*;
use crate::{Environment, parse};

fn config(text: &str) -> Config {
    let outcome = parse("test.yaml", text, &Environment::new("lb1"));
    outcome.config.clone().unwrap_or_else(|| panic!("{}", outcome.render(false)))
}

const BASE: &str = "
vrrp:
  hooks: [{command: [/bin/true]}]
  trackers: {up: {interface: eth1}}
  instances:
    edge: {interface: eth0, vrid: 51, addresses: [192.0.2.10/24], track: [{tracker: up, weight: -10}]}
services:
  web:
    listen: tcp 192.0.2.10:80
    scheduler: wlc
    forward: nat
    check: {tcp: {}, interval: 2s, timeout: 1s}
    real_servers: {web1: 10.0.0.11:80, web2: {address: 10.0.0.12:80, weight: 2}}
";

/// What becomes of [`BASE`] when `from` is replaced by `to`, a line each.
fn lines(from: &str, to: &str) -> Vec<String> {
    let old = config(BASE);
    let text = BASE.replace(from, to);
    assert_ne!(text, BASE, "{from} is not there");
    let found = changes(&old, &config(&text));
    found
        .iter()
        .map(|change| {
            let Change { sign, subject, key, text, impact } = change;
            let key = key.map_or_else(String::new, |key| format!(" {key}"));
            format!("{sign:?} {subject}{key}: {text} ({})", impact.words())
        })
        .collect()
}

#[test]
fn equal_configurations_have_no_difference() {
    assert_eq!(changes(&config(BASE), &config(BASE)), []);
}

#[test]
fn each_change_is_one_line_with_its_impact() {
    for (from, to, expected) in [
        ("wlc", "rr", "Change service web scheduler: wlc → rr (new connections only)"),
        ("weight: 2}", "weight: 3}", "Change server web/web2 weight: 2 → 3 (new connections only)"),
        ("web1: 10.0.0.11:80, ", "", "Remove server web/web1: 10.0.0.11:80 weight 1 (connections)"),
        ("web1:", "www:", "Change server web/www name: web1 → www (none)"),
        (
            "forward: nat",
            "forward: tunnel",
            "Change service web forward: nat → tunnel (new connections only)",
        ),
        (
            "listen: tcp 192.0.2.10:80",
            "listen: [tcp 192.0.2.10:80, tcp 192.0.2.10:443]",
            "Change service web listen: +tcp 192.0.2.10:443 (none)",
        ),
        (
            "vrid: 51",
            "vrid: 51, priority: 90",
            "Change vrrp edge priority: 100 → 90 (VRRP transition)",
        ),
        (
            "[192.0.2.10/24]",
            "[192.0.2.10/24, 192.0.2.11/24]",
            "Change vrrp edge addresses: +192.0.2.11/24 (peer must match)",
        ),
        ("edge:", "rim:", "Change vrrp rim name: edge → rim (none)"),
        (
            "weight: -10",
            "weight: -20",
            "Change vrrp edge track: -(up -10) +(up -20) (VRRP transition)",
        ),
        (
            "eth1",
            "eth2",
            "Change tracker up kind: interface eth1 → interface eth2 (VRRP transition)",
        ),
        (
            "listen: tcp 192.0.2.10:80\n",
            "listen: tcp 192.0.2.10:80\n    upper_threshold: 100\n",
            "Change service web thresholds: 0/0 → 100/0 (new connections only)",
        ),
        (
            "services:",
            "ipvs: {timeouts: {tcp: 1h}}\nservices:",
            "Change ipvs timeouts: (tcp 0 s, tcp_fin 0 s, udp 0 s) → (tcp 3600 s, tcp_fin 0 s, udp 0 s) (none)",
        ),
        (
            "services:",
            "ipvs: {foreign: remove}\nservices:",
            "Change ipvs foreign: keep → remove (connections)",
        ),
        ("/bin/true", "/bin/false", "Change vrrp hooks: -(/bin/true) +(/bin/false) (none)"),
        (
            "services:",
            "daemon: {state: /var/lib/other}\nservices:",
            "Change daemon state: /var/lib/holdfast → /var/lib/other (restart needed)",
        ),
    ] {
        assert_eq!(lines(from, to), [expected], "{from} → {to}");
    }
}

#[test]
fn a_server_with_another_address_is_another() {
    assert_eq!(
        lines("web1: 10.0.0.11:80", "web1: 10.0.0.13:80"),
        [
            "Remove server web/web1: 10.0.0.11:80 weight 1 (connections)",
            "Add server web/web1: 10.0.0.13:80 weight 1 (none)",
        ]
    );
}

#[test]
fn servers_that_exchange_their_names_are_the_same_servers() {
    let swapped = lines(
        "{web1: 10.0.0.11:80, web2: {address: 10.0.0.12:80, weight: 2}}",
        "{web2: 10.0.0.11:80, web1: {address: 10.0.0.12:80, weight: 2}}",
    );
    assert_eq!(
        swapped,
        [
            "Change server web/web1 name: web2 → web1 (none)",
            "Change server web/web2 name: web1 → web2 (none)",
        ]
    );
}

#[test]
fn a_password_is_never_shown() {
    let with = |password: &str| {
        config(&BASE.replace(
            "vrid: 51",
            &format!("vrid: 51, version: 2, authentication: {{password: {password}}}"),
        ))
    };
    let found = changes(&with("geheim"), &with("secret"));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(!format!("{found:?}").contains("geheim") && !format!("{found:?}").contains("secret"));
}

#[test]
fn what_a_check_sends_is_never_shown() {
    let with = |password: &str| {
        config(&format!(
            "services: {{web: {{listen: tcp 192.0.2.10:80, forward: nat, check: {{tcp: {{send: 'AUTH {password}', expect: OK}}}}, real_servers: {{w: 10.0.0.1:80}}}}}}\n"
        ))
    };
    let found = changes(&with("geheim"), &with("secret"));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(!format!("{found:?}").contains("geheim") && !format!("{found:?}").contains("secret"));
}

#[test]
fn renamed_instances_are_paired_by_their_virtual_router() {
    let text = |name: &str| {
        format!(
            "vrrp: {{instances: {{{name}: {{interface: eth0, vrid: 51, addresses: [192.0.2.1/24]}}}}}}\n"
        )
    };
    let (old, new) = (config(&text("edge")), config(&text("rim")));
    let renamed: Vec<(&str, &str)> = renamed_instances(&old, &new)
        .into_iter()
        .map(|(before, now)| (before.as_str(), now.as_str()))
        .collect();
    assert_eq!(renamed, [("edge", "rim")]);
    assert_eq!(renamed_instances(&old, &old), []);
}

#[test]
fn other_packets_of_the_same_mark_are_no_other_service() {
    let with =
        |listen: &str| config(&format!("services: {{web: {{listen: {listen}, forward: nat}}}}\n"));
    let impact = |from: &str, to: &str| -> Vec<Impact> {
        changes(&with(from), &with(to)).iter().map(|change| change.impact).collect()
    };
    let ports = "{fwmark: 7, match: tcp 192.0.2.10:8000-8999}";
    assert_eq!(impact(ports, "{fwmark: 7, match: tcp 192.0.2.10:80}"), [Impact::NewConnections]);
    assert_eq!(impact(ports, "fwmark 8"), [Impact::Connections]);
}

#[test]
fn what_becomes_of_failing_servers_is_compared_key_by_key() {
    let added =
        |keys: &str| lines("    scheduler: wlc\n", &format!("    scheduler: wlc\n    {keys}\n"));
    for (keys, expected) in [
        ("quorum: 2", "Change service web quorum: 1 → 2 (new connections only)"),
        (
            "all_down: fail_open",
            "Change service web all_down: drop → fail_open (new connections only)",
        ),
        (
            "on_failure: remove",
            "Change service web on_failure: inhibit → remove (new connections only)",
        ),
        ("initial: up", "Change service web initial: kernel → up (none)"),
        (
            "flap_damping: {}",
            "Change service web flap_damping: none → 3 within 300s for 120s (none)",
        ),
        ("hooks: [{command: [/bin/true]}]", "Change service web hooks: +(/bin/true) (none)"),
    ] {
        assert_eq!(added(keys), [expected], "{keys}");
    }
    assert_eq!(
        added("sorry_servers: {sorry: 10.0.0.9:80}"),
        [
            "Change service web sorry_servers: [] → [sorry 10.0.0.9:80 weight 1] (new connections only)",
            "Change service web all_down: drop → sorry (new connections only)",
        ]
    );
    assert_eq!(
        lines(
            "check: {tcp: {}, interval: 2s, timeout: 1s}",
            "checks: {any: [{tcp: {}, interval: 2s, timeout: 1s}]}"
        ),
        ["Change service web checks: all → any (new connections only)"]
    );
    // What it comes to for VRRP is told as well.
    assert_eq!(
        added("all_down: withdraw_vip"),
        [
            "Add tracker web: service web (none)",
            "Change vrrp edge track: +(web) (VRRP transition)",
            "Change service web all_down: drop → withdraw_vip (new connections only)",
        ]
    );
}
