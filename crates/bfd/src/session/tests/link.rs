//! Two machines on a link that loses, delays and doubles.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// A link, and a clock that jumps from event to event.
struct Link {
    now: Instant,
    ends: [Session; 2],
    /// What is under way: when it arrives, a number that keeps the order, to whom.
    under_way: BTreeMap<(Instant, u64), (usize, ControlPacket)>,
    random: u64,
    number: u64,
    /// How many of a hundred packets are lost, to each end.
    loss: [u64; 2],
    delay: Duration,
    transitions: [Vec<Transition>; 2],
}

impl Link {
    fn new(params: [Params; 2], seed: u64) -> Self {
        let [left, right] = params;
        Self {
            now: T0,
            ends: [Session::new(T0, left, seed), Session::new(T0, right, !seed)],
            under_way: BTreeMap::new(),
            random: seed | 1,
            number: 0,
            loss: [0, 0],
            delay: ms(2),
            transitions: [vec![], vec![]],
        }
    }

    /// Xorshift; the machines' own randomness is another.
    fn draw(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below
    }

    /// Runs for `duration`.
    fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            let timer = self.ends.iter().filter_map(|one| Some(one.poll_timeout()?.0)).min();
            let packet = self.under_way.keys().next().map(|(at, _)| *at);
            let Some(next) = timer.into_iter().chain(packet).min().filter(|at| *at <= end) else {
                break;
            };
            self.now = self.now.max(next);
            while let Some(entry) = self.under_way.first_entry().filter(|one| one.key().0 <= next) {
                let (to, packet) = entry.remove();
                self.ends[to].handle(self.now, Event::Received { packet, at: next });
                self.collect(to);
            }
            for end in 0..2 {
                self.ends[end].handle_timeout(self.now, self.now);
                self.collect(end);
            }
        }
        self.now = end;
    }

    fn collect(&mut self, from: usize) {
        for action in actions(&mut self.ends[from]) {
            match action {
                Action::Changed(transition) => self.transitions[from].push(transition),
                Action::Send(packet) => {
                    let to = 1 - from;
                    if self.draw(100) < self.loss[to] {
                        continue;
                    }
                    let jitter = Duration::from_micros(self.draw(1000));
                    for _ in 0..=u64::from(self.draw(20) == 0) {
                        self.number += 1;
                        let at = self.now + self.delay + jitter;
                        self.under_way.insert((at, self.number), (to, packet));
                    }
                }
            }
        }
    }

    fn states(&self) -> [State; 2] {
        [self.ends[0].state(), self.ends[1].state()]
    }
}

fn pair(left: (u64, u64, u8), right: (u64, u64, u8)) -> [Params; 2] {
    [params(OURS, left.0, left.1, left.2), params(THEIRS, right.0, right.1, right.2)]
}

const UP: [State; 2] = [State::Up, State::Up];

#[test]
fn two_sessions_come_up_negotiate_and_stay_up() {
    let mut link = Link::new(pair((50, 50, 3), (200, 100, 5)), 7);
    link.run(ms(5000));
    assert_eq!(link.states(), UP);
    let [left, right] = &link.ends;
    assert_eq!((left.poll, right.poll), (Poll::Idle, Poll::Idle), "both heard F");
    assert_eq!(left.transmit_interval(), Some(ms(100)), "what the right one can take");
    assert_eq!(right.transmit_interval(), Some(ms(200)));
    assert_eq!(left.detection_time(), Some(ms(1000)));
    assert_eq!(right.detection_time(), Some(ms(300)));
    link.run(ms(600_000));
    assert_eq!(link.states(), UP);
    assert_eq!(link.transitions.map(|all| all.len()), [2, 2], "Init and Up, or Up at once");
}

#[test]
fn a_dead_peer_is_noticed_in_the_detection_time_and_found_again() {
    let mut link = Link::new(pair((50, 50, 3), (50, 50, 3)), 3);
    link.run(ms(5000));
    link.loss = [100, 100];
    link.run(ms(153));
    assert_eq!(link.states(), [State::Down; 2]);
    for transitions in &link.transitions {
        assert_eq!(transitions.last().unwrap().reason, Reason::DetectionTimeExpired);
    }
    link.run(ms(60_000));
    link.loss = [0, 0];
    link.run(ms(2100));
    assert_eq!(link.states(), UP);
}

/// One direction breaks: who hears nothing goes down by itself, and tells the other, which would never notice.
#[test]
fn a_link_that_works_one_way_is_down_on_both_ends() {
    let mut link = Link::new(pair((50, 50, 3), (50, 50, 3)), 5);
    link.run(ms(5000));
    link.loss = [100, 0];
    link.run(ms(160));
    let last = |end: usize| link.transitions[end].last().unwrap().reason;
    assert_eq!((last(0), last(1)), (Reason::DetectionTimeExpired, Reason::PeerDown));
    link.run(ms(20_000));
    assert!(link.states().iter().all(|state| *state != State::Up), "{:?}", link.states());
}

#[test]
fn an_administrative_end_is_told_and_no_silence() {
    let mut link = Link::new(pair((50, 50, 3), (50, 50, 3)), 9);
    link.run(ms(5000));
    let now = link.now;
    link.ends[0].handle(now, Event::AdminDown);
    link.collect(0);
    link.run(ms(10));
    assert_eq!(link.states(), [State::AdminDown, State::Down]);
    assert_eq!(link.transitions[1].last().unwrap().reason, Reason::PeerAdminDown);
    assert_eq!(link.ends[0].remote_state(), State::Down, "and we know that it knows");
    link.run(ms(5000));
    let now = link.now;
    link.ends[0].handle(now, Event::AdminUp);
    link.collect(0);
    link.run(ms(2100));
    assert_eq!(link.states(), UP);
}

#[test]
fn a_passive_end_waits_and_two_never_meet() {
    let [left, right] = pair((50, 50, 3), (50, 50, 3));
    let mut link = Link::new([left, right.with_passive(true)], 1);
    link.run(ms(3000));
    assert_eq!(link.states(), UP);
    let mut link = Link::new([left.with_passive(true), right.with_passive(true)], 1);
    link.run(ms(30_000));
    assert_eq!(link.states(), [State::Down; 2]);
    assert_eq!(link.ends.map(|end| end.counters().sent), [0, 0]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the link did, once it is well both are Up in the time that the slow interval takes, and stay so.
    #[test]
    fn a_link_that_has_healed_is_up(
        seed in any::<u64>(),
        left in (10_u64..300, 10_u64..300, 1_u8..6),
        right in (10_u64..300, 10_u64..300, 1_u8..6),
        phases in prop::collection::vec((0_u64..=100, 0_u64..=100, 0_u64..4000), 0..8),
    ) {
        let mut link = Link::new(pair(left, right), seed);
        for (to_left, to_right, duration) in phases {
            link.loss = [to_left, to_right];
            link.run(ms(duration));
        }
        link.loss = [0, 0];
        // What was under way, a detection time of the slow interval, and the handshake at it.
        link.run(ms(12_000));
        prop_assert_eq!(link.states(), UP);
        let before = link.transitions.each_ref().map(Vec::len);
        link.run(ms(30_000));
        prop_assert_eq!(link.transitions.each_ref().map(Vec::len), before);
        prop_assert_eq!(link.ends.each_ref().map(|end| end.poll), [Poll::Idle; 2]);
        let agreed = ms(left.0.max(right.1));
        prop_assert_eq!(link.ends[0].transmit_interval(), Some(agreed));
        prop_assert_eq!(link.ends[1].detection_time(), Some(agreed * u32::from(left.2)));
    }
}
