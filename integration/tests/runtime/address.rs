//! A server named by its address alone.

use anyhow::{Result, ensure};
use holdfast_integration::Director;

use crate::{BOTH, SERVICE, config, lab};

/// Where another server of the service has it, too, the port is asked for.
#[test]
fn a_server_is_meant_by_its_address_alone_where_no_other_has_it() -> Result<()> {
    let lab = lab()?;
    let six = "  six: {listen: 'tcp [fd00:77::10]:80', forward: nat, real_servers: {a: '[fd00:77::21]:80'}}\n";
    let director = Director::start(lab.lb1(), &config(&lab, BOTH, six))?;
    director.cli(&["server", "add", "web", "10.77.0.22:8080", "--name", "other"])?;
    for verb in ["drain", "rm"] {
        let (code, _, said) = director.try_cli(&["server", verb, "web", "10.77.0.22"])?;
        ensure!(code == 1 && said.contains("have 10.77.0.22: say the port"), "{code} {said}");
    }
    director.cli(&["server", "rm", "web", "10.77.0.22:8080", "--now"])?;
    let said = director.cli(&["server", "maint", "web", "10.77.0.22"])?;
    ensure!(said.starts_with("web/web2 maint"), "{said}");
    let run = director.cli(&["check-run", "six", "[fd00:77::21]"])?;
    ensure!(run.starts_with("six/a ([fd00:77::21]:80), run by the daemon"), "{run}");
    for (service, name, address) in [("web", "web1", "10.77.0.21"), ("six", "a", "fd00:77::21")] {
        director.cli(&["server", "rm", service, address, "--now"])?;
        assert_eq!(director.server(service, name)?.map(|one| one.name), None);
        // Said again it is still known of whom.
        let said = director.cli(&["server", "rm", service, address])?;
        ensure!(said.starts_with(&format!("{service}/{name} is not there")), "{said}");
    }
    // As from `server add` without a port, whose name the daemon makes.
    director.cli(&["server", "add", "web", "10.77.0.23:80"])?;
    director.cli(&["server", "rm", "web/10.77.0.23", "--now"])?;
    director.wait_weights(SERVICE, &[("10.77.0.22:80", 0)])
}
