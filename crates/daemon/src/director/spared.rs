//! Spares connections while their destination moves within its service's list.
//!
//! A destination moves by being removed and added again ([`ipvs_ctl::plan::in_order`]), so for the time of one message it is not
//! there. A packet that comes just then is dropped, and sent again by its sender. But if `net.ipv4.vs.expire_nodest_conn` is 1, the kernel
//! ends the packet's connection (`ip_vs_in`). The sysctl is therefore 0 while a batch with moves is under way. A daemon that is killed in
//! that moment leaves it 0.
//!
//! The upkeep thread looks after the same sysctl. It leaves it alone during such a batch ([`settle`]): otherwise it would take the 0 for
//! somebody's change and undo it, or restore a value that this module then overwrites.

use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use ipvs_ctl::plan::Operation;

/// The sysctl's file under /proc/sys.
pub(crate) const SETTING: &str = "net/ipv4/vs/expire_nodest_conn";

/// Held by whoever changes the sysctl.
static CHANGES: Mutex<()> = Mutex::new(());

/// Permission to change the sysctl, for as long as the guard is held; none while a batch that needs it to be 0 is under way.
pub(crate) fn settle() -> Option<MutexGuard<'static, ()>> {
    match CHANGES.try_lock() {
        Ok(leave) => Some(leave),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

/// As long as this lives, connections whose destination is missing are spared.
#[derive(Debug)]
pub(super) struct Spared {
    /// Dropped after the setting is 1 again.
    _leave: MutexGuard<'static, ()>,
}

impl Spared {
    /// Spares connections where `operations` move a destination and the kernel would end them.
    pub(super) fn during(operations: &[Operation]) -> Option<Self> {
        if !moves(operations) {
            return None;
        }
        let leave = CHANGES.lock().unwrap_or_else(PoisonError::into_inner);
        if fs::read_to_string(path()).ok()?.trim() != "1" {
            return None;
        }
        if let Err(error) = fs::write(path(), "0") {
            tracing::warn!(setting = SETTING, %error, "connections whose packets come while their server moves in the kernel's list are ended");
            return None;
        }
        Some(Self { _leave: leave })
    }
}

impl Drop for Spared {
    fn drop(&mut self) {
        if let Err(error) = fs::write(path(), "1") {
            tracing::error!(setting = SETTING, %error, "the kernel's setting stays 0: it was 1");
        }
    }
}

fn path() -> String {
    format!("/proc/sys/{SETTING}")
}

/// Whether something is taken out and put in again.
fn moves(operations: &[Operation]) -> bool {
    operations.windows(2).any(|pair| match pair {
        [
            Operation::DelDestination { service: from, address },
            Operation::NewDestination { service: to, destination },
        ] => from == to && destination.address == *address,
        _other => false,
    })
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use ipvs_ctl::model::{Destination, Forwarding, Protocol, ServiceKey};

    use super::*;

    #[test]
    fn a_move_is_a_removal_and_the_addition_of_the_same() {
        let address = |host| SocketAddr::from(([10, 0, 0, host], 80));
        let service = ServiceKey::Address { protocol: Protocol::Tcp, address: address(1) };
        let del = |host| Operation::DelDestination { service, address: address(host) };
        let new = |host| {
            let destination = Destination::new(address(host), Forwarding::Nat, 1);
            Operation::NewDestination { service, destination }
        };
        assert!(moves(&[new(4), del(5), new(5)]));
        assert!(!moves(&[new(4), del(5)]));
        assert!(!moves(&[del(5), new(4)]));
        assert!(!moves(&[new(5), del(5)]));
    }
}
