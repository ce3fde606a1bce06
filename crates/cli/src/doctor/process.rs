//! What processes may do, and which others are in the way.

use std::fs;

use holdfast_config::{Config, TrackerKind};
use nix::sys::resource::{Resource, getrlimit};

use super::Finding;

/// Programs that hold the same addresses, the same table or the same port, and why two of them don't go together.
const OTHERS: [(&str, &str); 5] = [
    ("keepalived", "it moves virtual addresses and programs IPVS, too"),
    ("vrrpd", "it speaks VRRP, too"),
    ("ucarp", "it moves virtual addresses, too"),
    ("ldirectord", "it programs IPVS, too"),
    ("kube-proxy", "it may program IPVS, too, and removes services that are not its own"),
];

/// Capabilities by their numbers in linux/capability.h.
const NEEDED: [(u32, &str); 2] = [(12, "CAP_NET_ADMIN"), (13, "CAP_NET_RAW")];

/// Whether this process could do what a daemon has to.
pub(super) fn rights() -> Finding {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let lacks = lacking(&status);
    if lacks.is_empty() {
        return Finding::ok("rights", "CAP_NET_ADMIN and CAP_NET_RAW are there");
    }
    let text = format!("this process lacks {}", lacks.join(" and "));
    let help = "run `holdfast doctor` as root: then it sees what the daemon sees";
    Finding::warn("rights", text, help)
}

fn lacking(status: &str) -> Vec<&'static str> {
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
    // Where the kernel does not tell, its refusals will.
    let Some(effective) = effective else { return Vec::new() };
    let lacks =
        |(number, name): &(u32, &'static str)| (effective & (1 << number) == 0).then_some(*name);
    NEEDED.iter().filter_map(lacks).collect()
}

/// Other programs that do what the daemon does.
pub(super) fn others() -> Vec<Finding> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let mut findings = Vec::new();
    let mut seen = Vec::new();
    for process in processes.flatten() {
        let name = process.file_name();
        let Some(number) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let comm = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
        let comm = comm.trim_end();
        let Some((program, why)) = OTHERS.iter().find(|(program, _)| *program == comm) else {
            continue;
        };
        if seen.contains(program) || !is_here(number) {
            continue;
        }
        seen.push(program);
        let text = format!("{program} runs (process {number}): {why}");
        let help = format!(
            "stop and disable it (`systemctl disable --now {program}`), or keep them apart"
        );
        findings.push(Finding::fail("others", text, help));
    }
    if findings.is_empty() {
        findings.push(Finding::ok("others", "no other program holds addresses or programs IPVS"));
    }
    findings
}

/// Whether a process is in this network namespace; one that does not tell may be.
fn is_here(process: u32) -> bool {
    let own = fs::read_link("/proc/self/ns/net").ok();
    let its = fs::read_link(format!("/proc/{process}/ns/net")).ok();
    own.zip(its).is_none_or(|(own, its)| own == its)
}

/// How many descriptors the configuration may need, against the limit.
pub(super) fn limits(config: Option<&Config>) -> Option<Finding> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    let needed = config.map_or(0, descriptors) + 256;
    if soft >= needed {
        return Some(Finding::ok("limits", format!("{soft} descriptors, {needed} may be needed")));
    }
    let text = format!("{soft} descriptors (hard limit {hard}) where {needed} may be needed");
    let help =
        "`LimitNOFILE=` of the service's unit, or `ulimit -n`; this is the limit of this shell";
    Some(Finding::warn("limits", text, help))
}

/// A descriptor for each check that may run at once, and for each instance and tracker some.
fn descriptors(config: &Config) -> u64 {
    let checks: usize = config
        .services
        .values()
        .map(|service| {
            let servers = service.real_servers.values();
            let each = servers.map(|server| service.checks_of(server).0.len());
            each.sum::<usize>()
        })
        .sum();
    let trackers = config.vrrp.trackers.values();
    let trackers = trackers.filter(|one| !matches!(one.kind, TrackerKind::Interface(_))).count();
    u64::try_from(checks + 4 * config.instances.len() + 2 * trackers).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_lacks_is_named() {
        assert!(lacking("CapEff:\t000001ffffffffff\n").is_empty());
        assert_eq!(lacking("CapEff:\t0000000000002000\n"), ["CAP_NET_ADMIN"]);
        assert_eq!(lacking("CapEff:\t0\n"), ["CAP_NET_ADMIN", "CAP_NET_RAW"]);
        assert!(lacking("").is_empty());
    }
}
