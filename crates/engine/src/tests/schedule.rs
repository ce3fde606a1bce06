//! When thousands of checks begin, by a clock of our own: as the director turns, with the time that its work takes.

use super::*;

/// What a check costs the director, its connection included: two thousand a second keep it busy for a third of the time.
const WORK: Duration = Duration::from_micros(160);

/// From the start of a run to its outcome.
const ANSWER: Duration = Duration::from_millis(3);

const INTERVAL: Duration = Duration::from_secs(1);

/// A director whose kernel is a list of outcomes that are to come.
struct Clockwork {
    engine: Engine,
    now: Instant,
    turned: Instant,
    answers: BTreeSet<(Instant, CheckId)>,
    /// When each check has begun.
    begun: BTreeMap<CheckId, Vec<Instant>>,
    /// The most that have begun in one turn.
    most: usize,
}

impl Clockwork {
    fn of(servers: usize, keys: &str) -> Self {
        let mut text = format!(
            "services:\n  web:\n    listen: tcp 192.0.2.10:80\n    forward: nat\n    \
             check: {{tcp: {{}}, interval: 1s, timeout: 900ms{keys}}}\n    real_servers:\n"
        );
        for server in 0..servers {
            text += &format!("      r{server}: 10.0.{}.{}:80\n", server / 250, server % 250 + 1);
        }
        let config = parse("f", text, &Environment::new("lb1")).config.unwrap();
        let engine = Engine::new(&config, &Table::new(), at(0));
        Self {
            engine,
            now: at(0),
            turned: Instant::ZERO,
            answers: BTreeSet::new(),
            begun: BTreeMap::new(),
            most: 0,
        }
    }

    fn run(&mut self, end: Instant) {
        loop {
            let turn = self.engine.next_turn(self.turned).unwrap();
            let answer = self.answers.first().map_or(turn, |(at, _)| *at);
            if turn.min(answer) > end {
                break;
            }
            match self.answers.first().copied().filter(|(at, _)| *at <= turn) {
                Some((at, id)) => {
                    self.answers.remove(&(at, id));
                    self.now = self.now.max(at);
                    self.engine.check_finished(self.now, id, outcome(Verdict::Pass));
                }
                None => {
                    self.now = self.now.max(turn);
                    self.turned = self.now;
                    self.engine.handle_timeout(self.now);
                }
            }
            self.begin();
        }
    }

    fn begin(&mut self) {
        let mut begun = 0;
        while let Some(action) = self.engine.poll_action() {
            if let Action::RunCheck(id) = action {
                begun += 1;
                self.begun.entry(id).or_default().push(self.now);
                self.answers.insert((self.now + ANSWER, id));
                self.now += WORK;
            }
        }
        self.most = self.most.max(begun);
    }

    /// How much later than an interval after the one before each run began, sorted; and how many runs there were.
    fn lateness(&self) -> (Vec<Duration>, usize) {
        let pairs = self.begun.values().flat_map(|all| all.windows(2));
        let late = pairs.map(|two| two[1].saturating_since(two[0]).saturating_sub(INTERVAL));
        let mut late: Vec<Duration> = late.collect();
        late.sort();
        (late, self.begun.values().map(Vec::len).sum())
    }
}

#[test]
fn two_thousand_checks_a_second_are_all_made_and_hardly_late() {
    let mut clockwork = Clockwork::of(2000, "");
    clockwork.run(at(20_000));
    let (late, runs) = clockwork.lateness();
    // Every check has its twenty places, but for what has not ended yet.
    assert!((39_900..=40_000).contains(&runs), "{runs}");
    let p99 = late[late.len() * 99 / 100];
    assert!(p99 <= TURN, "{p99:?}");
    // A turn of gathering, and the work of what fell due in one.
    assert!(late.last() <= Some(&(2 * TURN)), "{late:?}");
}

/// Without a spread all are due at once: they begin in portions, the rest at once after each, in their order, and keep their places.
#[test]
fn what_is_due_at_once_begins_in_portions_without_a_pause() {
    let mut clockwork = Clockwork::of(2000, ", spread: 0s");
    clockwork.run(at(9_900));
    assert_eq!(clockwork.most, BEGIN_MAX);
    let (late, runs) = clockwork.lateness();
    assert_eq!(runs, 20_000);
    assert!(late.last() <= Some(&(2 * TURN)), "{late:?}");
    let first = clockwork.begun.values().map(|all| all[0]);
    let last = first.clone().max().unwrap().saturating_since(first.min().unwrap());
    assert!(last < 2000 * WORK + 5 * TURN, "{last:?}");
}

/// There may be ten thousand.
#[test]
fn what_is_kept_of_a_check_is_small() {
    let size = size_of::<checking::RunningCheck>();
    assert!(size <= 256, "{size} bytes");
}
