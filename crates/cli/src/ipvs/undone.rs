//! A word for who changes by hand what the daemon on this host keeps as its configuration says: it is undone at the daemon's next look,
//! and whoever did it would not know why.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use holdfast_control::{Client, Service};
use ipvs_ctl::model::ServiceKey;
use ipvs_ctl::plan::Operation;
use ipvs_ctl::rules::Command;
use nix::sys::socket::{getsockopt, sockopt};
use tokio::runtime;
use tokio::time::timeout;

/// A daemon that does not answer by then holds nobody up.
const PATIENCE: Duration = Duration::from_secs(1);

/// So many services are named.
const NAMED_MAX: usize = 3;

/// What was changed, as far as a daemon may keep it.
#[derive(Debug, Default)]
pub(super) struct Changed {
    services: BTreeSet<ServiceKey>,
    is_all: bool,
    sync: bool,
}

impl Changed {
    /// Takes note of a command that was carried out.
    pub(super) fn by(&mut self, command: &Command) {
        match command {
            Command::AddService(rule) | Command::EditService(rule) => {
                self.services.insert(rule.key);
            }
            Command::AddServer(rule) | Command::EditServer(rule) => {
                self.services.insert(rule.service);
            }
            Command::DeleteService(service) | Command::DeleteServer { service, .. } => {
                self.services.insert(*service);
            }
            Command::Clear => self.is_all = true,
            Command::StartDaemon(_) | Command::StopDaemon(_) => self.sync = true,
            // The counters and timeouts of a service are nobody's, and the rest changes nothing.
            Command::Zero(_)
            | Command::SetTimeouts(_)
            | Command::Restore
            | Command::Save { .. }
            | Command::List(_)
            | Command::Help
            | Command::Version => {}
        }
    }

    /// Takes note of what a restored file has changed.
    pub(super) fn by_restoring(&mut self, operations: &[Operation], sync: bool) {
        self.services.extend(operations.iter().map(Operation::service));
        self.sync |= sync;
    }

    /// What of it is undone by the daemon on `socket`, if one is there that keeps the table of this network namespace.
    pub(super) fn word(&self, socket: &Path) -> Option<String> {
        if self.services.is_empty() && !self.is_all && !self.sync {
            return None;
        }
        if !is_of_this_namespace(socket)? {
            return None;
        }
        let runtime = runtime::Builder::new_current_thread().enable_all().build().ok()?;
        let client = Client::new(socket);
        let asked = runtime.block_on(async { timeout(PATIENCE, client.status()).await });
        let status = asked.ok()?.ok()?;
        self.sentence(&status.services, status.sync.is_some())
    }

    fn sentence(&self, services: &[Service], sync: bool) -> Option<String> {
        let keys: BTreeSet<String> = self.services.iter().map(ToString::to_string).collect();
        let kept: Vec<&str> = services
            .iter()
            .filter(|service| self.is_all || service.listen.iter().any(|one| keys.contains(one)))
            .map(|service| service.name.as_str())
            .collect();
        let mut what = Vec::new();
        match kept.as_slice() {
            [] => {}
            [one] => what.push(format!("the service {one}")),
            several => {
                let named = several.iter().take(NAMED_MAX).copied().collect::<Vec<_>>().join(", ");
                let more = several.len().saturating_sub(NAMED_MAX);
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                what.push(format!("the services {named}{more}"));
            }
        }
        if self.sync && sync {
            what.push("the sync daemons".to_owned());
        }
        (!what.is_empty()).then(|| {
            format!(
                "holdfastd keeps {} as its configuration says, and undoes this when it looks next (`ipvs.poll`): what is to last, `holdfast server` \
                 does, or the file and `holdfast reload`",
                what.join(" and ")
            )
        })
    }
}

/// Whether who listens on `socket` is in the network namespace of this process; none where nobody does, or that can't be seen.
fn is_of_this_namespace(socket: &Path) -> Option<bool> {
    let stream = UnixStream::connect(socket).ok()?;
    let daemon = getsockopt(&stream, sockopt::PeerCredentials).ok()?.pid();
    let theirs = fs::read_link(format!("/proc/{daemon}/ns/net")).ok()?;
    Some(fs::read_link("/proc/self/ns/net").ok()? == theirs)
}

#[cfg(test)]
mod tests {
    use ipvs_ctl::rules::{Numbers, parse};

    use super::*;

    fn service((name, listen): (&str, &str)) -> Service {
        let text = format!(
            r#"{{"name":"{name}","listen":["{listen}"],"scheduler":"rr","forward":"nat","up":0,"servers":[]}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    fn word(lines: &[&str], sync: bool) -> Option<String> {
        let mut changed = Changed::default();
        for line in lines {
            let words: Vec<&[u8]> = line.split_whitespace().map(str::as_bytes).collect();
            changed.by(&parse(&words, false, &mut Numbers).unwrap().command);
        }
        let services = [
            ("web", "tcp 192.0.2.10:80"),
            ("six", "tcp [2001:db8::10]:80"),
            ("mark", "fwmark 7 ipv6"),
            ("dns", "udp 192.0.2.10:53"),
        ];
        changed.sentence(&services.map(service), sync)
    }

    #[test]
    fn what_the_daemon_keeps_is_named_and_nothing_else() {
        for (lines, named) in [
            (&["-e -t 192.0.2.10:80 -r 10.0.0.1 -m -w 0"][..], "the service web as"),
            (&["-a -t [2001:db8::10]:80 -r [2001:db8::1]:80 -m"], "the service six as"),
            (&["-D -f 7 -6"], "the service mark as"),
            (
                &["-d -u 192.0.2.10:53 -r 10.0.0.1", "-D -t 192.0.2.10:80"],
                "the services web, dns as",
            ),
            (&["-C"], "the services web, six, mark and 1 more as"),
        ] {
            let said = word(lines, false).unwrap();
            assert!(said.contains(named), "{lines:?}: {said}");
        }
        for lines in [
            &["-A -t 192.0.2.11:80"][..],
            &["-D -u 192.0.2.10:80"],
            &["-Z"],
            &["--set 1 2 3"],
            &["--stop-daemon master"],
        ] {
            assert_eq!(word(lines, false), None, "{lines:?}");
        }
        assert!(word(&["--stop-daemon master"], true).unwrap().contains("the sync daemons as"));
    }
}
