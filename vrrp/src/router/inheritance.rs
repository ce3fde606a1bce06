//! K1: a process that takes the place of one that died without a word while it was Active. Not in the RFC, which knows no difference
//! between a router and a process.
//!
//! The addresses are in the kernel and outlive a process. What is lost with it is the voice: were the next process to begin as the RFC has
//! it, as a Backup (S2), the others would hear nothing for their whole Active_Down_Interval. Instead it goes on as the Active, by the
//! time of the last advertisement that it was left.
//!
//! **Why this makes no second Active.** A Backup takes over no sooner than `down_adverts` intervals after the last advertisement that it
//! heard. Before that moment ([`crate::Params::inheritance_interval`]) nobody can have taken over for want of one that this node has
//! sent; after it the inheritance counts for nothing. Who takes over for another reason (it missed earlier advertisements, BFD told it, it
//! was told to) would have done so against a living Active, too, and what ends that ends this: the first thing that is said is an
//! advertisement, a better router answers it and this one gives way (R2, R3), a worse one gives way (R4, R6), and the next timed
//! advertisement announces the addresses again, in case that somebody has come and gone unheard. So two are Active for no longer than
//! after any other contest, one interval.
//!
//! What it relies on: the instant is that of an advertisement which was really sent, by a clock that counts while the machine sleeps, and
//! nothing of higher rank was heard since. A process that has given way, or is giving up, leaves no inheritance.

use holdfast_time::Instant;

use super::{Action, Reason, VirtualRouter};

impl VirtualRouter {
    /// Whether there is an inheritance that still counts. It is used up by this.
    pub(super) fn takes_inheritance(&mut self, now: Instant) -> bool {
        let Some(advertised) = self.inherited.take() else { return false };
        advertised <= now && now < advertised + self.params.inheritance_interval()
    }

    /// From Initialize to Active. The addresses are there; to install them finds that out.
    pub(super) fn go_on(&mut self, now: Instant) {
        self.send(self.params.priority());
        self.push(Action::InstallAddresses);
        let adver = now + self.params.advertisement_interval().duration();
        self.enter(now, self.active(now, adver, 1), Reason::Inherited);
    }
}
