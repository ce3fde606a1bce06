//! I13: the machine against a model on random histories. The model was written from the table, not from the machine: numbers
//! instead of types, a flat list of rows instead of states that own their timers. On the way the invariants I6, I7 and I10.

use proptest::prelude::*;

use super::*;

const SECOND: u64 = 1_000_000_000;

/// What is done to both.
#[derive(Clone, Debug)]
enum Step {
    /// Time passes and no timer is looked at.
    Wait(u64),
    /// What is due fires.
    Timeout,
    /// Time passes until the deadline, and it fires.
    Fire,
    Startup,
    Shutdown,
    Up(u8),
    Down,
    Primary(u8),
    Heard {
        priority: u8,
        host: u8,
        units: u16,
    },
    Reconfigure {
        priority: u8,
        units: u16,
        preempt: bool,
    },
    Resumed,
}

#[derive(Clone, Debug)]
struct Model {
    v2: bool,
    priority: u8,
    /// Own interval and learned interval in nanoseconds.
    own: u64,
    learned: u64,
    preempt: bool,
    host: Option<u8>,
    wanted: bool,
    /// 'I', 'B' or 'A'.
    state: char,
    timer: u64,
    /// In Backup: why it would take over.
    why: &'static str,
    /// In Active: when it last advertised, until when that holds, how many announcements are owed.
    sent: u64,
    holds: u64,
    owed: u8,
    /// When it became Active.
    since: u64,
}

impl Model {
    fn skew(&self, interval: u64) -> u64 {
        (256 - u64::from(self.priority)) * if self.v2 { SECOND } else { interval } / 256
    }

    fn down(&self, interval: u64) -> u64 {
        3 * interval + self.skew(interval)
    }

    fn step(&mut self, now: u64, step: &Step) -> Vec<String> {
        let mut out = Vec::new();
        match (self.state, step) {
            (_, Step::Wait(_)) | ('I', Step::Timeout | Step::Fire | Step::Resumed) => {}
            ('A', Step::Resumed) | ('A' | 'B', Step::Startup) => {}
            ('I', Step::Startup) => {
                self.wanted = true;
                self.s1_s2(now, &mut out);
            }
            (_, Step::Shutdown) => {
                self.wanted = false;
                self.s3_s4(true, "shutdown", &mut out);
            }
            (_, Step::Down) => {
                self.host = None;
                self.s3_s4(false, "interface_down", &mut out);
            }
            (state, Step::Up(host)) => {
                self.host = Some(*host);
                if state == 'I' {
                    self.s1_s2(now, &mut out);
                }
            }
            (_, Step::Primary(host)) => {
                if self.host.is_some() {
                    self.host = Some(*host);
                }
            }
            ('B', Step::Timeout | Step::Fire) => {
                if now >= self.timer {
                    self.takeover(now, self.why, "backup", &mut out);
                }
            }
            ('A', Step::Timeout | Step::Fire) => {
                if now >= self.timer {
                    self.s6_c5(now, &mut out);
                }
            }
            ('B', Step::Resumed) => {
                self.timer = now + self.down(self.learned);
                self.why = "active_silent";
            }
            ('I', Step::Heard { .. }) => {}
            ('B', Step::Heard { priority, host, units }) => {
                self.backup_hears(now, *priority, *host, self.unit() * u64::from(*units), &mut out);
            }
            ('A', Step::Heard { priority, host, units }) => {
                self.active_hears(now, *priority, *host, self.unit() * u64::from(*units), &mut out);
            }
            (_, Step::Reconfigure { priority, units, preempt }) => {
                self.c1_c2(now, *priority, self.unit() * u64::from(*units), *preempt, &mut out);
            }
            (state, step) => panic!("no row for {step:?} in {state}"),
        }
        out
    }

    fn unit(&self) -> u64 {
        if self.v2 { SECOND } else { SECOND / 100 }
    }

    fn s1_s2(&mut self, now: u64, out: &mut Vec<String>) {
        if !self.wanted || self.host.is_none() {
            return;
        }
        if self.priority == 255 {
            self.takeover(now, "owner", "initialize", out);
        } else {
            out.push("initialize>backup startup".into());
            self.listen(now, self.own);
        }
    }

    fn s3_s4(&mut self, can_send: bool, why: &str, out: &mut Vec<String>) {
        match self.state {
            'A' => {
                if can_send {
                    out.push("adv 0".into());
                }
                out.push("remove".into());
                out.push(format!("active>initialize {why}"));
            }
            'B' => out.push(format!("backup>initialize {why}")),
            _ => {}
        }
        self.state = 'I';
    }

    fn takeover(&mut self, now: u64, why: &str, from: &str, out: &mut Vec<String>) {
        out.push(format!("adv {}", self.priority));
        out.push("install".into());
        out.push("announce".into());
        out.push(format!("{from}>active {why}"));
        (self.state, self.owed, self.since) = ('A', 0, now);
        self.sent_at(now);
        self.timer = now + self.own;
    }

    fn sent_at(&mut self, now: u64) {
        self.sent = now;
        self.holds = now + self.down(self.own);
    }

    fn listen(&mut self, now: u64, interval: u64) {
        self.learned = if self.v2 { self.own } else { interval };
        self.timer = now + self.down(self.learned);
        self.state = 'B';
        self.why = "active_silent";
    }

    fn s6_c5(&mut self, now: u64, out: &mut Vec<String>) {
        if now > self.holds {
            out.push(format!("stalled {:?}", Duration::from_nanos(now - self.sent)));
            if !self.preempt && self.priority != 255 {
                out.push("remove".into());
                out.push("active>backup stalled".into());
                return self.listen(now, self.own);
            }
            self.owed = 2;
        }
        out.push(format!("adv {}", self.priority));
        if self.owed > 0 {
            out.push("announce".into());
            self.owed -= 1;
        }
        self.sent_at(now);
        self.timer += self.own;
        if self.timer <= now {
            self.timer = now + self.own;
        }
    }

    fn claims(&self, priority: u8, host: u8, out: &mut Vec<String>) {
        if priority == self.priority && Some(host) == self.host {
            out.push("duplicate".into());
        } else if priority == 255 && self.priority == 255 {
            out.push("owners".into());
        }
    }

    fn backup_hears(&mut self, now: u64, p: u8, host: u8, interval: u64, out: &mut Vec<String>) {
        self.claims(p, host, out);
        let preempts = self.preempt || self.priority == 255;
        if p == 0 {
            // R1
            self.timer = now + self.skew(self.learned);
            self.why = "active_released";
        } else if p >= self.priority || !preempts {
            // R2 to R5, R7, R8
            self.listen(now, interval);
        } else if self.why == "active_silent" {
            // R6
            self.why = "preempt";
        }
    }

    fn active_hears(&mut self, now: u64, p: u8, host: u8, interval: u64, out: &mut Vec<String>) {
        self.claims(p, host, out);
        let mine = self.host.unwrap();
        if p > self.priority || (p == self.priority && host > mine) {
            // R2, R3
            let why = if p > self.priority { "higher_priority" } else { "higher_address" };
            if now < self.timer {
                out.push(format!("adv {}", self.priority));
            }
            out.push("remove".into());
            out.push(format!("active>backup {why}"));
            self.listen(now, interval);
        } else if p != self.priority || host != mine {
            // R1, R4, R6; what is left is R5.
            let answered = self.speak(now, out);
            let mut fresh = self.owed < 2;
            self.owed = 2;
            if answered {
                out.push("announce".into());
                self.owed = 1;
                fresh = true;
            }
            if p != 0 && fresh && now >= self.since + self.own {
                out.push(format!("dual 192.0.2.{host} {p}"));
            }
        }
    }

    /// Advertises at once unless the timer is due or the last advertisement is too young.
    fn speak(&mut self, now: u64, out: &mut Vec<String>) -> bool {
        if self.timer <= now {
            return false;
        }
        if now < self.sent + self.own / 2 {
            self.timer = self.timer.min(self.sent + self.own / 2);
            return false;
        }
        out.push(format!("adv {}", self.priority));
        self.sent_at(now);
        self.timer = now + self.own;
        true
    }

    fn c1_c2(&mut self, now: u64, p: u8, own: u64, preempt: bool, out: &mut Vec<String>) {
        let before = self.clone();
        (self.priority, self.own, self.preempt) = (p, own, preempt);
        if self.state == 'B' {
            if self.v2 {
                self.learned = own;
            }
            let (was, is) = if self.why == "active_released" {
                (before.skew(before.learned), self.skew(self.learned))
            } else {
                (before.down(before.learned), self.down(self.learned))
            };
            let remaining = before.timer.saturating_sub(now);
            self.timer = now + (remaining + is).saturating_sub(was);
        }
        if self.state == 'A' {
            self.timer = self.timer.min(now + own);
            if p != before.priority {
                self.speak(now, out);
            }
        }
    }

    /// The state and its timer in nanoseconds since the start.
    fn stands(&self) -> (char, Option<u64>) {
        (self.state, (self.state != 'I').then_some(self.timer))
    }
}

/// Both, and whether the addresses are installed.
struct Pair {
    model: Model,
    bench: Bench,
    installed: bool,
}

impl Pair {
    fn new(v2: bool) -> Self {
        let version = if v2 { Version::V2 } else { Version::V3 };
        let router = VirtualRouter::new(Instant::ZERO, params(version, 10, &["192.0.2.1"]));
        let model = Model {
            v2,
            priority: 100,
            own: SECOND,
            learned: 0,
            preempt: true,
            host: None,
            wanted: false,
            state: 'I',
            timer: 0,
            why: "active_silent",
            sent: 0,
            holds: 0,
            owed: 0,
            since: 0,
        };
        Self { model, bench: Bench { now: Instant::ZERO, router }, installed: false }
    }

    fn interval(&self, units: u16) -> Interval {
        if self.model.v2 {
            Interval::from_seconds(u8::try_from(units).unwrap()).unwrap()
        } else {
            interval(units)
        }
    }

    fn event(&self, step: &Step) -> Option<Event> {
        let address = |host: u8| IpAddr::from([192, 0, 2, host]);
        Some(match *step {
            Step::Wait(_) | Step::Timeout | Step::Fire => return None,
            Step::Startup => Event::Startup,
            Step::Shutdown => Event::Shutdown,
            Step::Up(host) => Event::InterfaceUp { primary: address(host) },
            Step::Down => Event::InterfaceDown,
            Step::Primary(host) => Event::PrimaryChanged { primary: address(host) },
            Step::Heard { priority, host, units } => Event::Advertisement(Advertisement {
                source: address(host),
                priority: Priority::new(priority),
                interval: self.interval(units),
                checksum_form: ChecksumForm::PseudoHeader,
            }),
            Step::Reconfigure { priority, units, preempt } => Event::Reconfigure(
                self.bench
                    .router
                    .params()
                    .clone()
                    .with_priority(Priority::new(priority))
                    .unwrap()
                    .with_advertisement_interval(self.interval(units))
                    .unwrap()
                    .with_preempt_mode(preempt),
            ),
            Step::Resumed => Event::Resumed,
        })
    }

    fn step(&mut self, step: &Step) {
        let router = &mut self.bench.router;
        let before = router.active_adver_interval().filter(|_| router.status() == Status::Backup);
        match step {
            Step::Wait(nanos) => self.bench.now += Duration::from_nanos(*nanos),
            Step::Fire => {
                if let Some((deadline, _)) = router.poll_timeout() {
                    self.bench.now = self.bench.now.max(deadline);
                }
            }
            Step::Timeout | Step::Startup | Step::Shutdown | Step::Up(_) | Step::Down => {}
            Step::Primary(_) | Step::Heard { .. } | Step::Reconfigure { .. } | Step::Resumed => {}
        }
        match self.event(step) {
            Some(event) => self.bench.router.handle(self.bench.now, event),
            None if matches!(step, Step::Wait(_)) => {}
            None => self.bench.router.handle_timeout(self.bench.now),
        }
        let mut words = Vec::new();
        while let Some(action) = self.bench.router.poll_action() {
            self.installed = match action {
                Action::InstallAddresses => true,
                Action::RemoveAddresses => false,
                Action::SendAdvertisement { .. }
                | Action::UpdateAddresses { .. }
                | Action::Announce
                | Action::Report(_)
                | Action::Observe(_) => self.installed,
            };
            words.push(word(&action));
        }
        assert_eq!(words, self.model.step(self.now(), step), "{step:?}");
        assert_eq!(self.stands(), self.model.stands(), "{step:?}");
        self.check_invariants(step, before);
    }

    fn now(&self) -> u64 {
        u64::try_from(self.bench.now.since_start().as_nanos()).unwrap()
    }

    fn stands(&self) -> (char, Option<u64>) {
        let state = match self.bench.router.status() {
            Status::Initialize => 'I',
            Status::Backup => 'B',
            Status::Active => 'A',
            Status::Releasing => 'R',
        };
        let deadline = self.bench.router.poll_timeout();
        let nanos = |at: Instant| u64::try_from(at.since_start().as_nanos()).unwrap();
        (state, deadline.map(|(at, _)| nanos(at)))
    }

    fn check_invariants(&self, step: &Step, before: Option<Interval>) {
        let router = &self.bench.router;
        let left =
            router.poll_timeout().map(|(at, timer)| (at.saturating_since(self.bench.now), timer));
        // I6: Active has the adver timer, Backup the active-down timer, neither longer than it may be; Initialize has none.
        match (router.status(), left) {
            (Status::Initialize, None) => {}
            (Status::Backup, Some((left, Timer::ActiveDown))) => {
                let learned = router.active_adver_interval().unwrap();
                assert!(left <= router.params().active_down_interval(learned), "{step:?}");
            }
            (Status::Active, Some((left, Timer::Adver))) => {
                assert!(left <= router.params().advertisement_interval().duration(), "{step:?}");
            }
            (status, left) => panic!("{status} with {left:?} after {step:?}"),
        }
        // I7: the addresses are there exactly while Active.
        assert_eq!(self.installed, router.status() == Status::Active, "{step:?}");
        // I10: who was in Backup and still is has learned only from an advertisement, or in version 2 by configuration.
        if let (Some(before), Status::Backup) = (before, router.status()) {
            let may_learn = matches!(step, Step::Heard { priority: 1.., .. })
                || (self.model.v2 && matches!(step, Step::Reconfigure { .. }));
            assert!(may_learn || router.active_adver_interval() == Some(before), "{step:?}");
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Few values, so that ties and repetitions are frequent.
    let priority = || prop_oneof![Just(99_u8), Just(100), Just(101), Just(254), Just(255), 1_u8..];
    let host = || prop_oneof![4_u8..=6];
    let units = || prop_oneof![Just(1_u16), Just(100), 1_u16..=255];
    let wait = prop_oneof![0..SECOND, Just(SECOND / 2), Just(SECOND), 0..20 * SECOND];
    let step = prop_oneof![
        4 => wait.prop_map(Step::Wait),
        2 => Just(Step::Timeout),
        6 => Just(Step::Fire),
        2 => Just(Step::Startup),
        1 => Just(Step::Shutdown),
        2 => host().prop_map(Step::Up),
        1 => Just(Step::Down),
        1 => host().prop_map(Step::Primary),
        8 => (prop_oneof![1 => Just(0_u8), 4 => priority()], host(), units())
            .prop_map(|(priority, host, units)| Step::Heard { priority, host, units }),
        2 => (priority(), units(), any::<bool>()).prop_map(|(priority, units, preempt)| {
            Step::Reconfigure { priority, units, preempt }
        }),
        1 => Just(Step::Resumed),
    ];
    proptest::collection::vec(step, 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn i13_the_machine_does_what_the_table_says_on_every_history(
        v2: bool,
        steps in steps(),
    ) {
        let mut pair = Pair::new(v2);
        pair.step(&Step::Up(5));
        pair.step(&Step::Startup);
        for step in &steps {
            pair.step(step);
        }
    }
}
