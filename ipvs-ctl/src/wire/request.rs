//! Requests as messages.

use super::command::Command;
use super::convert::{
    daemon_attributes, destination_attributes, destination_key_attributes, role_number,
    service_attributes, service_key_attributes,
};
use super::daemon::DaemonAttr;
use super::destination::DestinationAttr;
use super::message::{IpvsAttr, IpvsMessage};
use crate::model::{ServiceKey, SyncDaemon, SyncRole, Timeouts};
use crate::plan::Operation;

impl IpvsMessage {
    /// A command without attributes: the dumps of services and daemons, the queries for timeouts and version, zeroing all,
    /// flushing.
    pub const fn bare(command: Command) -> Self {
        Self { command, attributes: Vec::new() }
    }

    /// A command on one service that is named: a query, a dump of its destinations, removal, zeroing.
    pub fn on_service(command: Command, key: &ServiceKey) -> Self {
        Self { command, attributes: vec![IpvsAttr::Service(service_key_attributes(key))] }
    }

    /// Starts a sync daemon.
    pub fn new_daemon(daemon: &SyncDaemon) -> Self {
        Self {
            command: Command::NewDaemon,
            attributes: vec![IpvsAttr::Daemon(daemon_attributes(daemon))],
        }
    }

    /// Stops a sync daemon.
    pub fn del_daemon(role: SyncRole) -> Self {
        Self {
            command: Command::DelDaemon,
            attributes: vec![IpvsAttr::Daemon(vec![DaemonAttr::State(role_number(role))])],
        }
    }

    /// Sets the timeouts that are not 0.
    pub fn set_timeouts(timeouts: &Timeouts) -> Self {
        Self {
            command: Command::SetConfig,
            attributes: vec![
                IpvsAttr::TimeoutTcp(timeouts.tcp_s),
                IpvsAttr::TimeoutTcpFin(timeouts.tcp_fin_s),
                IpvsAttr::TimeoutUdp(timeouts.udp_s),
            ],
        }
    }

    fn on_destination(
        command: Command,
        key: &ServiceKey,
        destination: Vec<DestinationAttr>,
    ) -> Self {
        Self {
            command,
            attributes: vec![
                IpvsAttr::Service(service_key_attributes(key)),
                IpvsAttr::Destination(destination),
            ],
        }
    }
}

impl From<&Operation> for IpvsMessage {
    fn from(operation: &Operation) -> Self {
        match operation {
            Operation::NewService(service) => Self {
                command: Command::NewService,
                attributes: vec![IpvsAttr::Service(service_attributes(service))],
            },
            Operation::SetService(service) => Self {
                command: Command::SetService,
                attributes: vec![IpvsAttr::Service(service_attributes(service))],
            },
            Operation::DelService(key) => Self::on_service(Command::DelService, key),
            Operation::NewDestination { service, destination } => Self::on_destination(
                Command::NewDestination,
                service,
                destination_attributes(destination),
            ),
            Operation::SetDestination { service, destination } => Self::on_destination(
                Command::SetDestination,
                service,
                destination_attributes(destination),
            ),
            Operation::DelDestination { service, address } => Self::on_destination(
                Command::DelDestination,
                service,
                destination_key_attributes(*address),
            ),
        }
    }
}
