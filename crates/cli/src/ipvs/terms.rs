//! What ipvsadm says about the kernel's refusals, and what `holdfast ipvs` adds.

use std::error::Error as _;
use std::io;

use ipvs_ctl::client::{ClientError, OperationError, Request};
use ipvs_ctl::rules::{Command, List, ListKind};
use nix::errno::Errno;

/// What was asked when the kernel refused.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asked<'a> {
    /// Whether there is an IPVS.
    Version,
    /// To carry a command out.
    Command(&'a Command),
    /// To list services or destinations.
    Listing,
}

impl Asked<'_> {
    /// ipvsadm's sentence.
    pub(super) fn sentence(self, errno: Errno) -> String {
        if let Some(own) = self.own_sentence(errno) {
            return own.to_owned();
        }
        const GENERAL: [(Errno, &str); 7] = [
            (Errno::EPERM, "Permission denied (you must be root)"),
            (
                Errno::EINVAL,
                "Invalid operation.  Possibly wrong module version, address not unicast, ...",
            ),
            (Errno::ENOPROTOOPT, "Protocol not available"),
            (Errno::ENOMEM, "Memory allocation problem"),
            (Errno::EOPNOTSUPP, "Operation not supported with IPv6"),
            (Errno::EAFNOSUPPORT, "Operation not supported with specified address family"),
            (Errno::EMSGSIZE, "Module is wrong version"),
        ];
        let general = GENERAL.iter().find(|(known, _)| *known == errno);
        general.map_or_else(|| strerror(errno), |(_, sentence)| (*sentence).to_owned())
    }

    const fn own_sentence(self, errno: Errno) -> Option<&'static str> {
        const NO_SERVICE: &str = "No such service";
        let Self::Command(command) = self else {
            return match (self, errno) {
                (Self::Listing, Errno::ESRCH) => Some(NO_SERVICE),
                _other => None,
            };
        };
        match (command, errno) {
            (Command::AddService(_), Errno::EEXIST) => Some("Service already exists"),
            (Command::AddService(_) | Command::EditService(_), Errno::ENOENT) => {
                Some("Scheduler or persistence engine not found")
            }
            (
                Command::EditService(_)
                | Command::DeleteService(_)
                | Command::Zero(_)
                | Command::List(_),
                Errno::ESRCH,
            ) => Some(NO_SERVICE),
            (
                Command::AddServer(_) | Command::EditServer(_) | Command::DeleteServer { .. },
                Errno::ESRCH,
            ) => Some("Service not defined"),
            (Command::AddServer(_), Errno::EEXIST) => Some("Destination already exists"),
            (Command::EditServer(_) | Command::DeleteServer { .. }, Errno::ENOENT) => {
                Some("No such destination")
            }
            (Command::StartDaemon(_), Errno::EEXIST) => Some("Daemon has already run"),
            (Command::StopDaemon(_), Errno::ESRCH) => Some("No daemon is running"),
            _other => None,
        }
    }
}

/// The C library's word for an errno.
fn strerror(errno: Errno) -> String {
    let code = errno as i32;
    let text = io::Error::from_raw_os_error(code).to_string();
    text.strip_suffix(&format!(" (os error {code})")).map(str::to_owned).unwrap_or(text)
}

/// The errno behind an error of the client's; EINVAL where there is none, as in ipvsadm.
pub(super) const fn errno_of(error: &ClientError) -> Errno {
    if let ClientError::Refused { errno, .. }
    | ClientError::Open(errno)
    | ClientError::Send { source: errno, .. }
    | ClientError::Receive { source: errno, .. } = error
    {
        *errno
    } else {
        Errno::EINVAL
    }
}

/// What was attempted on which object, the errno by its name, and what to do now.
pub(super) fn more(command: &Command, errno: Errno) -> String {
    if let Some(operation) = command.operation() {
        let error = OperationError { operation, errno };
        let advice = advice(command, errno);
        return with_help(&error.to_string(), advice.as_deref().or_else(|| error.help()));
    }
    let error = ClientError::Refused { request: request(command), errno };
    with_help(&error.to_string(), error.help())
}

/// What to do about a refusal, for who has typed the command: what the client says is for who has a plan of the whole table.
fn advice(command: &Command, errno: Errno) -> Option<String> {
    let sentence = match (command, errno) {
        (Command::AddService(_), Errno::EEXIST) => {
            "it is there already: -E changes it, -D removes it with its servers"
        }
        (Command::AddServer(_), Errno::EEXIST) => {
            "it is there already: -e changes it, -d removes it"
        }
        (
            Command::EditService(_)
            | Command::DeleteService(_)
            | Command::EditServer(_)
            | Command::DeleteServer { .. },
            Errno::ESRCH,
        ) => "there is no such service: -L -n lists those that there are",
        (Command::AddServer(_), Errno::ESRCH) => {
            "there is no such service: -A adds it, unless an error before this one says why it could not be added"
        }
        (Command::EditServer(_) | Command::DeleteServer { .. }, Errno::ENOENT) => {
            "the service has no such server: -L -n lists those that it has"
        }
        (Command::AddService(rule) | Command::EditService(rule), Errno::ENOENT) => {
            let scheduler = &rule.scheduler;
            return Some(match &rule.engine {
                None => format!(
                    "the kernel has no scheduler `{scheduler}`: `modprobe ip_vs_{scheduler}` says why"
                ),
                Some(engine) => format!(
                    "the kernel has no scheduler `{scheduler}` or no persistence engine `{engine}`: `modprobe ip_vs_{scheduler}` and `modprobe ip_vs_pe_{engine}` say why"
                ),
            });
        }
        _other => return None,
    };
    Some(sentence.to_owned())
}

/// An error of the client's in our words: what was attempted, why it failed, and what to do now.
pub(super) fn told(error: &ClientError) -> String {
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    with_help(&format!("{error}{cause}"), error.help())
}

fn with_help(error: &str, help: Option<&str>) -> String {
    help.map_or_else(|| error.to_owned(), |help| format!("{error}; {help}"))
}

/// The request behind a command that is no single operation on the table ([`Command::operation`]).
fn request(command: &Command) -> Request {
    match command {
        Command::AddService(_)
        | Command::EditService(_)
        | Command::DeleteService(_)
        | Command::AddServer(_)
        | Command::EditServer(_)
        | Command::DeleteServer { .. } => Request::Apply,
        Command::Zero(key) => Request::Zero(*key),
        Command::SetTimeouts(_) => Request::SetTimeouts,
        Command::StartDaemon(daemon) => Request::StartDaemon(daemon.clone()),
        Command::StopDaemon(role) => Request::StopDaemon(*role),
        Command::Clear => Request::Flush,
        Command::List(List { kind: ListKind::Service(key), .. }) => Request::Service(*key),
        Command::List(_)
        | Command::Save { .. }
        | Command::Restore
        | Command::Help
        | Command::Version => Request::Services,
    }
}
