//! A server that is there for as long as it says so again.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holdfast_integration::Director;
use holdfast_testkit::lab::wait_until;
use serde_json::Value;

use crate::{BOTH, LIMIT, SERVICE, changes, config, lab};

#[test]
fn a_lease_is_renewed_by_repetition_and_its_end_is_a_drain() -> Result<()> {
    let lab = lab()?;
    let mut director = Director::start(lab.lb1(), &config(&lab, BOTH, ""))?;
    let add =
        ["server", "add", "web", "10.77.0.23:80", "--name", "web3", "--ttl", "6s", "-o", "json"];
    let changed = |words: &[&str]| -> Result<Value> {
        Ok(serde_json::from_str::<Value>(&director.cli(words)?)?["changed"].clone())
    };
    assert_eq!((changed(&add)?, changed(&add)?), (true.into(), false.into()));
    let web3 = director.server("web", "web3")?.context("web3")?;
    assert_eq!((web3.origin.as_str(), web3.lease_ms), ("lease", Some(6000)));
    // It registers as its boot script would, for longer than its lease.
    let began = std::time::Instant::now();
    while began.elapsed() < Duration::from_secs(8) {
        assert_eq!(changed(&add)?, false);
        std::thread::sleep(Duration::from_millis(200));
    }
    // Another daemon gives it its whole time again.
    director.kill()?;
    director.restart()?;
    let web3 = director.server("web", "web3")?.context("web3")?;
    assert_eq!((web3.origin.as_str(), web3.state.as_str()), ("lease", "up"));
    wait_until(LIMIT, "the server to be gone", || {
        director.server("web", "web3").ok()?.is_none().then_some(())
    })?;
    director.wait_weights(SERVICE, &[("10.77.0.21:80", 1), ("10.77.0.22:80", 2)])?;
    ensure!(director.process().log().contains("the lease of a real server has ended"), "the log");
    wait_until(LIMIT, "no change to be left", || {
        changes(&director).ok()?.is_empty().then_some(())
    })?;
    director.kill()?;
    director.restart()?;
    assert_eq!(director.server("web", "web3")?, None);
    let (code, _, err) =
        director.try_cli(&["server", "add", "web", "10.77.0.23:80", "--ttl", "10ms"])?;
    ensure!(code == 1 && err.contains("a lease is 1s to 7 days"), "{code} {err}");
    Ok(())
}
