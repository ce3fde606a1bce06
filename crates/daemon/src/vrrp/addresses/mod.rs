//! The address thread: keeps the virtual addresses, routes and rules in the kernel as the instances want them, and announces the addresses.
//!
//! Like the table of IPVS, they are desired state: the VRRP thread says of each instance whether its addresses shall be there
//! ([`Wanted`]), and the thread compares that with what the kernel has, now, when something goes, after a refusal and every ten
//! seconds. It follows the kernel's messages itself, so that nothing has to be listed for that. The VRRP thread never waits for it. It
//! holds no state that decides anything.

mod acceptance;
mod announcing;
mod claim;
mod desk;
mod few;
mod kernel;
mod lifetime;
mod renewing;
mod restraint;
mod tenant;
mod virtual_mac;
mod word;
mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use holdfast_config::{InterfaceSettings, Name};
use holdfast_net::{WakeError, Waker, realtime};
use holdfast_time::Instant;

use self::announcing::Paces;
pub(super) use self::claim::Claim;
use self::desk::Desk;
pub(super) use self::desk::{Outcome, Wanted};
use self::kernel::{Host, HostError, Kernel};
use self::renewing::{Renewals, RenewingThread};
use self::worker::Worker;

/// Below the VRRP thread's, above all that is not real-time.
const PRIORITY: u8 = 1;

/// The address thread from outside. Dropping it removes what it holds, and waits for that.
#[derive(Debug)]
pub(super) struct AddressThread {
    desk: Arc<Desk>,
    renewals: Arc<Renewals>,
    claims: Vec<Claim>,
    state: PathBuf,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
    /// There since an address had an end first.
    renewing: Option<RenewingThread>,
}

impl AddressThread {
    /// Starts the thread for the instances of `claims`; announcements keep to the pace of their interface in `settings`. What outlives
    /// the daemon is kept in the directory `state`. The `heirs` among them go on with what a worker that died has put somewhere. It wakes `waker` when it ends, and when [`Self::seats`] has something new.
    ///
    /// # Errors
    /// No thread or no netlink socket can be had.
    pub(super) fn start(
        claims: Vec<Claim>,
        heirs: BTreeSet<Name>,
        settings: &BTreeMap<String, InterfaceSettings>,
        state: &Path,
        waker: Waker,
    ) -> Result<Self, AddressThreadError> {
        let paces = paces(settings);
        let host = Host::open(&claims, &heirs, state).map_err(AddressThreadError::Host)?;
        Self::with_kernel(host, (claims, heirs), paces, state, waker)
    }

    fn with_kernel<K: Kernel + Send + 'static>(
        kernel: K,
        (claims, heirs): (Vec<Claim>, BTreeSet<Name>),
        paces: Paces,
        state: &Path,
        waker: Waker,
    ) -> Result<Self, AddressThreadError> {
        let desk = Arc::new(Desk::new(waker.clone()).map_err(AddressThreadError::Waker)?);
        let renewals = Arc::new(Renewals::new(Arc::clone(&desk)));
        let farewell = Farewell { desk: Arc::clone(&desk), waker: waker.clone() };
        let inherits = !heirs.is_empty();
        let worker = {
            let (desk, renewals) = (Arc::clone(&desk), Arc::clone(&renewals));
            Worker::new(desk, kernel, &claims, paces, renewals).inheriting(&heirs)
        };
        let thread = std::thread::Builder::new()
            .name("addresses".to_owned())
            .spawn(move || {
                let _farewell = farewell;
                if let Err(refused) = realtime::enter(PRIORITY) {
                    // The VRRP thread, which asks for more, says what to do.
                    tracing::debug!(%refused, "addresses may be late when the host is busy");
                }
                worker.run();
            })
            .map_err(AddressThreadError::Thread)?;
        let state = state.to_owned();
        let (thread, renewing) = (Some(thread), None);
        // Dropped, should the other thread not be had, it ends in order.
        let mut all = Self { desk, renewals, claims, state, waker, thread, renewing };
        all.ensure_renewing(inherits)?;
        Ok(all)
    }

    /// Starts the thread that renews, if some address has an end: by its claim, or because whoever put it there had another one (`inherits`).
    fn ensure_renewing(&mut self, inherits: bool) -> Result<(), AddressThreadError> {
        let mortal = inherits || self.claims.iter().any(|claim| claim.lifetime.is_some());
        if self.renewing.is_none() && mortal {
            let farewell = Farewell { desk: Arc::clone(&self.desk), waker: self.waker.clone() };
            self.renewing = Some(RenewingThread::start(Arc::clone(&self.renewals), farewell)?);
        }
        Ok(())
    }

    /// The VRRP thread's word: it has read all that had arrived until then, and has said what follows from it.
    pub(super) fn vouch(&self, read_until: Instant, now: Instant) {
        self.desk.vouch(read_until, now);
    }

    /// Whether somebody waits for that word, and for one that is newer than the last.
    pub(super) fn waits_for_word(&self) -> bool {
        self.desk.is_asked()
    }

    /// Has the instances of `claims`, and no others, from now on, without waiting. Those of `renamed` are what they were under their other
    /// names. Say it before what they want.
    pub(super) fn claim(
        &mut self,
        mut claims: Vec<Claim>,
        settings: &BTreeMap<String, InterfaceSettings>,
        renamed: Vec<(Name, Name)>,
    ) {
        self.claims.clone_from(&claims);
        if let Err(error) = self.ensure_renewing(false) {
            tracing::error!(%error, "addresses can't be renewed: they are put there without an end");
            claims.iter_mut().for_each(|claim| claim.lifetime = None);
            self.claims.clone_from(&claims);
        }
        self.desk.claim(claims, paces(settings), renamed);
    }

    /// Replaces what `instance` wants, without waiting.
    pub(super) fn want(&self, instance: &Name, wanted: Wanted) {
        self.desk.want(instance, wanted);
    }

    /// What has become of the addresses of `instance`.
    pub(super) fn outcome(&self, instance: &Name) -> Outcome {
        self.desk.outcome(instance)
    }

    /// The instances for which the interface of a virtual MAC address has gone, and why, or has come back, since the last call.
    pub(super) fn seats(&self) -> Vec<(Name, Option<String>)> {
        self.desk.seats()
    }

    /// Whether the thread still works; it ends by a fault only, until this is dropped.
    pub(super) fn works(&self) -> bool {
        !self.desk.is_gone()
    }

    /// Does once what a thread that died can't: removes the addresses that are not wanted any more, which are all.
    fn remove_without_thread(&self) {
        tracing::error!("the address thread had panicked: its addresses are removed without it");
        match Host::open(&self.claims, &BTreeSet::new(), &self.state) {
            Ok(host) => {
                let (desk, renewals) = (Arc::clone(&self.desk), Arc::clone(&self.renewals));
                Worker::new(desk, host, &self.claims, Paces::new(), renewals).run();
            }
            Err(error) => tracing::error!(%error, "addresses may be left behind"),
        }
    }
}

impl Drop for AddressThread {
    fn drop(&mut self) {
        self.desk.close();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            self.remove_without_thread();
        }
    }
}

fn paces(settings: &BTreeMap<String, InterfaceSettings>) -> Paces {
    settings.iter().map(|(name, one)| (name.clone(), one.announce_interval)).collect()
}

/// Tells of the thread's end, by a panic too.
#[derive(Debug)]
struct Farewell {
    desk: Arc<Desk>,
    waker: Waker,
}

impl Drop for Farewell {
    fn drop(&mut self) {
        self.desk.set_gone();
        if let Err(error) = self.waker.wake() {
            tracing::error!(%error, "the VRRP thread could not be woken");
        }
    }
}

/// Why there is no address thread.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum AddressThreadError {
    /// The operating system has no thread left.
    #[error("start the address thread")]
    Thread(#[source] io::Error),
    /// The kernel can't be used.
    #[error(transparent)]
    Host(HostError),
    /// No way to wake the thread.
    #[error(transparent)]
    Waker(WakeError),
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::os::fd::AsFd;

    use holdfast_config::Announce;
    use holdfast_net::{Change, Effect, Interface, Inventory, Losses, MacAddress, wait_until};
    use holdfast_time::Instant;

    use super::*;

    #[derive(Default)]
    struct Broken(Inventory);

    impl Kernel for Broken {
        type Error = String;

        fn inventory(&self) -> &Inventory {
            &self.0
        }

        fn follow(&mut self) -> Result<Losses, String> {
            panic!("a fault of the daemon")
        }

        fn refresh(&mut self) -> Result<(), String> {
            Ok(())
        }

        fn change(&mut self, _: &[Change]) -> Vec<Result<Effect, String>> {
            Vec::new()
        }

        fn announce(&mut self, _: &Interface, _: MacAddress, _: IpAddr) -> Result<(), String> {
            Ok(())
        }

        fn wait(&self, _: &Waker, _: Instant) {}
    }

    #[test]
    fn the_threads_death_wakes_the_vrrp_thread_and_is_known() {
        let claim = Claim {
            instance: Name::try_from("a".to_owned()).unwrap(),
            owner: false,
            device: None,
            addresses: Vec::new(),
            routes: Vec::new(),
            rules: Vec::new(),
            announce: Announce::default(),
            lifetime: None,
            seat: None,
            closed: BTreeSet::new(),
        };
        let waker = Waker::new().unwrap();
        let broken = Broken::default();
        let thread = AddressThread::with_kernel(
            broken,
            (vec![claim], BTreeSet::new()),
            Paces::new(),
            Path::new("/"),
            waker.clone(),
        )
        .unwrap();
        wait_until(&[waker.as_fd()], None).unwrap();
        assert!(!thread.works());
    }
}
