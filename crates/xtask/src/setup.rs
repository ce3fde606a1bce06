//! Debian's packages: which are needed, which are missing, and installing them. The stock kernel's is not among them: it is
//! only unpacked ([`crate::stock`]).

use std::{
    path::Path,
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context, Result, bail};
use holdfast_testkit::guest::stock;

/// A package, and what it is for.
#[derive(Debug, Clone, Copy)]
struct Package {
    name: &'static str,
    /// It is installed if one of these is there.
    programs: &'static [&'static str],
    reason: &'static str,
    /// The service that its installation would start; a test machine needs the program only.
    service: Option<&'static str>,
}

const fn package(
    name: &'static str,
    programs: &'static [&'static str],
    reason: &'static str,
    service: Option<&'static str>,
) -> Package {
    Package { name, programs, reason, service }
}

/// Everything that `demo` and `test` need beyond Rust.
const PACKAGES: &[Package] = &[
    package("user-mode-linux", &["/usr/bin/linux.uml"], "a kernel with IPVS, as a process", None),
    package("iproute2", &["/usr/sbin/ip", "/usr/bin/ip"], "the lab's namespaces and links", None),
    package("kmod", &["/usr/sbin/modprobe"], "the guest's kernel modules", None),
    package("util-linux", &["/usr/bin/setpriv"], "no process outlives its owner", None),
    package("mount", &["/usr/bin/mount"], "the guest's root", None),
    package("procps", &["/usr/bin/pgrep"], "looking for processes", None),
    package("nginx-light", &["/usr/sbin/nginx"], "real servers", Some("nginx")),
    package("redis-server", &["/usr/bin/redis-server"], "real servers", Some("redis-server")),
    package("memcached", &["/usr/bin/memcached"], "real servers", Some("memcached")),
    package("mariadb-server-core", &["/usr/sbin/mariadbd"], "real servers", None),
    package("mariadb-client-core", &["/usr/bin/my_print_defaults"], "mariadb-install-db", None),
    package(
        "postgresql",
        &["/usr/lib/postgresql/15/bin/postgres", "/usr/lib/postgresql/17/bin/postgres"],
        "real servers",
        Some("postgresql"),
    ),
    package("bind9-dnsutils", &["/usr/bin/dig"], "what the script `dns` asks with", None),
    package(
        "galera-4",
        &["/usr/lib/galera/libgalera_smm.so"],
        "a cluster for the script `galera`",
        None,
    ),
    package("slapd", &["/usr/sbin/slapd"], "a real server for the script `ldap`", Some("slapd")),
    package("ldap-utils", &["/usr/bin/ldapsearch"], "what the script `ldap` asks with", None),
    package("samba", &["/usr/sbin/smbd"], "a real server for the script `smb`", Some("smbd")),
    package("smbclient", &["/usr/bin/smbclient"], "what the script `smb` asks with", None),
    package("curl", &["/usr/bin/curl"], "what the script `load` asks with", None),
    package("unbound", &["/usr/sbin/unbound"], "real servers", Some("unbound")),
    package("exim4-daemon-light", &["/usr/sbin/exim4"], "real servers", Some("exim4")),
    package("python3-grpcio", &["/usr/lib/python3/dist-packages/grpc"], "a real server", None),
    package("haproxy", &["/usr/sbin/haproxy"], "what a pair stands before", Some("haproxy")),
    package("keepalived", &["/usr/sbin/keepalived"], "the other director", Some("keepalived")),
    package("frr", &["/usr/lib/frr/vrrpd"], "the other director, of another make", Some("frr")),
    package("bird2", &["/usr/sbin/bird"], "the other end of a BFD session", Some("bird")),
    package("nftables", &["/usr/sbin/nft"], "what closes addresses with `accept: false`", None),
    package(
        "iptables",
        &["/usr/sbin/iptables-legacy"],
        "marks in the guest, which has no nftables",
        None,
    ),
    package("ipvsadm", &["/usr/sbin/ipvsadm"], "a second opinion on the kernel's table", None),
    package(
        "qemu-system-x86",
        &[stock::QEMU],
        "runs the stock kernel, for what the guest's has not",
        None,
    ),
    // 19 MB, and 3 MB of scripts for its pages that it depends on; Debian has promtool nowhere else.
    package(
        "prometheus",
        &["/usr/bin/promtool"],
        "a second opinion on metrics",
        Some("prometheus"),
    ),
    package(
        "systemd",
        &["/usr/bin/systemd-analyze"],
        "a second opinion on the service's unit",
        None,
    ),
];

pub(crate) const APT_GET: &str = "/usr/bin/apt-get";

/// `cargo xtask setup`.
pub(crate) fn run() -> Result<ExitCode> {
    ensure()?;
    crate::stock::ensure()?;
    println!("Every package is installed.");
    for package in PACKAGES {
        println!("  {:<16} {}", package.name, package.reason);
    }
    Ok(ExitCode::SUCCESS)
}

/// Installs what is missing.
///
/// # Errors
/// Something is missing and this is not root, or not Debian, or apt-get fails: says what to do.
pub(crate) fn ensure() -> Result<()> {
    let missing = missing(PACKAGES, |path| Path::new(path).exists());
    if missing.is_empty() {
        return Ok(());
    }
    if !Path::new(APT_GET).exists() {
        bail!("{}", advice_elsewhere(&missing));
    }
    if !nix::unistd::geteuid().is_root() {
        bail!("{}", advice_for_root(&missing));
    }
    println!("Installing {}", names(&missing));
    apt_get(&["update", "-qq"])?;
    let mut arguments = vec!["install", "-qq", "-y", "--no-install-recommends"];
    arguments.extend(missing.iter().map(|package| package.name));
    apt_get(&arguments)?;
    for service in missing.iter().filter_map(|package| package.service) {
        stop(service);
    }
    let still = self::missing(PACKAGES, |path| Path::new(path).exists());
    if !still.is_empty() {
        bail!("apt-get reported success, but these are still missing: {}", names(&still));
    }
    Ok(())
}

fn missing(packages: &[Package], exists: impl Fn(&str) -> bool) -> Vec<Package> {
    let is_missing = |package: &&Package| !package.programs.iter().any(|path| exists(path));
    packages.iter().filter(is_missing).copied().collect()
}

fn names(packages: &[Package]) -> String {
    packages.iter().map(|package| package.name).collect::<Vec<_>>().join(" ")
}

fn advice_for_root(missing: &[Package]) -> String {
    format!(
        "packages are missing; run this as root, and then this command again:\n  \
         apt-get update && apt-get install -y --no-install-recommends {}",
        names(missing)
    )
}

fn advice_elsewhere(missing: &[Package]) -> String {
    let mut text =
        "this is not Debian (no apt-get); install what provides these programs:".to_owned();
    for package in missing {
        let program = package.programs.first().unwrap_or(&package.name);
        text.push_str(&format!(
            "\n  {program} ({}; Debian's package {})",
            package.reason, package.name
        ));
    }
    text
}

/// Runs apt-get, as root.
///
/// # Errors
/// It fails: what it said is on standard error.
pub(crate) fn apt_get(arguments: &[&str]) -> Result<()> {
    let output = Command::new(APT_GET)
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        // In single-user mode no service starts because its package was installed.
        .env("RUNLEVEL", "1")
        .stdin(Stdio::null())
        .output()
        .context("cannot run apt-get")?;
    if !output.status.success() {
        // What it says is of interest only then.
        eprint!("{}", String::from_utf8_lossy(&output.stdout));
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
        bail!("apt-get {} failed; what it said is above", arguments.join(" "));
    }
    Ok(())
}

/// Stops a service that came with a package that was just installed, should it have started anyway. Where there is no
/// service manager there is nothing to stop.
fn stop(service: &str) {
    drop(
        Command::new("service")
            .args([service, "stop"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status(),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_is_installed() {
        let found = missing(PACKAGES, |path| path != "/usr/sbin/nginx" && path != "/usr/sbin/ip");
        assert_eq!(names(&found), "nginx-light");
        assert!(missing(PACKAGES, |_| true).is_empty());
        assert_eq!(missing(PACKAGES, |_| false).len(), PACKAGES.len());
    }

    #[test]
    fn a_user_is_told_the_one_command() {
        let advice = advice_for_root(&missing(PACKAGES, |path| !path.contains("keepalived")));
        assert!(advice.ends_with(
            "\n  apt-get update && apt-get install -y --no-install-recommends keepalived"
        ));
    }

    #[test]
    fn elsewhere_the_programs_are_named() {
        let advice = advice_elsewhere(&missing(PACKAGES, |path| !path.contains("ipvsadm")));
        assert!(advice.contains("/usr/sbin/ipvsadm (a second opinion"), "{advice}");
    }

    #[test]
    fn each_package_is_named_once() {
        let mut names: Vec<_> = PACKAGES.iter().map(|package| package.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), PACKAGES.len());
    }
}
