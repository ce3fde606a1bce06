//! What becomes of connections while their destination moves within its list.
//!
//! A destination moves by being taken out and put in again ([`ipvs_ctl::plan::in_order`]): for the time of one message it is not
//! there. A packet that comes just then is dropped, and sent again by its sender. But where `net.ipv4.vs.expire_nodest_conn` is 1, the
//! kernel ends the packet's connection instead (`ip_vs_in`). The setting is therefore 0 while a batch with moves is under way. A daemon
//! that is killed in that moment leaves it 0.

use std::fs;

use ipvs_ctl::plan::Operation;

const SETTING: &str = "/proc/sys/net/ipv4/vs/expire_nodest_conn";

/// As long as this lives, connections whose destination is missing are spared.
#[derive(Debug)]
pub(super) struct Spared;

impl Spared {
    /// Spares connections where `operations` move a destination and the kernel would end them.
    pub(super) fn during(operations: &[Operation]) -> Option<Self> {
        if !moves(operations) || fs::read_to_string(SETTING).ok()?.trim() != "1" {
            return None;
        }
        if let Err(error) = fs::write(SETTING, "0") {
            tracing::warn!(setting = SETTING, %error, "connections whose packets come while their server moves in the kernel's list are ended");
            return None;
        }
        Some(Self)
    }
}

impl Drop for Spared {
    fn drop(&mut self) {
        if let Err(error) = fs::write(SETTING, "1") {
            tracing::error!(setting = SETTING, %error, "the kernel's setting stays 0: it was 1");
        }
    }
}

/// Whether something is taken out and put in again.
fn moves(operations: &[Operation]) -> bool {
    operations.windows(2).any(|pair| match pair {
        [
            Operation::DelDestination { address, .. },
            Operation::NewDestination { destination, .. },
        ] => destination.address == *address,
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
