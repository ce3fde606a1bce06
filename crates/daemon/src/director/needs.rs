//! What drains: what it needs of the kernel meanwhile, and that the next daemon knows of it.
//!
//! What is over leaves the kernel first and the file then: after a kill between the two it is ours still, and is removed.

use std::collections::BTreeSet;
use std::sync::Arc;

use holdfast_config::{Config, Name, Service};
use holdfast_engine::{Draining, Pool};
use holdfast_net::now;
use ipvs_ctl::model::{ServiceKey, SyncDaemon, Table};
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use super::{Director, Kernel};
use crate::state::kept::Kept;
use crate::state::services::{Ours, daemons};
use crate::upkeep::{Board, View};

/// What drains, as it is kept.
#[derive(Debug)]
pub(crate) struct KeptDrains {
    kept: Kept<Ours>,
    /// Whether it may be something else than was kept last.
    pub(super) touched: bool,
    /// What an earlier daemon has left while the kernel can't be looked at: whoever can next needs to know, this daemon or another one.
    pub(super) unseen: Draining,
    /// The sync daemons of an earlier configuration, and the answer that comes when they have ended; none while too many ask.
    former: Option<(Vec<SyncDaemon>, Option<oneshot::Receiver<View>>)>,
}

impl KeptDrains {
    /// Kept by `kept`.
    pub(crate) fn new(kept: Kept<Ours>) -> Self {
        Self { kept, touched: false, unseen: Draining::default(), former: None }
    }

    /// Takes the sync daemons of `old` for ours beside those of `new` until `upkeep` has done what it was told.
    fn part_from(&mut self, (old, new): (&Config, &Config), upkeep: &Board) {
        let mut before = self.former.take().map(|(before, _)| before).unwrap_or_default();
        before.extend(daemons(old));
        let after = daemons(new);
        before.retain(|daemon| !after.contains(daemon));
        if !before.is_empty() {
            self.former = Some((before, upkeep.ask()));
        }
    }

    /// Whether the sync daemons of an earlier configuration have ended by now.
    fn has_parted(&mut self, upkeep: &Board) -> bool {
        let is_over = |done: &mut Option<oneshot::Receiver<View>>| match done {
            Some(answer) => !matches!(answer.try_recv(), Err(TryRecvError::Empty)),
            None => {
                *done = upkeep.ask();
                false
            }
        };
        self.former.take_if(|(_, done)| is_over(done)).is_some()
    }

    /// The sync daemons of an earlier configuration that may run still.
    fn former(&self) -> impl Iterator<Item = &SyncDaemon> {
        self.former.iter().flat_map(|(before, _)| before)
    }

    /// Nothing that was seen is ours any more: what others make there from now on is theirs.
    pub(super) fn forget(&self) {
        self.kept.keep(Ours { draining: self.unseen.clone(), ..Ours::default() });
    }

    /// Comes when all that was to be kept until now is, or can't be.
    pub(super) fn settled(&self) -> impl Future<Output = ()> + Send + use<> {
        self.kept.settled()
    }
}

impl Director {
    /// Keeps what drains, where it may be something else than before. What drains because the daemon stops is the next one's to begin anew.
    pub(super) fn keep_draining(&mut self) {
        self.draining.touched |= self.draining.has_parted(&self.upkeep);
        if std::mem::take(&mut self.draining.touched) && !self.drains {
            let mut ours = Ours::of(self.draining(), &self.config);
            ours.sync.extend(self.draining.former().cloned());
            self.draining.kept.keep(ours);
        }
    }

    /// What drains, and what is wanted no longer while the kernel may have it.
    fn draining(&self) -> Draining {
        let wanted = self.engine.owned();
        let owned = self.kernel.as_ref().map(Kernel::owned);
        let ended: BTreeSet<ServiceKey> =
            owned.into_iter().flatten().filter(|key| !wanted.contains(key)).copied().collect();
        let mut draining = Draining { ended, ..self.engine.draining() };
        draining.add_unseen(&self.draining.unseen);
        draining
    }

    /// Goes on with what an earlier daemon has left, now that the kernel can be looked at, whose table is `table`; what that is. Of it nothing is
    /// unseen any more: what is not in the engine from now on is over.
    pub(super) fn see(&mut self, config: &Config, table: &Table) -> Draining {
        let left = std::mem::take(&mut self.draining.unseen);
        self.engine.go_on(&left, (config, table), now());
        if let Some(kernel) = &mut self.kernel {
            // What of it is wanted no longer goes.
            kernel.own(left.owned(table));
        }
        left
    }

    /// Keeps what another configuration, in the place of `old`, makes of it.
    pub(super) fn keep_reconfigured(&mut self, old: &Config) {
        self.draining.part_from((old, &self.config), &self.upkeep);
        self.draining.touched = true;
        self.keep_draining();
    }

    /// Tells the upkeep thread what is to be looked after: what the configuration's services need, what those need that drain after a reload
    /// has taken them out, and what connections need that began when a service forwarded otherwise. Without `ip_forward`, say, NAT's would end
    /// at once.
    pub(super) fn tell_upkeep(&self) {
        let pools = self.engine.pools().values();
        let leaving = pools.clone().filter(|pool| pool.is_leaving()).map(Pool::service_as_it_is);
        let needy = leaving.chain(pools.flat_map(Pool::former)).collect();
        self.upkeep.reconfigure(with_needy(&self.config, needy));
    }
}

/// `config` with services that need something of the kernel though it has them no longer, or not so. Each goes by a name that is free; what is
/// said of them has their own.
pub(crate) fn with_needy(config: &Arc<Config>, needy: Vec<Service>) -> Arc<Config> {
    let mut config = Arc::clone(config);
    if !needy.is_empty() {
        let services = &mut Arc::make_mut(&mut config).services;
        let mut free = (0_u64..).filter_map(|number| Name::try_from(format!("{number}")).ok());
        for service in needy {
            let name = free.find(|name| !services.contains_key(name));
            services.extend(name.map(|name| (name, service)));
        }
    }
    config
}
