//! Warns who changes by hand what a running daemon keeps as its configuration says: the daemon undoes it at its next look, and
//! nobody would know why.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use holdfast_control::{Client, Service, Status};
use ipvs_ctl::model::ServiceKey;
use ipvs_ctl::plan::Operation;
use ipvs_ctl::rules::Command;
use tokio::net::UnixStream;
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
    /// Those of them that were made, and are there still.
    made: BTreeSet<ServiceKey>,
    is_all: bool,
    sync: bool,
    timeouts: bool,
}

/// What a daemon keeps.
#[derive(Clone, Copy, Debug)]
struct Kept<'s> {
    services: &'s [Service],
    sync: bool,
    timeouts: bool,
    /// Whether it removes services that it does not have.
    is_alone: bool,
}

impl<'s> Kept<'s> {
    fn of(status: &'s Status) -> Self {
        let ipvs = status.ipvs.as_ref();
        Self {
            services: &status.services,
            sync: status.sync.is_some(),
            timeouts: ipvs.is_some_and(|ipvs| ipvs.timeouts.is_some()),
            is_alone: ipvs.is_some_and(|ipvs| ipvs.foreign_policy == "remove"),
        }
    }
}

impl Changed {
    /// Notes a command that was carried out.
    pub(super) fn by(&mut self, command: &Command) {
        match command {
            Command::AddService(rule) => {
                self.services.insert(rule.key);
                self.made.insert(rule.key);
            }
            Command::EditService(rule) => {
                self.services.insert(rule.key);
            }
            Command::AddServer(rule) | Command::EditServer(rule) => {
                self.services.insert(rule.service);
            }
            Command::DeleteService(service) => {
                self.services.insert(*service);
                self.made.remove(service);
            }
            Command::DeleteServer { service, .. } => {
                self.services.insert(*service);
            }
            Command::Clear => {
                self.is_all = true;
                self.made.clear();
            }
            Command::StartDaemon(_) | Command::StopDaemon(_) => self.sync = true,
            Command::SetTimeouts(_) => self.timeouts = true,
            // The counters of a service are nobody's, and the rest changes nothing.
            Command::Zero(_)
            | Command::Restore
            | Command::Save { .. }
            | Command::List(_)
            | Command::Help
            | Command::Version => {}
        }
    }

    /// Notes what a restored file has changed.
    pub(super) fn by_restoring(&mut self, operations: &[Operation], sync: bool, timeouts: bool) {
        self.services.extend(operations.iter().map(Operation::service));
        let made = operations.iter().filter(|one| matches!(one, Operation::NewService(_)));
        self.made.extend(made.map(Operation::service));
        self.sync |= sync;
        self.timeouts |= timeouts;
    }

    /// Sentences about what the daemon on `socket` will undo; none if there is no daemon, or it works in another network namespace.
    pub(super) fn words(&self, socket: &Path) -> Vec<String> {
        if self.services.is_empty() && !self.is_all && !self.sync && !self.timeouts {
            return Vec::new();
        }
        let Ok(runtime) = runtime::Builder::new_current_thread().enable_all().build() else {
            return Vec::new();
        };
        let asked = runtime.block_on(async { timeout(PATIENCE, status(socket)).await });
        asked.ok().flatten().map_or_else(Vec::new, |status| self.sentences(Kept::of(&status)))
    }

    fn sentences(&self, kept: Kept<'_>) -> Vec<String> {
        [self.put_back(kept), self.removed(kept)].into_iter().flatten().collect()
    }

    /// The sentence about what the daemon will put back.
    fn put_back(&self, kept: Kept<'_>) -> Option<String> {
        let keys: BTreeSet<String> = self.services.iter().map(ToString::to_string).collect();
        let services = kept
            .services
            .iter()
            .filter(|service| self.is_all || service.listen.iter().any(|one| keys.contains(one)))
            .map(|service| service.name.clone());
        let mut what = Vec::new();
        what.extend(named("the service", services.collect()));
        if self.sync && kept.sync {
            what.push("the sync daemons".to_owned());
        }
        if self.timeouts && kept.timeouts {
            what.push("the timeouts that `ipvs.timeouts` names".to_owned());
        }
        (!what.is_empty()).then(|| {
            format!(
                "holdfastd keeps {} as its configuration says, and will undo this at its next look (`ipvs.poll`). For a change that lasts edit \
                 the file and run `holdfast reload`; real servers can also be changed with `holdfast server`",
                what.join(" and ")
            )
        })
    }

    /// The sentence about services that the daemon will remove, since it does not have them.
    fn removed(&self, kept: Kept<'_>) -> Option<String> {
        let own = |service: &String| kept.services.iter().any(|one| one.listen.contains(service));
        let made = self.made.iter().filter(|_| kept.is_alone).map(ToString::to_string);
        let what = named("the service", made.filter(|service| !own(service)).collect())?;
        Some(format!(
            "holdfastd removes {what} when it looks next (`ipvs.poll`), because its configuration has no such service (`ipvs.foreign: remove`). \
             To keep it, add it to the file and run `holdfast reload`"
        ))
    }
}

/// `what` and the first [`NAMED_MAX`] names, and how many more there are; none without names.
fn named(what: &str, names: Vec<String>) -> Option<String> {
    match names.as_slice() {
        [] => None,
        [one] => Some(format!("{what} {one}")),
        several => {
            let more = match several.len().saturating_sub(NAMED_MAX) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let first: Vec<&str> = several.iter().take(NAMED_MAX).map(String::as_str).collect();
            Some(format!("{what}s {}{more}", first.join(", ")))
        }
    }
}

/// What the daemon on `socket` says, if it is in the network namespace of this process.
async fn status(socket: &Path) -> Option<Status> {
    if !is_of_this_namespace(socket).await? {
        return None;
    }
    Client::new(socket).status().await.ok()
}

/// Whether the process that listens on `socket` is in this process's network namespace; none if nobody listens, or it can't be seen.
async fn is_of_this_namespace(socket: &Path) -> Option<bool> {
    let stream = UnixStream::connect(socket).await.ok()?;
    let daemon = stream.peer_cred().ok()?.pid()?;
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

    /// What is said after these lines to whom the daemon has the sync daemons and the timeouts (`keeps`), and others' services go (`is_alone`).
    fn words(lines: &[&str], keeps: bool, is_alone: bool) -> Vec<String> {
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
        let services = services.map(service);
        changed.sentences(Kept { services: &services, sync: keeps, timeouts: keeps, is_alone })
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
            let said = words(lines, false, false);
            assert!(said.len() == 1 && said[0].contains(named), "{lines:?}: {said:?}");
        }
        for lines in [
            &["-A -t 192.0.2.11:80"][..],
            &["-D -u 192.0.2.10:80"],
            &["-Z"],
            &["--set 1 2 3"],
            &["--stop-daemon master"],
        ] {
            assert_eq!(words(lines, false, false), [""; 0], "{lines:?}");
        }
        let said = words(&["--stop-daemon master"], true, false);
        assert!(said.len() == 1 && said[0].contains("the sync daemons as"), "{said:?}");
        let said = words(&["--set 1 2 3", "-D -t 192.0.2.10:80"], true, false);
        let named = "the service web and the timeouts that `ipvs.timeouts` names as";
        assert!(said.len() == 1 && said[0].contains(named), "{said:?}");
    }

    #[test]
    fn a_service_that_no_file_has_goes_where_others_services_go() {
        for (lines, named) in [
            (&["-A -t 192.0.2.11:80"][..], "removes the service tcp 192.0.2.11:80 when"),
            (&["-A -t [2001:db8::11]:80"], "removes the service tcp [2001:db8::11]:80 when"),
            (
                &["-C", "-A -f 1", "-A -f 2", "-A -f 3", "-A -f 4"],
                "removes the services fwmark 1, fwmark 2, fwmark 3 and 1 more when",
            ),
        ] {
            let said = words(lines, false, true);
            assert!(said.last().is_some_and(|said| said.contains(named)), "{lines:?}: {said:?}");
        }
        for lines in
            [&["-D -t 192.0.2.11:80"][..], &["-A -t 192.0.2.11:80", "-D -t 192.0.2.11:80"], &["-Z"]]
        {
            assert_eq!(words(lines, false, true), [""; 0], "{lines:?}");
        }
        // What it has it keeps.
        let said = words(&["-A -t 192.0.2.10:80"], false, true);
        assert!(said.len() == 1 && said[0].contains("keeps the service web as"), "{said:?}");
    }

    /// A daemon that was stopped (SIGSTOP) takes no connection.
    #[test]
    fn a_daemon_that_takes_no_connection_holds_nobody_up() {
        use socket2::{Domain, SockAddr, Socket, Type};

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        let address = SockAddr::unix(&path).unwrap();
        let listener = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        listener.bind(&address).unwrap();
        listener.listen(0).unwrap();
        let connect = || {
            let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None).unwrap();
            socket.connect(&address).map(|()| socket)
        };
        let waiting: Vec<Socket> = std::iter::from_fn(|| connect().ok()).collect();
        assert!(!waiting.is_empty());
        let changed = Changed { is_all: true, ..Changed::default() };
        assert_eq!(changed.words(&path), [""; 0]);
        // One that takes it and says nothing neither.
        drop(listener.accept().unwrap());
        assert_eq!(changed.words(&path), [""; 0]);
    }
}
