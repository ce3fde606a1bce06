//! Accept_Mode False (RFC 9568 §6.1): packets from the network to virtual addresses are dropped, but for IPv6 Neighbor Discovery.
//!
//! That is one table of nftables, [`TABLE`] of the family inet, which the program `nft` replaces as a whole: its chain hangs in the
//! hook `input`, behind the hooks of IPVS (NF_IP_PRI_NAT_SRC - 2 and - 1, that is 98 and 99), so that a service on such an address goes on
//! forwarding. An address that the node does not hold is not local, and never comes by.
//!
//! Nothing here is quick: a process is started, and waited for.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::clock::now;
use crate::wake::wait_until;

/// The table's name.
pub const TABLE: &str = "holdfast";
/// `nft` needs milliseconds; after this time it is killed.
const TIMEOUT: Duration = Duration::from_secs(5);
/// So much of what it says is kept.
const ANSWER_LEN: usize = 4096;

/// An address that packets are not accepted for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Closed {
    /// The virtual address.
    pub address: IpAddr,
    /// The interfaces that a link-local address is on: the same address may be another host's, or our own, on others.
    pub interfaces: BTreeSet<String>,
}

/// Drops what comes to the addresses of `closed`, and to no others; none of them removes the table.
///
/// # Errors
/// `nft` is not installed, was refused, or did not answer in time. What was dropped before still is.
pub fn close(closed: &BTreeSet<Closed>) -> Result<(), FirewallError> {
    nft(&if closed.is_empty() { removal() } else { script(closed) })
}

/// Whether the table is there, of this run or of one that was killed.
///
/// # Errors
/// `nft` is not installed or did not answer in time.
pub fn is_closed() -> Result<bool, FirewallError> {
    match nft(&format!("list table inet {TABLE}\n")) {
        Ok(()) => Ok(true),
        Err(FirewallError::Refused { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// A table is declared before it is deleted, so that there is always one to delete.
fn removal() -> String {
    format!("add table inet {TABLE}\ndelete table inet {TABLE}\n")
}

/// One transaction: packets see the old table or the new one.
fn script(closed: &BTreeSet<Closed>) -> String {
    let mut ipv4 = Vec::new();
    let mut ipv6 = Vec::new();
    let mut link_local = Vec::new();
    for one in closed {
        match one.address {
            IpAddr::V4(address) => ipv4.push(address.to_string()),
            IpAddr::V6(address) if address.is_unicast_link_local() => {
                let on = one.interfaces.iter().filter(|name| is_quotable(name));
                link_local.extend(on.map(|name| format!("\"{name}\" . {address}")));
            }
            IpAddr::V6(address) => ipv6.push(address.to_string()),
        }
    }
    let mut text = removal();
    let _infallible = writeln!(text, "table inet {TABLE} {{");
    for (name, kind, elements) in [
        ("virtual4", "ipv4_addr", ipv4),
        ("virtual6", "ipv6_addr", ipv6),
        ("link_local6", "ifname . ipv6_addr", link_local),
    ] {
        let elements = match elements.is_empty() {
            true => String::new(),
            false => format!(" elements = {{ {} }};", elements.join(", ")),
        };
        let _infallible = writeln!(text, "  set {name} {{ type {kind};{elements} }}");
    }
    text.push_str(CHAIN);
    text.push_str("}\n");
    text
}

/// RFC 9568 §6.1: "IPv6 Neighbor Solicitations and Neighbor Advertisements MUST NOT be dropped when Accept_Mode is False". What
/// this host sends to itself is not the network's.
const CHAIN: &str = "  chain accept_mode {
    type filter hook input priority 120; policy accept;
    iifname \"lo\" accept
    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
    ip daddr @virtual4 counter drop
    ip6 daddr @virtual6 counter drop
    iifname . ip6 daddr @link_local6 counter drop
  }
";

/// An interface's name may hold any byte but these two; one that would end the string is left out, and stays open.
fn is_quotable(name: &str) -> bool {
    !name.contains(['"', '\\']) && !name.chars().any(char::is_control)
}

/// Runs `nft` on `script`.
fn nft(script: &str) -> Result<(), FirewallError> {
    let mut child = start(script).map_err(|source| FirewallError::Start { source })?;
    let answer = listen(&mut child);
    if answer.is_none() {
        // It may have ended at this moment; the wait tells.
        drop(child.kill());
    }
    let status = child.wait().map_err(|source| FirewallError::Start { source })?;
    match answer {
        None => Err(FirewallError::Silent),
        Some(_) if status.success() => Ok(()),
        Some(text) => {
            let answer = text.lines().next().unwrap_or_default().trim().to_owned();
            Err(FirewallError::Refused { answer })
        }
    }
}

/// `nft` reading `script`, which needs no pipe that somebody would have to fill.
fn start(script: &str) -> io::Result<Child> {
    let mut file = File::from(memfd_create(c"holdfast-nft", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(script.as_bytes())?;
    file.rewind()?;
    Command::new("nft")
        .args(["-f", "-"])
        .env_clear()
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .stdin(file)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
}

/// What it says until it ends; none when it takes too long.
fn listen(child: &mut Child) -> Option<String> {
    let mut pipe = child.stderr.take()?;
    fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).ok()?;
    let deadline = now() + TIMEOUT;
    let mut said = Vec::new();
    let mut buffer = [0; 1024];
    loop {
        wait_until(&[pipe.as_fd()], Some(deadline)).ok()?;
        if now() >= deadline {
            return None;
        }
        match pipe.read(&mut buffer) {
            Ok(0) => return Some(String::from_utf8_lossy(&said).into_owned()),
            Ok(length) if said.len() < ANSWER_LEN => {
                said.extend_from_slice(buffer.get(..length).unwrap_or_default());
            }
            Ok(_) => {}
            // A signal ends the wait, too.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
                ) => {}
            Err(_) => return None,
        }
    }
}

/// Why packets to virtual addresses are not dropped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FirewallError {
    /// There is no `nft`.
    #[error("start nft for `accept: false`: install nftables")]
    Start {
        /// What the operating system answered.
        source: io::Error,
    },
    /// It did not end.
    #[error(
        "nft did not answer within {TIMEOUT:?} and was killed; `accept: false` is not in force"
    )]
    Silent,
    /// It, or the kernel, refused.
    #[error("nft refused the table {TABLE} for `accept: false`: {answer}")]
    Refused {
        /// The first line of its answer.
        answer: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(address: &str, on: &[&str]) -> Closed {
        let interfaces = on.iter().map(|name| (*name).to_owned()).collect();
        Closed { address: address.parse().unwrap(), interfaces }
    }

    #[test]
    fn the_old_table_goes_and_the_new_one_comes_in_one_transaction() {
        let text = script(&BTreeSet::from([
            closed("192.0.2.10", &["eth0"]),
            closed("198.51.100.7", &["eth0"]),
            closed("2001:db8::10", &["eth0"]),
            closed("fe80::10", &["eth0", "vrrp6.51"]),
        ]));
        let expected = "add table inet holdfast\n\
            delete table inet holdfast\n\
            table inet holdfast {\n\
            \x20 set virtual4 { type ipv4_addr; elements = { 192.0.2.10, 198.51.100.7 }; }\n\
            \x20 set virtual6 { type ipv6_addr; elements = { 2001:db8::10 }; }\n\
            \x20 set link_local6 { type ifname . ipv6_addr; elements = { \"eth0\" . fe80::10, \"vrrp6.51\" . fe80::10 }; }\n";
        assert_eq!(text, format!("{expected}{CHAIN}}}\n"));
    }

    #[test]
    fn a_name_that_would_end_its_string_is_left_out() {
        let text = script(&BTreeSet::from([closed("fe80::10", &["e\" drop", "e\\"])]));
        assert!(text.contains("set link_local6 { type ifname . ipv6_addr; }"), "{text}");
    }
}
