//! A node's IPVS table as `ipvsadm` tells it: another program's eyes on what the daemon made.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use holdfast_testkit::lab::Node;

/// The lines of `ipvsadm -Sn`, sorted: `-A` adds a service, `-a` a destination.
///
/// # Errors
/// ipvsadm can't be run, or the kernel refuses.
pub fn saved_table(node: &Node) -> Result<Vec<String>> {
    let saved = node.run(["ipvsadm", "-Sn"])?.stdout;
    let mut lines: Vec<String> = saved.lines().map(|line| line.trim().to_owned()).collect();
    lines.sort();
    Ok(lines)
}

/// The weights of a service's destinations, by address and port. `service` is as ipvsadm writes it: `-t 10.77.0.10:80`.
///
/// # Errors
/// As [`saved_table`], or a line is not understood.
pub fn weights(node: &Node, service: &str) -> Result<BTreeMap<String, u32>> {
    let start = format!("-a {service} -r ");
    let lines = saved_table(node)?;
    let destinations = lines.iter().filter_map(|line| line.strip_prefix(&start));
    destinations
        .map(|rest| weight(rest).with_context(|| format!("ipvsadm said {rest:?}")))
        .collect()
}

fn weight(rest: &str) -> Option<(String, u32)> {
    let mut words = rest.split_whitespace();
    let address = words.next()?;
    let weight = words.skip_while(|word| *word != "-w").nth(1)?;
    Some((address.to_owned(), weight.parse().ok()?))
}
