//! The sync daemons as desired state: the fewest starts and stops from those that run to those that are wanted.
//!
//! The kernel can't change a running daemon, and a stop loses what it has not yet sent or read. So a daemon that is as wanted is never
//! touched, and one that is no longer wanted stops last: at every moment in between there is a daemon.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use crate::model::{SyncDaemon, SyncRole};

/// The kernel's IP_VS_SYNC_GROUP, IP_VS_SYNC_PORT and TTL, which stand for what is not said.
const GROUP: IpAddr = IpAddr::V4(Ipv4Addr::new(224, 0, 0, 81));
const PORT: u16 = 8848;
const TTL: u8 = 1;
/// A listener takes messages of 1024 bytes at least (`start_sync_thread`).
const BACKUP_LENGTH_MIN: u16 = 1024;
/// The headers of IP and UDP, which have to fit into 65535 bytes as well.
const HEADERS_IPV4: u16 = 28;
const HEADERS_IPV6: u16 = 48;

/// One change of the sync daemons. It displays as what is done to which daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DaemonOperation {
    /// Starts one.
    Start(SyncDaemon),
    /// Stops the one of this role.
    Stop(SyncRole),
}

impl fmt::Display for DaemonOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(daemon) => write!(f, "start the {daemon}"),
            Self::Stop(role) => write!(f, "stop the {role} sync daemon"),
        }
    }
}

/// The operations that make the daemons that run (`kernel`) those of `desired`, in the order in which to do them; none where nothing
/// differs. Both have at most one of each role.
///
/// A length that is not said is the kernel's choice, which depends on the interface: any length that runs counts as that.
pub fn plan_daemons(desired: &[SyncDaemon], kernel: &[SyncDaemon]) -> Vec<DaemonOperation> {
    let running = |role| kernel.iter().find(|daemon| daemon.role == role);
    let mut operations = Vec::new();
    for daemon in desired.iter().filter(|daemon| running(daemon.role).is_none()) {
        operations.push(DaemonOperation::Start(daemon.clone()));
    }
    for daemon in desired {
        if running(daemon.role).is_some_and(|found| !is_as(found, daemon)) {
            operations.push(DaemonOperation::Stop(daemon.role));
            operations.push(DaemonOperation::Start(daemon.clone()));
        }
    }
    for found in kernel.iter().filter(|found| !desired.iter().any(|one| one.role == found.role)) {
        operations.push(DaemonOperation::Stop(found.role));
    }
    operations
}

/// Whether the running daemon `found` is what a start of `desired` would have made.
pub fn is_as(found: &SyncDaemon, desired: &SyncDaemon) -> bool {
    let ours = |daemon: &SyncDaemon| {
        (
            daemon.role,
            daemon.sync_id,
            daemon.group.unwrap_or(GROUP),
            daemon.port.unwrap_or(PORT),
            daemon.ttl.unwrap_or(TTL),
        )
    };
    let length = desired.max_length.map(|length| clamped(length, desired));
    ours(found) == ours(desired)
        && found.interface == desired.interface
        && length.is_none_or(|length| found.max_length == Some(length))
}

/// What the kernel makes of a length that is asked for (`start_sync_thread`).
fn clamped(length: u16, daemon: &SyncDaemon) -> u16 {
    let headers = match daemon.group {
        Some(IpAddr::V6(_)) => HEADERS_IPV6,
        Some(IpAddr::V4(_)) | None => HEADERS_IPV4,
    };
    let least = match daemon.role {
        SyncRole::Backup => BACKUP_LENGTH_MIN,
        SyncRole::Master => 1,
    };
    length.clamp(least, u16::MAX - headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn daemon(role: SyncRole) -> SyncDaemon {
        SyncDaemon {
            role,
            interface: "eth1".to_owned(),
            sync_id: 51,
            max_length: None,
            group: None,
            port: None,
            ttl: None,
        }
    }

    fn spoken(desired: &[SyncDaemon], kernel: &[SyncDaemon]) -> Vec<String> {
        plan_daemons(desired, kernel).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_daemon_that_is_as_it_shall_be_is_left_alone_whatever_was_left_to_the_kernel() {
        let running = SyncDaemon {
            max_length: Some(1472),
            group: Some(GROUP),
            port: Some(PORT),
            ttl: Some(TTL),
            ..daemon(SyncRole::Master)
        };
        assert!(spoken(&[daemon(SyncRole::Master)], &[running]).is_empty());
        let listener = SyncDaemon { max_length: Some(1024), ..daemon(SyncRole::Backup) };
        let wanted = SyncDaemon { max_length: Some(500), ..daemon(SyncRole::Backup) };
        assert!(spoken(&[wanted], &[listener]).is_empty(), "the kernel made 1024 of 500");
    }

    #[test]
    fn the_other_role_begins_before_the_first_one_ends() {
        assert_eq!(
            spoken(&[daemon(SyncRole::Master)], &[daemon(SyncRole::Backup)]),
            ["start the master sync daemon on eth1", "stop the backup sync daemon"]
        );
    }

    #[test]
    fn a_daemon_with_another_parameter_is_started_anew_and_only_that_one() {
        type Change = fn(SyncDaemon) -> SyncDaemon;
        let changes: [Change; 6] = [
            |old| SyncDaemon { interface: "eth2".to_owned(), ..old },
            |old| SyncDaemon { sync_id: 52, ..old },
            |old| SyncDaemon { max_length: Some(1400), ..old },
            |old| SyncDaemon { group: Some("224.0.0.99".parse().unwrap()), ..old },
            |old| SyncDaemon { port: Some(9000), ..old },
            |old| SyncDaemon { ttl: Some(4), ..old },
        ];
        let both = [daemon(SyncRole::Master), daemon(SyncRole::Backup)];
        for change in changes {
            let wanted = [change(daemon(SyncRole::Master)), daemon(SyncRole::Backup)];
            let plan = plan_daemons(&wanted, &both);
            let [master, _] = wanted;
            assert_eq!(
                plan,
                [DaemonOperation::Stop(SyncRole::Master), DaemonOperation::Start(master)]
            );
        }
    }

    #[test]
    fn what_was_planned_is_all_there_is_to_do() {
        let roles = [SyncRole::Master, SyncRole::Backup];
        let sets: Vec<Vec<SyncDaemon>> = vec![
            vec![],
            vec![daemon(SyncRole::Master)],
            vec![daemon(SyncRole::Backup)],
            roles.map(daemon).to_vec(),
            vec![SyncDaemon { sync_id: 7, ..daemon(SyncRole::Backup) }],
        ];
        for desired in &sets {
            for kernel in &sets {
                let mut after = kernel.clone();
                for operation in plan_daemons(desired, kernel) {
                    match operation {
                        DaemonOperation::Stop(role) => after.retain(|one| one.role != role),
                        DaemonOperation::Start(daemon) => {
                            assert!(after.iter().all(|one| one.role != daemon.role), "EEXIST");
                            after.push(daemon);
                        }
                    }
                }
                assert!(plan_daemons(desired, &after).is_empty(), "{desired:?} from {kernel:?}");
            }
        }
    }
}
