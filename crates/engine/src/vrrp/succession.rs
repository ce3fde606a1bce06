//! Who takes over from an Active that has become worse, where nobody preempts.
//!
//! With Preempt_Mode off a Backup accepts whoever is Active (RFC 9568 §6.4.2): a router of lower rank keeps the role. That is meant
//! for the router that comes back, which shall not take the role again. To the letter it also holds for an Active whose
//! trackers have lowered it while everybody watched: the weight would do nothing at all, which no operator expects.
//!
//! So an Active that has *fallen* is taken over from: it advertises less than it did before in the same reign, and less than this
//! Backup's priority. The Backup waits its Skew_Time, as after priority 0, so that the best one comes first, and takes over; the
//! fallen one hears a higher priority and gives way (R2). When it has recovered it finds an Active of lower priority that has not
//! fallen, and stays Backup: preempt is off. Who starts while the Active is low has not seen it fall and leaves it alone.

use std::net::IpAddr;

use holdfast_time::Instant;
use vrrp::{Advertisement, Priority, Status, VirtualRouter};

/// What a Backup with Preempt_Mode off knows of its Active's reign.
#[derive(Clone, Debug, Default)]
pub struct Succession {
    reign: Option<Reign>,
}

#[derive(Clone, Copy, Debug)]
struct Reign {
    active: IpAddr,
    highest: Priority,
    last: Priority,
    /// When this router takes over; none while the Active has not fallen.
    due: Option<Instant>,
}

impl Succession {
    /// Takes an advertisement that `router` has just been given.
    pub fn hear(&mut self, now: Instant, heard: Advertisement, router: &VirtualRouter) {
        let Advertisement { source, priority, .. } = heard;
        let waits = router.status() == Status::Backup && !router.params().preempts();
        if !waits || priority == Priority::RELEASE {
            self.reign = None;
            return;
        }
        let before = self.reign.filter(|reign| reign.active == source);
        let highest = before.map_or(priority, |reign| reign.highest.max(priority));
        let fallen = priority < highest && priority < router.priority();
        let interval = router.active_adver_interval();
        let skew = router.params().skew_time(interval.unwrap_or(heard.interval));
        let due = fallen.then(|| before.and_then(|reign| reign.due).unwrap_or(now + skew));
        self.reign = Some(Reign { active: source, highest, last: priority, due });
    }

    /// When the router takes over (`vrrp::Event::ActiveFallen`), if it hears nothing else until then. It is a deadline like
    /// Active_Down_Timer: what arrived before must have been read. For a member of a group it is [`super::Member::due`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.reign.and_then(|reign| reign.due)
    }

    /// Whether the time has come for a router of this priority, everything having been read that arrived until `read_until`.
    pub fn is_due(&self, read_until: Instant, own: Priority) -> bool {
        self.reign
            .is_some_and(|reign| reign.last < own && reign.due.is_some_and(|due| due <= read_until))
    }

    /// Forgets the reign: after every transition of the router.
    pub const fn forget(&mut self) {
        self.reign = None;
    }
}
