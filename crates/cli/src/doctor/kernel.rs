//! What the kernel has: IPVS and its schedulers, nftables, sysctls.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use holdfast_config::Config;
use holdfast_control::chain;
use ipvs_ctl::client::{Client, ClientError};

use super::Finding;

/// IPVS, and the modules of the schedulers that services have.
pub(super) fn ipvs(config: Option<&Config>) -> Vec<Finding> {
    let needed = config.is_some_and(Config::uses_ipvs);
    let mut findings = Vec::new();
    let asked = Client::open().and_then(|mut client| Ok((client.info()?, client.table()?)));
    match asked {
        Ok((info, table)) => {
            let (a, b, c) = info.version;
            findings.push(Finding::ok(
                "ipvs",
                format!("IPVS {a}.{b}.{c} answers, {} services", table.len()),
            ));
        }
        Err(error) => {
            let help = if matches!(error, ClientError::NoIpvs) {
                "`modprobe ip_vs`; in a container the module has to be loaded on its host"
            } else {
                error.help().unwrap_or("run this as root")
            };
            let text = format!("IPVS does not answer: {}", chain(&error));
            findings.push(match needed {
                true => Finding::fail("ipvs", text, help),
                false => Finding::warn("ipvs", text, help),
            });
        }
    }
    let Some(config) = config else { return findings };
    let schedulers: BTreeSet<String> =
        config.services.values().map(|service| service.scheduler.to_string()).collect();
    for scheduler in schedulers {
        let module = format!("ip_vs_{scheduler}");
        if !is_there(Path::new("/"), &module) {
            let text = format!("the kernel has no module {module} for `scheduler: {scheduler}`");
            let help = "choose another scheduler, or a kernel that has it";
            findings.push(Finding::fail("ipvs", text, help));
        }
    }
    findings
}

/// Whether the kernel has a module: loaded, built in, or to be loaded.
fn is_there(root: &Path, module: &str) -> bool {
    if root.join("sys/module").join(module).exists() {
        return true;
    }
    let release = fs::read_to_string(root.join("proc/sys/kernel/osrelease")).unwrap_or_default();
    let folder = root.join("lib/modules").join(release.trim());
    let file = format!("/{module}.ko");
    let lists = ["modules.builtin", "modules.dep"];
    let mut read =
        lists.iter().filter_map(|list| fs::read_to_string(folder.join(list)).ok()).peekable();
    // A host without lists, a container say, does not tell: the kernel itself will.
    read.peek().is_none() || read.any(|list| list.contains(&file))
}

/// The program `nft`, where the configuration needs it.
pub(super) fn firewall(config: Option<&Config>) -> Option<Finding> {
    let config = config?;
    let needed = config.instances.values().any(|instance| !instance.accept)
        || config.marks().next().is_some();
    if !needed {
        return None;
    }
    let listed = Command::new("nft")
        .args(["list", "tables"])
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .stdin(Stdio::null())
        .output();
    Some(match listed {
        Ok(output) if output.status.success() => Finding::ok("nft", "nftables answers"),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.lines().next().unwrap_or("it says nothing").to_owned();
            let help = "the kernel needs nf_tables (`modprobe nf_tables`), and this command root";
            Finding::fail("nft", format!("nftables does not answer: {said}"), help)
        }
        // That the program is missing the configuration's check has said.
        Err(_) => return None,
    })
}

/// Sysctls that services need and that can't be set.
pub(super) fn sysctls(config: &Config) -> Vec<Finding> {
    let wanted = config.sysctls();
    let total = wanted.len();
    let mut findings: Vec<Finding> = Vec::new();
    for sysctl in wanted {
        let path = Path::new("/proc/sys").join(&sysctl.path);
        let name = sysctl.path.replace('/', ".");
        // Looked at without being opened for writing: who asks may be nobody in particular.
        let Ok(metadata) = fs::metadata(&path) else {
            let text = format!("there is no {name}, which {}", sysctl.why);
            let help = "`modprobe ip_vs` makes those of IPVS; an older kernel may lack it";
            findings.push(Finding::warn("sysctls", text, help));
            continue;
        };
        if metadata.permissions().readonly() {
            let text = format!("{name} can't be set, which {}", sysctl.why);
            let help = "set it on the host (a container's /proc/sys is read-only)";
            findings.push(Finding::fail("sysctls", text, help));
        }
    }
    if findings.is_empty() && total > 0 {
        let text = format!("{total} sysctls that services need are there; the daemon sets them");
        findings.push(Finding::ok("sysctls", text));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_is_there_loaded_built_in_or_to_be_loaded() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        assert!(is_there(root.path(), "ip_vs_rr"), "nobody tells");
        put("proc/sys/kernel/osrelease", "6.1.0\n");
        put("lib/modules/6.1.0/modules.builtin", "kernel/net/netfilter/ipvs/ip_vs_wlc.ko\n");
        put(
            "lib/modules/6.1.0/modules.dep",
            "kernel/net/netfilter/ipvs/ip_vs_mh.ko.xz: kernel/x.ko\n",
        );
        put("sys/module/ip_vs_sh/refcnt", "0");
        for module in ["ip_vs_wlc", "ip_vs_mh", "ip_vs_sh"] {
            assert!(is_there(root.path(), module), "{module}");
        }
        assert!(!is_there(root.path(), "ip_vs_rr"));
    }
}
