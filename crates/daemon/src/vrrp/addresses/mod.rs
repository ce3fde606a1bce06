//! The address thread: keeps the virtual addresses in the kernel as the instances want them, and announces them.
//!
//! Like the table of IPVS, addresses are desired state: the VRRP thread says of each instance whether its addresses shall be there
//! ([`Wanted`]), and the thread compares that with what the kernel has, now, when an address goes, after a refusal and every ten
//! seconds. The VRRP thread never waits for it. It holds no state that decides anything.

mod desk;
mod kernel;
mod tenant;
mod worker;

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use holdfast_config::Name;
use holdfast_net::{AddressError, AddressSocket, Waker, realtime};

use self::desk::Desk;
pub(super) use self::desk::{Outcome, Wanted};
use self::kernel::Kernel;
pub(super) use self::tenant::Claim;
use self::worker::Worker;

/// Below the VRRP thread's, above all that is not real-time.
const PRIORITY: u8 = 1;

/// The address thread from outside. Dropping it removes what it holds, and waits for that.
#[derive(Debug)]
pub(super) struct AddressThread {
    desk: Arc<Desk>,
    claims: Vec<Claim>,
    thread: Option<JoinHandle<()>>,
}

impl AddressThread {
    /// Starts the thread for the instances of `claims`. It wakes `waker` when it ends.
    ///
    /// # Errors
    /// No thread or no netlink socket can be had.
    pub(super) fn start(claims: Vec<Claim>, waker: Waker) -> Result<Self, AddressThreadError> {
        let socket = AddressSocket::open().map_err(AddressThreadError::Socket)?;
        Self::with_kernel(socket, claims, waker)
    }

    fn with_kernel<K: Kernel + Send + 'static>(
        kernel: K,
        claims: Vec<Claim>,
        waker: Waker,
    ) -> Result<Self, AddressThreadError> {
        let desk = Arc::new(Desk::default());
        let farewell = Farewell { desk: Arc::clone(&desk), waker };
        let worker = Worker::new(Arc::clone(&desk), kernel, &claims);
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
        Ok(Self { desk, claims, thread: Some(thread) })
    }

    /// Replaces what `instance` wants, without waiting.
    pub(super) fn want(&self, instance: &Name, wanted: Wanted) {
        self.desk.want(instance, wanted);
    }

    /// What has become of the addresses of `instance`.
    pub(super) fn outcome(&self, instance: &Name) -> Outcome {
        self.desk.outcome(instance)
    }

    /// Whether the thread still works; it ends by a fault only, until this is dropped.
    pub(super) fn works(&self) -> bool {
        !self.desk.is_gone()
    }

    /// Does once what a thread that died can't: removes the addresses that are not wanted any more, which are all.
    fn remove_without_thread(&self) {
        tracing::error!("the address thread had panicked: its addresses are removed without it");
        match AddressSocket::open() {
            Ok(socket) => Worker::new(Arc::clone(&self.desk), socket, &self.claims).run(),
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
    /// No netlink socket.
    #[error(transparent)]
    Socket(AddressError),
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::os::fd::AsFd;

    use holdfast_net::{Addition, Interface, MacAddress, Removal, wait_until};
    use ipnet::IpNet;

    use self::tenant::Present;
    use super::*;

    struct Broken;

    impl Kernel for Broken {
        type Error = String;

        fn list(&mut self) -> Result<Present, String> {
            panic!("a fault of the daemon")
        }

        fn add(&mut self, _: &Interface, _: &[IpNet]) -> Vec<Result<Addition, String>> {
            Vec::new()
        }

        fn remove(&mut self, _: &Interface, _: &[IpNet]) -> Vec<Result<Removal, String>> {
            Vec::new()
        }

        fn announce(&mut self, _: &Interface, _: MacAddress, _: &[IpAddr]) -> Result<(), String> {
            Ok(())
        }
    }

    #[test]
    fn the_threads_death_wakes_the_vrrp_thread_and_is_known() {
        let instance = Name::try_from("a".to_owned()).unwrap();
        let claim = Claim { instance: instance.clone(), owner: false, addresses: Vec::new() };
        let waker = Waker::new().unwrap();
        let thread = AddressThread::with_kernel(Broken, vec![claim], waker.clone()).unwrap();
        assert!(thread.works());
        thread.want(&instance, Wanted::default());
        wait_until(&[waker.as_fd()], None).unwrap();
        assert!(!thread.works());
    }
}
