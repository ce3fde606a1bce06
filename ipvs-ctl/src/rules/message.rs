//! Commands as messages to the kernel.

use super::rule::{Command, ServiceRule};
use crate::model::{Persistence, ServiceKey, VirtualService};
use crate::wire::{Command as Number, IpvsAttr, IpvsMessage, ServiceAttr, service_attributes};

/// Whether a command has a [`message`] that carries it out.
pub const fn changes(command: &Command) -> bool {
    !matches!(
        command,
        Command::Restore
            | Command::Save { .. }
            | Command::List(_)
            | Command::Help
            | Command::Version
    )
}

/// The message that carries a command out; `None` for those that read, and for `-R`, `-S`, `-h`, `-v`.
pub fn message(command: &Command) -> Option<IpvsMessage> {
    Some(match command {
        Command::AddService(rule) => on_service(Number::NewService, rule),
        Command::EditService(rule) => on_service(Number::SetService, rule),
        Command::DeleteService(_)
        | Command::AddServer(_)
        | Command::EditServer(_)
        | Command::DeleteServer { .. } => IpvsMessage::from(&command.operation()?),
        Command::Clear => IpvsMessage::bare(Number::Flush),
        Command::Zero(None) => IpvsMessage::bare(Number::Zero),
        Command::Zero(Some(key)) => IpvsMessage::on_service(Number::Zero, key),
        Command::SetTimeouts(timeouts) => IpvsMessage::set_timeouts(timeouts),
        Command::StartDaemon(daemon) => IpvsMessage::new_daemon(daemon),
        Command::StopDaemon(role) => IpvsMessage::del_daemon(*role),
        Command::Restore
        | Command::Save { .. }
        | Command::List(_)
        | Command::Help
        | Command::Version => return None,
    })
}

/// A service with the netmask that was said, whatever its bits.
fn on_service(command: Number, rule: &ServiceRule) -> IpvsMessage {
    let persistence = rule.persistent_s.map(|timeout_s| Persistence { timeout_s, prefix: 0 });
    let mut attributes = service_attributes(&VirtualService {
        key: rule.key,
        scheduler: rule.scheduler.clone(),
        flags: rule.flags,
        persistence,
        persistence_engine: rule.engine.clone(),
    });
    for attribute in &mut attributes {
        if let ServiceAttr::Netmask(mask) = attribute {
            *mask = rule.netmask;
        }
    }
    IpvsMessage { command, attributes: vec![IpvsAttr::Service(attributes)] }
}

/// The dump of all services.
pub const fn services_query() -> IpvsMessage {
    IpvsMessage::bare(Number::GetService)
}

/// The question for one service.
pub fn service_query(key: &ServiceKey) -> IpvsMessage {
    IpvsMessage::on_service(Number::GetService, key)
}

/// The dump of a service's destinations. `service` is the kernel's own word for it, whatever it is.
pub fn destinations_query(service: &super::KernelService) -> IpvsMessage {
    IpvsMessage {
        command: Number::GetDestination,
        attributes: vec![IpvsAttr::Service(service.key_attributes())],
    }
}

/// The dump of the sync daemons.
pub const fn daemons_query() -> IpvsMessage {
    IpvsMessage::bare(Number::GetDaemon)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{List, Numbers, parse};

    #[test]
    fn what_changes_something_has_a_message() {
        let lines = [
            "-A -t 192.0.2.1:80",
            "-E -t 192.0.2.1:80",
            "-D -t 192.0.2.1:80",
            "-C",
            "-a -t 192.0.2.1:80 -r 10.0.0.1",
            "-e -t 192.0.2.1:80 -r 10.0.0.1",
            "-d -t 192.0.2.1:80 -r 10.0.0.1",
            "-Z",
            "--set 1 2 3",
            "--start-daemon master --mcast-interface eth0",
            "--stop-daemon master",
            "-R",
            "-S",
            "-h",
            "-v",
        ];
        let read = |line: &str| {
            let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
            parse(&words, false, &mut Numbers).unwrap().command
        };
        let mut commands: Vec<Command> = lines.into_iter().map(read).collect();
        commands.push(Command::List(List::all(false)));
        for command in commands {
            assert_eq!(changes(&command), message(&command).is_some(), "{command:?}");
        }
    }
}
