//! Probes as the configuration has them.

use std::net::SocketAddr;
use std::sync::Arc;

use holdfast_config::{CheckKind, Environment, parse};
use holdfast_probe::{Network, Probe};

/// The probe that the key `check` makes of `check`, of the server at `server`.
pub(crate) fn probe(check: &str, server: SocketAddr) -> Probe {
    let text = format!(
        "services:\n  s:\n    listen: tcp 192.0.2.1:80\n    forward: nat\n    check: {check}\n"
    );
    let outcome = parse("test", &text, &Environment::new("lb1"));
    let Some(config) = &outcome.config else { panic!("{}", outcome.render(false)) };
    let checks = config.services.values().flat_map(|service| &service.checks);
    let Some(CheckKind::Network(check)) = checks.map(|check| &check.kind).next() else {
        panic!("{check} is a check over the network")
    };
    Probe::Network(Network { check: Arc::clone(check), server })
}
