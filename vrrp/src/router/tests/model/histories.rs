//! The histories that both go through, and what must hold on the way.

use proptest::prelude::*;

use super::*;

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
            inherits: None,
            state: 'I',
            timer: 0,
            why: "active_silent",
            active: None,
            lower: None,
            before: None,
            delay: 0,
            sent: 0,
            holds: 0,
            owed: 0,
            since: 0,
            rival: None,
            duals: 0,
            nears: 0,
            elections: 0,
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
            Step::Reconfigure { priority, units, preempt, delay } => Event::Reconfigure(
                self.bench
                    .router
                    .params()
                    .clone()
                    .with_priority(Priority::new(priority))
                    .unwrap()
                    .with_advertisement_interval(self.interval(units))
                    .unwrap()
                    .with_preempt_mode(preempt)
                    .with_preempt_delay(Duration::from_nanos(delay)),
            ),
            Step::Resumed => Event::Resumed,
            Step::GiveUp => Event::StepDown,
            Step::TakeOver => Event::TakeOver,
            Step::ActiveFallen => Event::ActiveFallen,
            Step::ActiveLost(host) => Event::ActiveLost { address: address(host) },
            Step::ActiveDied(host) => Event::ActiveDied { address: address(host) },
            Step::Inherit(ago) => {
                let age = Duration::from_nanos(ago.min(self.now()));
                let advertised = self.bench.now.since_start().saturating_sub(age);
                Event::Inherit { advertised: Instant::from_start(advertised) }
            }
        })
    }

    fn step(&mut self, step: &Step) -> Vec<String> {
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
            Step::GiveUp | Step::TakeOver | Step::ActiveFallen => {}
            Step::ActiveLost(_) | Step::ActiveDied(_) | Step::Inherit(_) => {}
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
        let counters = self.bench.router.counters();
        let counted = (counters.dual_actives, counters.near_takeovers);
        assert_eq!(counted, (self.model.duals, self.model.nears), "{step:?}");
        self.check_invariants(step, before);
        words
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
            (Status::Releasing, Some((left, Timer::Release))) => {
                assert!(left <= router.params().release_interval(), "{step:?}");
            }
            (status, left) => panic!("{status} with {left:?} after {step:?}"),
        }
        // I7: the addresses are there exactly while Active or giving up.
        assert_eq!(self.installed, router.status().holds_addresses(), "{step:?}");
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
        2 => (priority(), units(), any::<bool>(), prop_oneof![Just(0), 0..20 * SECOND]).prop_map(
            |(priority, units, preempt, delay)| {
                Step::Reconfigure { priority, units, preempt, delay }
            }
        ),
        1 => Just(Step::Resumed),
        1 => Just(Step::GiveUp),
        1 => Just(Step::TakeOver),
        1 => Just(Step::ActiveFallen),
        1 => host().prop_map(Step::ActiveLost),
        1 => host().prop_map(Step::ActiveDied),
        1 => (0..20 * SECOND).prop_map(Step::Inherit),
    ];
    // The same one again and again, in time or late: who does not hear us, and who is hardly heard.
    let again =
        (host(), 1_u8..=110, 400_000_000..2_200_000_000_u64).prop_map(|(host, priority, after)| {
            let heard = Step::Heard { priority, host, units: 100 };
            [Step::Wait(after), heard, Step::Timeout].repeat(4)
        });
    // One that begins in the place of another, in time or late.
    let heir = (0..10 * SECOND)
        .prop_map(|ago| vec![Step::Shutdown, Step::Shutdown, Step::Inherit(ago), Step::Startup]);
    // An Active dies, and of two Backups that are told the worse one comes first: before this one is told, or after.
    let election = (any::<(bool, bool)>(), 1_u8..=120, 0..6_000_000_u64);
    let election = election.prop_map(|((late, dies), worse, after)| {
        let patient = Step::Reconfigure { priority: 100, units: 100, preempt: false, delay: 0 };
        let active = Step::Heard { priority: 200, host: 4, units: 100 };
        let comes = Step::Heard { priority: worse, host: 6, units: 100 };
        let gone = if dies { Step::ActiveDied(4) } else { Step::ActiveLost(4) };
        let (first, then) = if late { (comes, gone) } else { (gone, comes) };
        vec![patient, active, first, Step::Wait(after), then, Step::Fire]
    });
    let steps = prop_oneof![
        12 => step.prop_map(|step| vec![step]),
        1 => again,
        1 => heir,
        1 => election,
    ];
    proptest::collection::vec(steps, 1..120).prop_map(|steps| steps.concat())
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

/// What no history reaches, the comparison would not say anything about.
#[test]
fn i13_the_histories_reach_every_row() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let strategy = (any::<bool>(), steps());
    let mut all = String::new();
    let (mut nears, mut elections) = (0, 0);
    for _ in 0..500 {
        let (v2, steps) = strategy.new_tree(&mut runner).unwrap().current();
        let mut pair = Pair::new(v2);
        for step in [Step::Up(5), Step::Startup].iter().chain(&steps) {
            all.push_str(&pair.step(step).join("\n"));
            all.push('\n');
        }
        nears += pair.model.nears;
        elections += pair.model.elections;
    }
    let observations = ["duplicate", "owners", "stalled", "lower", "dual", "ended", "unanswered"];
    let said = |word: &str| {
        all.lines().any(|line| line.starts_with(word) || line.ends_with(&format!(" {word}")))
    };
    for word in Reason::ALL.map(Reason::label).iter().chain(&observations) {
        assert!(said(word), "no history of 500 has {word}");
    }
    assert!(nears > 0, "no takeover nearly was");
    assert!(elections > 0, "no worse one came first");
}
