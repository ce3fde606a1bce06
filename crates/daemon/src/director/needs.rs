//! What drains: what it needs of the kernel meanwhile, and that the next daemon knows of it.

use std::sync::Arc;

use holdfast_config::{Config, Name, Service};
use holdfast_engine::Pool;

use super::Director;
use crate::state::kept::Kept;
use crate::state::services::Ours;

/// What drains, as it is kept.
#[derive(Debug)]
pub(crate) struct KeptDrains {
    kept: Kept<Ours>,
    /// Whether it may be something else than was kept last.
    pub(super) touched: bool,
}

impl KeptDrains {
    /// Kept by `kept`.
    pub(crate) const fn new(kept: Kept<Ours>) -> Self {
        Self { kept, touched: false }
    }

    /// Nothing is ours any more: what others make there from now on is theirs.
    pub(super) fn forget(&self) {
        self.kept.keep(Ours::default());
    }

    /// Comes when all that was to be kept until now is, or can't be.
    pub(super) fn settled(&self) -> impl Future<Output = ()> + Send + use<> {
        self.kept.settled()
    }
}

impl Director {
    /// Keeps what drains, where it may be something else than before. What drains because the daemon stops is the next one's to begin anew.
    pub(super) fn keep_draining(&mut self) {
        if std::mem::take(&mut self.draining.touched) && !self.drains {
            self.draining.kept.keep(Ours::of(self.engine.draining(), &self.config));
        }
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
