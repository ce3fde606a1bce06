//! The stop with `ipvs.on_stop: drain`: services take no new connections, and are removed when the open ones have ended.

use std::collections::BTreeSet;
use std::net::IpAddr;

use holdfast_config::{Instance, Listen, Match, Service};
use holdfast_net::now;
use tokio::sync::{mpsc, oneshot};

use super::{Director, KernelGone};
use crate::api::Request;

impl Director {
    /// Gives no server new connections and waits for the open ones, for `ipvs.drain_timeout` at most, or until `hurry` comes.
    ///
    /// Services whose addresses VRRP has moved to another node are not waited for: no packet of their connections comes here any more.
    pub(super) async fn drain(
        &mut self,
        requests: &mut mpsc::Receiver<Request>,
        mut hurry: oneshot::Receiver<()>,
    ) -> Result<(), KernelGone> {
        let gone: BTreeSet<IpAddr> = self
            .config
            .instances
            .values()
            // An owner's addresses are its own, and stay.
            .filter(|instance| instance.priority.value() != 255)
            .flat_map(Instance::held)
            .map(|address| address.net.addr())
            .collect();
        let waits = |service: &Service| service.listen.iter().any(|one| !has_gone(one, &gone));
        let timeout = self.config.ipvs.drain_timeout;
        tracing::info!(
            ?timeout,
            "the services drain: they take no new connections and go when those that they have are over"
        );
        self.engine.drain_all(now(), timeout, waits);
        self.drains = true;
        loop {
            self.carry_out();
            if self.engine.has_drained(waits) {
                tracing::info!("the services have drained");
                return Ok(());
            }
            tokio::select! {
                Ok(()) = &mut hurry => {
                    tracing::warn!("the services have not drained: a second signal ends the wait");
                    return Ok(());
                }
                turned = self.turn(requests) => turned?,
            }
        }
    }
}

/// Whether all that comes to `listen` goes elsewhere, the addresses `gone` having moved.
fn has_gone(listen: &Listen, gone: &BTreeSet<IpAddr>) -> bool {
    match listen {
        Listen::Address { address, .. } => gone.contains(&address.ip()),
        Listen::Fwmark { matches, .. } => {
            let one =
                |packets: &Match| packets.first == packets.last && gone.contains(&packets.first);
            !matches.is_empty() && matches.iter().all(one)
        }
    }
}
