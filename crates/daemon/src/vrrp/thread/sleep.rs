//! The VRRP thread's sleep between two turns.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use holdfast_net::{now, wait_until};
use holdfast_time::Instant;

use super::super::sockets::SocketKey;
use super::VrrpThread;

/// What there is to read after a sleep.
#[derive(Debug)]
pub(super) struct News {
    pub(super) links: bool,
    pub(super) sockets: Vec<SocketKey>,
    /// Sockets that are not named were empty at this moment.
    pub(super) idle_at: Instant,
    /// When the sleep began and when it ended.
    pub(super) slept_at: Instant,
    pub(super) at: Instant,
    /// How long after its deadline it ended.
    pub(super) late: Duration,
}

impl News {
    /// What a thread that has just begun does not know yet.
    pub(super) fn at_start(at: Instant) -> Self {
        Self {
            links: true,
            sockets: Vec::new(),
            idle_at: at,
            slept_at: at,
            at,
            late: Duration::ZERO,
        }
    }
}

impl VrrpThread {
    /// Sleeps until the next deadline, or until something has come.
    pub(super) fn sleep(&self) -> News {
        let deadlines = [
            self.roster.deadline(),
            self.tracking.deadline(),
            self.groups.deadline(),
            self.links_again,
        ];
        let deadline = deadlines.into_iter().flatten().min();
        self.bequeath();
        let before = now();
        let hesitates = self.hesitation.ends_at();
        let deadline = deadline.max(deadline.and(hesitates));
        // Whoever waits for a word wants one of what comes now. Backups that hesitate are not to be hurried by that.
        let asked = hesitates.is_none() && self.outside.addresses.waits_for_word();
        let deadline = if asked { Some(before) } else { deadline };
        let deadline = self.outside.testament.beat(before, deadline);
        let mut descriptors: Vec<BorrowedFd<'_>> = self.links.descriptors().collect();
        let of_links = descriptors.len();
        descriptors.extend(self.outside.sockets.descriptors());
        descriptors.push(self.waker.as_fd());
        match wait_until(&descriptors, deadline) {
            Ok(ready) => {
                // Nothing came before the deadline: every queue was empty when it had passed.
                let idle = deadline.filter(|_| !ready.contains(&true));
                let mut ready = ready.into_iter();
                let links = ready.by_ref().take(of_links).fold(false, |any, one| any | one);
                let sockets = self.outside.sockets.keys().zip(ready).filter(|(_, ready)| *ready);
                let sockets = sockets.map(|(key, _)| key).collect();
                let idle_at = idle.map_or(before, |at| at.max(before));
                let at = now();
                let late =
                    deadline.map_or(Duration::ZERO, |deadline| at.saturating_since(deadline));
                News { links, sockets, idle_at, slept_at: before, at, late }
            }
            Err(error) => {
                // The timers still have to be served; without this pause a kernel out of memory would be asked in a busy loop.
                tracing::error!(%error, "the VRRP thread could not sleep");
                std::thread::sleep(Duration::from_millis(1));
                News {
                    links: true,
                    sockets: self.outside.sockets.keys().collect(),
                    ..News::at_start(before)
                }
            }
        }
    }

    /// Writes down what a process has to know that may have to go on in this one's place.
    fn bequeath(&self) {
        let testament = &self.outside.testament;
        let at = now();
        if testament.is_due(at) {
            let bequests = self.roster.iter().map(|instance| {
                let (bequest, stood) = instance.bequest();
                (instance.name().clone(), bequest, stood)
            });
            testament.write_will(at, bequests.collect(), self.tracking.bequest(&self.trackers));
        }
    }
}
