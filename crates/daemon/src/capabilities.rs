//! What the daemon must be allowed to do (capabilities(7)), asked before anything is begun.

use std::fs;

/// Missing capabilities.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this process lacks {}: run as root, or grant it (`AmbientCapabilities=` of the service's unit, `setcap` on the program)",
    .0.join(" and ")
)]
pub(crate) struct Missing(Vec<String>);

/// Capabilities by their numbers in linux/capability.h, and what needs them.
const NEEDED: [(u32, &str); 2] =
    [(12, "CAP_NET_ADMIN (virtual addresses, IPVS)"), (13, "CAP_NET_RAW (VRRP, gratuitous ARP)")];

/// Makes sure that this process has every capability that a director needs.
///
/// # Errors
/// One is not among the effective ones.
pub(crate) fn require() -> Result<(), Missing> {
    // Where the kernel does not tell, its refusals will.
    let Ok(status) = fs::read_to_string("/proc/self/status") else { return Ok(()) };
    missing(&status).map_or(Ok(()), Err)
}

fn missing(status: &str) -> Option<Missing> {
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    let effective = u64::from_str_radix(effective.trim(), 16).ok()?;
    let lacks =
        |(number, name): &(u32, &str)| (effective & (1 << number) == 0).then(|| (*name).to_owned());
    let names: Vec<String> = NEEDED.iter().filter_map(lacks).collect();
    (!names.is_empty()).then_some(Missing(names))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        let status = |bits| format!("Name:\tholdfastd\nCapPrm:\t0\nCapEff:\t{bits}\n");
        assert_eq!(missing(&status("000001ffffffffff")), None);
        let raw_only = missing(&status("0000000000002000")).expect("one is missing").to_string();
        assert!(
            raw_only.starts_with("this process lacks CAP_NET_ADMIN (virtual addresses, IPVS): ")
        );
        let none = missing(&status("0000000000000000")).expect("both are missing").to_string();
        assert!(none.contains("CAP_NET_ADMIN") && none.contains("CAP_NET_RAW"), "{none}");
        assert_eq!(missing("no such line"), None);
    }
}
