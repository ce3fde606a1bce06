//! A sync group: virtual routers that are Active together on a node or not at all.
//!
//! ```text
//!               every member may take over                 a member gives way
//!   ┌─────────┐ ──────────────────────────► ┌────────┐ ──────────────────────► (back to Waiting: the others step down)
//!   │ Waiting │                             │ Active │
//!   └─────────┘ ◄────────┐                  └────────┘
//!        │               │ no member has a fault  │ a member has a fault
//!        └──────────► ┌──┴──┐ ◄───────────────────┘
//!   a member has one  │ Out │   every other member is excluded, and says by whom
//!                     └─────┘
//! ```
//!
//! **Who drives it** tells it of every member that has changed ([`SyncGroup::observe`]), then takes the orders one by one
//! ([`SyncGroup::poll_order`]), does each at once, and observes its member again before the next one. It never fires the
//! Active_Down_Timer of a member itself: an expired one is [`Member::due`], and only [`Order::TakeOver`] makes it Active. A member
//! takes part while it has no fault of its own and [`SyncGroup::excluded`] says nothing.
//!
//! **When every member may.** No member has a fault, all are Backups, and
//! * the timer of each has expired; or
//! * the timer of one has expired after its Active gave up (priority 0, or BFD lost it), and no other member has heard an Active
//!   since. A peer that has a group gives up all its members together, and one of them perhaps can't say so, its link being what
//!   failed. If an Active was heard elsewhere since, the one that gave up did so alone, and this group stays out of it.
//!
//! **Stepping down** is make before break: the machine keeps the addresses until another router is heard
//! (`vrrp::Status::Releasing`), and becomes Active again by itself when nobody is. If then every member is Active, the group is.
//! If not, those have to let go: together or not at all.
//!
//! **No thrash.** Nodes whose members disagree about who is better (priorities crossed by mistake) may take over at the same moment,
//! and then each gives way to the other. A group that has to give way within one Active_Down_Interval after it took over lets go
//! at once, and waits for a number of slots (half that interval each) before it takes over again, drawn as Ethernet does: from a
//! range that doubles with every time in a row up to 16, by a number that differs between nodes (`salt`). The one that is first
//! stays, since the other then hears an Active on the member where it is worse.

use std::collections::BTreeMap;
use std::time::Duration;

use holdfast_config::Name;
use holdfast_time::Instant;
use vrrp::{Reason, State, Status, VirtualRouter};

/// So many times the range of slots doubles.
const DOUBLINGS: u32 = 4;

/// What a group has to know of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its machine's state.
    pub status: Status,
    /// What of its own keeps it from taking part: its interface, a tracker, the operator. Not its being excluded.
    pub fault: Option<String>,
    /// Its Active_Down_Timer has expired, and everything that arrived before has been read.
    pub due: Option<Due>,
    /// When it last heard an Active that it accepts as one; none if it did not, or if that one has given up since.
    pub heard: Option<Instant>,
    /// Its Active_Down_Interval now.
    pub active_down_interval: Duration,
}

/// Why an Active_Down_Timer has expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// The Active is silent, or worse than this router, which preempts; or it has fallen ([`super::Succession`]).
    Silent,
    /// The Active gave up.
    Released {
        /// When that was heard.
        at: Instant,
    },
}

impl Member {
    /// What `router` is, with the fault of its own. `read_until` is how far its receive queue has been read: a timer counts as
    /// expired only if its deadline lies before. Pass [`Instant::ZERO`] where it is not known.
    pub fn of(router: &VirtualRouter, fault: Option<String>, read_until: Instant) -> Self {
        let params = router.params();
        let interval = router.active_adver_interval();
        let interval = interval.unwrap_or_else(|| params.advertisement_interval());
        let active_down_interval = params.active_down_interval(interval);
        let mut member =
            Self { status: router.status(), fault, due: None, heard: None, active_down_interval };
        if let State::Backup { active_down, active_adver_interval, active, takeover, .. } =
            *router.state()
        {
            let skew = if matches!(takeover, Reason::ActiveReleased | Reason::ActiveLost) {
                Some(params.skew_time(active_adver_interval))
            } else {
                (takeover == Reason::ActiveDied).then(|| params.death_skew())
            };
            if active_down <= read_until {
                let released = skew.map(|skew| Due::Released { at: active_down - skew });
                member.due = Some(released.unwrap_or(Due::Silent));
            }
            if takeover == Reason::ActiveSilent && active.is_some() {
                member.heard = Some(active_down - active_down_interval);
            }
        }
        member
    }

    /// The same, due also if its Active has fallen ([`super::Succession::is_due`]).
    #[must_use]
    pub fn or_fallen(mut self, fallen: bool) -> Self {
        if fallen && self.status == Status::Backup {
            self.due = self.due.or(Some(Due::Silent));
        }
        self
    }
}

/// What is to be done to a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// It becomes Active now (`vrrp::Event::TakeOver`).
    TakeOver(Name),
    /// It gives up the Active role and goes on as a Backup (`vrrp::Event::StepDown`).
    StepDown(Name),
    /// The same without waiting for another router (`vrrp::Event::Shutdown` twice, then `Startup`).
    LetGo(Name),
    /// It stays out (`vrrp::Event::Shutdown`) until it is readmitted. Given again when the sentence changes.
    Exclude(Name, String),
    /// It takes part again (`vrrp::Event::Startup`), unless it has a fault of its own.
    Readmit(Name),
}

/// What the group as a whole does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Waiting,
    Active,
    Out,
}

/// A member and what it was told.
#[derive(Clone, Debug, Default)]
struct Seat {
    /// What it is; none before it was first observed.
    is: Option<Member>,
    /// Whether it was told to take over, or to step down, in the group's present role.
    told: bool,
    /// Whether it has been told to let go and is not yet seen to have done so.
    let_go: bool,
    /// Whether it is Active because nobody took over when it stepped down.
    returned: bool,
    /// The sentence that it was excluded with.
    excluded: Option<String>,
}

impl Seat {
    fn status(&self) -> Option<Status> {
        self.is.as_ref().map(|is| is.status)
    }

    fn fault(&self) -> Option<&str> {
        self.is.as_ref()?.fault.as_deref()
    }
}

/// A sync group of one node.
#[derive(Clone, Debug)]
pub struct SyncGroup {
    name: Name,
    seats: BTreeMap<Name, Seat>,
    role: Role,
    /// The time of the last observation.
    now: Instant,
    salt: u64,
    took_over: Option<Instant>,
    /// How many times in a row it gave way right after it took over, and when it last did.
    contests: u32,
    contested: Option<Instant>,
    hold_until: Option<Instant>,
    /// It had only just taken over when it had to give way: there is nothing to hold on to.
    abrupt: bool,
}

impl SyncGroup {
    /// The group `name` of these members, none of which has been observed. It does nothing before all have been. `salt` is any
    /// number that differs between the nodes: a hash of the node's name.
    pub fn new(name: Name, members: impl IntoIterator<Item = Name>, salt: u64) -> Self {
        Self {
            name,
            seats: members.into_iter().map(|member| (member, Seat::default())).collect(),
            role: Role::Waiting,
            now: Instant::ZERO,
            salt,
            took_over: None,
            contests: 0,
            contested: None,
            hold_until: None,
            abrupt: false,
        }
    }

    /// Takes over where `before` was, the group of this name before a reload: an Active one goes on, and what is new in it takes
    /// over at once.
    pub fn inherit(&mut self, before: &Self) {
        self.role = before.role;
        (self.took_over, self.abrupt) = (before.took_over, before.abrupt);
        (self.contests, self.contested) = (before.contests, before.contested);
        self.hold_until = before.hold_until;
        for (name, seat) in &mut self.seats {
            if let Some(known) = before.seats.get(name) {
                seat.clone_from(known);
            }
        }
    }

    /// The group's name.
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// Its members.
    pub fn members(&self) -> impl Iterator<Item = &Name> {
        self.seats.keys()
    }

    /// The group's state as a whole: Active while every member is; Initialize while a member has a fault or does not take part; Backup
    /// otherwise.
    pub fn status(&self) -> Status {
        let all = |status| self.seats.values().all(|seat| seat.status() == Some(status));
        let out = |seat: &Seat| matches!(seat.status(), None | Some(Status::Initialize));
        if self.role == Role::Active && all(Status::Active) {
            Status::Active
        } else if self.role == Role::Out || self.seats.values().any(out) {
            Status::Initialize
        } else {
            Status::Backup
        }
    }

    /// Why a member has to stay out for others' sake, as of the last poll: ``sync group `pair`: instance `inside`: eth1 is down``.
    pub fn excluded(&self, member: &Name) -> Option<&str> {
        self.seats.get(member)?.excluded.as_deref()
    }

    /// Takes what a member is now; nothing is decided before [`SyncGroup::poll_order`]. One that is not of the group is ignored.
    pub fn observe(&mut self, now: Instant, member: &Name, is: Member) {
        let Some(seat) = self.seats.get_mut(member) else { return };
        let from = seat.status();
        match is.status {
            Status::Active => {
                seat.returned |= from == Some(Status::Releasing) && self.role != Role::Active;
            }
            Status::Releasing => {}
            Status::Backup | Status::Initialize => {
                (seat.returned, seat.let_go) = (false, false);
                seat.told &= self.role == Role::Active;
            }
        }
        seat.is = Some(is);
        self.now = now;
    }

    /// Takes note of the time, for the wait after a contest. Call it when [`SyncGroup::poll_timeout`] says so, and then poll.
    pub const fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
    }

    /// When the group may take over after a contest; none when it waits for nothing but its members.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let may = self.role == Role::Waiting && self.may_take_over();
        self.hold_until.filter(|_| may)
    }

    /// The next thing to do, all members having been observed that have changed. Do it and observe the member before the next
    /// call; poll until there is none.
    pub fn poll_order(&mut self) -> Option<Order> {
        if self.seats.values().any(|seat| seat.is.is_none()) {
            return None;
        }
        self.settle(self.now);
        if let Some(order) = self.exclude_or_readmit() {
            return Some(order);
        }
        match self.role {
            Role::Active => self.tell(Status::Backup, Order::TakeOver),
            Role::Waiting | Role::Out => self.leave(),
        }
    }

    /// The order for the first member of this status that was not told yet.
    fn tell(&mut self, status: Status, order: fn(Name) -> Order) -> Option<Order> {
        let stays = |seat: &Seat| seat.told || seat.returned || seat.status() != Some(status);
        let (name, seat) = self.seats.iter_mut().find(|(_, seat)| !stays(seat))?;
        seat.told = true;
        Some(order(name.clone()))
    }

    /// The group is not Active, so nobody is.
    fn leave(&mut self) -> Option<Order> {
        let undecided = self.seats.values().any(|seat| seat.status() == Some(Status::Releasing));
        let abrupt = self.abrupt;
        let lets_go = |seat: &Seat| {
            seat.status() == Some(Status::Active)
                && !seat.let_go
                && (abrupt || (seat.returned && !undecided))
        };
        if let Some((name, seat)) = self.seats.iter_mut().find(|(_, seat)| lets_go(seat)) {
            (seat.told, seat.let_go) = (true, true);
            return Some(Order::LetGo(name.clone()));
        }
        if abrupt { None } else { self.tell(Status::Active, Order::StepDown) }
    }

    fn exclude_or_readmit(&mut self) -> Option<Order> {
        let faulty: Vec<(Name, String)> = self
            .seats
            .iter()
            .filter_map(|(name, seat)| Some((name.clone(), seat.fault()?.to_owned())))
            .collect();
        for (name, seat) in &mut self.seats {
            let by = faulty.iter().find(|(other, _)| other != name);
            let sentence = by.map(|(other, fault)| {
                format!("sync group `{}`: instance `{other}`: {fault}", self.name)
            });
            if seat.excluded == sentence {
                continue;
            }
            seat.excluded.clone_from(&sentence);
            return Some(match sentence {
                Some(sentence) => Order::Exclude(name.clone(), sentence),
                None => Order::Readmit(name.clone()),
            });
        }
        None
    }

    /// Finds the role that the members allow.
    fn settle(&mut self, now: Instant) {
        let faulty = self.seats.values().any(|seat| seat.fault().is_some());
        match self.role {
            _ if faulty => self.enter(Role::Out),
            Role::Out => self.enter(Role::Waiting),
            Role::Active if self.gave_way() => {
                self.count_contest(now);
                self.enter(Role::Waiting);
            }
            Role::Waiting if self.all_active() => {
                self.enter(Role::Active);
                self.seats.values_mut().for_each(|seat| (seat.told, seat.returned) = (true, false));
            }
            Role::Waiting if self.may_take_over() && self.hold_until.is_none_or(|at| at <= now) => {
                self.hold_until = None;
                self.took_over = Some(now);
                self.enter(Role::Active);
            }
            Role::Active | Role::Waiting => {}
        }
    }

    fn enter(&mut self, role: Role) {
        if self.role != role {
            self.role = role;
            self.abrupt &= role != Role::Active;
            self.seats.values_mut().for_each(|seat| seat.told = false);
        }
    }

    /// A member that was told to take over is not Active, or one that was not told yet can't be.
    fn gave_way(&self) -> bool {
        self.seats.values().any(|seat| match seat.status() {
            Some(Status::Active) => false,
            Some(Status::Backup) => seat.told,
            Some(_) | None => true,
        })
    }

    /// Nobody wanted what it gave up; or it was so when the group began.
    fn all_active(&self) -> bool {
        self.seats.values().all(|seat| seat.status() == Some(Status::Active))
    }

    fn may_take_over(&self) -> bool {
        let members = || self.seats.values().map(|seat| seat.is.as_ref());
        let ready = members().all(|is| is.is_some_and(|is| is.status == Status::Backup));
        if !ready {
            return false;
        }
        let all_due = members().flatten().all(|is| is.due.is_some());
        let released = members().flatten().filter_map(|is| match is.due {
            Some(Due::Released { at }) => Some(at),
            Some(Due::Silent) | None => None,
        });
        let heard =
            members().flatten().filter(|is| is.due.is_none()).filter_map(|is| is.heard).max();
        all_due || released.max().is_some_and(|at| heard.is_none_or(|heard| heard <= at))
    }

    fn longest_interval(&self) -> Duration {
        let members = self.seats.values().filter_map(|seat| seat.is.as_ref());
        members.map(|is| is.active_down_interval).max().unwrap_or_default()
    }

    /// The group gives way; if it had only just taken over, it waits before it does so again.
    fn count_contest(&mut self, now: Instant) {
        let interval = self.longest_interval();
        let within = |since: Option<Instant>, window: Duration| {
            since.is_some_and(|since| now.saturating_since(since) <= window)
        };
        if !within(self.took_over, interval) {
            self.contests = 0;
            return;
        }
        // What is long past was another quarrel.
        let recent = within(self.contested, interval.saturating_mul(32));
        self.contests = if recent { self.contests.saturating_add(1).min(DOUBLINGS) } else { 1 };
        self.contested = Some(now);
        self.abrupt = true;
        let slots = drawn(self.salt, self.contests, now) % (1_u64 << self.contests.min(DOUBLINGS));
        let slots = u32::try_from(slots).unwrap_or(u32::MAX);
        self.hold_until = Some(now + (interval / 2).saturating_mul(slots));
    }
}

/// A number that looks like any other and is the same in every run (splitmix64).
const fn drawn(salt: u64, contests: u32, now: Instant) -> u64 {
    let mixed = salt
        .wrapping_add((contests as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))
        .wrapping_add(now.since_start().subsec_nanos() as u64);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
