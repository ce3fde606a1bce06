//! Another configuration: what instances claim changes while they hold it.

use super::*;

/// A worker with the instances `a` and `b` on `eth1`, of these keys.
struct Two {
    state: Rc<RefCell<State>>,
    desk: Arc<Desk>,
    worker: Worker<Fake>,
    now: Instant,
}

fn named(name: &str) -> Name {
    Name::try_from(name.to_owned()).unwrap()
}

/// The claim of an instance that has these keys.
fn claim_of(instance: &str, keys: &str) -> Claim {
    let claim = claim(keys);
    Claim { instance: named(instance), ..claim }
}

impl Two {
    /// Both are Active.
    fn new(a: &str, b: &str) -> Self {
        let claims = vec![claim_of("a", a), claim_of("b", b)];
        let fake = Fake::default();
        let state = Rc::clone(&fake.state);
        let device = Device { interface: interface(1), mac: Some(MAC), up: true };
        state.borrow_mut().present.add_device(device);
        let desk = Arc::new(Desk::new(Waker::new().unwrap()).unwrap());
        let renewals = Arc::new(Renewals::new(Arc::clone(&desk)));
        let worker = Worker::new(Arc::clone(&desk), fake, &claims, Paces::new(), renewals);
        let mut two = Self { state, desk, worker, now: Instant::ZERO };
        for name in ["a", "b"] {
            two.want(name, true);
        }
        two.turn();
        two.state.borrow_mut().changes.clear();
        two
    }

    fn want(&self, instance: &str, held: bool) {
        let wanted =
            Wanted { interface: Some(interface(1)), mac: Some(MAC), held, ..Wanted::default() };
        self.desk.want(&named(instance), wanted);
    }

    fn turn(&mut self) {
        self.now += Duration::from_millis(1);
        self.desk.vouch(self.now, self.now);
        self.worker.turn(self.now);
    }

    /// The changes that another configuration makes.
    fn reclaim(&mut self, claims: Vec<Claim>, renamed: &[(&str, &str)]) -> Vec<String> {
        let renamed = renamed.iter().map(|(from, to)| (named(from), named(to))).collect();
        self.desk.claim(claims, Paces::new(), renamed);
        self.turn();
        std::mem::take(&mut self.state.borrow_mut().changes)
    }
}

const A: &str = "lifetime: 0s, addresses: [10.0.0.1/24, 10.0.0.2/24]";
const B: &str = "lifetime: 0s, addresses: [10.0.0.3/24]";

#[test]
fn the_same_claims_change_nothing() {
    let mut two = Two::new(A, B);
    let changes = two.reclaim(vec![claim_of("a", A), claim_of("b", B)], &[]);
    assert_eq!(changes, Vec::<String>::new());
}

#[test]
fn addresses_that_come_and_go_are_put_on_and_taken_off() {
    let mut two = Two::new(A, B);
    let other = claim_of("a", "addresses: [10.0.0.1/24, 10.0.0.9/24]");
    let changes = two.reclaim(vec![other, claim_of("b", B)], &[]);
    assert_eq!(changes, ["remove 10.0.0.2/24 from eth1", "add 10.0.0.9/24 to eth1"]);
}

#[test]
fn an_address_that_moves_between_instances_stays_where_it_is() {
    let mut two = Two::new(A, B);
    let (a, b) = ("addresses: [10.0.0.1/24]", "addresses: [10.0.0.3/24, 10.0.0.2/24]");
    let changes = two.reclaim(vec![claim_of("a", a), claim_of("b", b)], &[]);
    assert_eq!(changes, Vec::<String>::new());
    // It is the other one's now.
    two.want("a", false);
    two.turn();
    assert_eq!(two.state.borrow().changes, ["remove 10.0.0.1/24 from eth1"]);
}

#[test]
fn an_address_in_another_form_is_put_there_anew() {
    let mut two = Two::new(A, B);
    let other = claim_of("a", "addresses: [10.0.0.1/24, 10.0.0.2/32]");
    let changes = two.reclaim(vec![other, claim_of("b", B)], &[]);
    assert_eq!(changes, ["remove 10.0.0.2/24 from eth1", "add 10.0.0.2/32 to eth1"]);
}

#[test]
fn an_instance_that_is_called_otherwise_keeps_what_it_has() {
    let mut two = Two::new(A, B);
    let changes = two.reclaim(vec![claim_of("c", A), claim_of("b", B)], &[("a", "c")]);
    assert_eq!(changes, Vec::<String>::new());
    assert!(two.desk.outcome(&named("c")).holds);
    two.want("c", false);
    two.turn();
    assert_eq!(
        two.state.borrow().changes,
        ["remove 10.0.0.1/24 from eth1", "remove 10.0.0.2/24 from eth1"]
    );
}

#[test]
fn an_instance_that_is_gone_leaves_nothing_behind_and_is_forgotten() {
    let mut two = Two::new(A, B);
    let changes = two.reclaim(vec![claim_of("b", B)], &[]);
    assert_eq!(changes, ["remove 10.0.0.1/24 from eth1", "remove 10.0.0.2/24 from eth1"]);
    assert!(!two.worker.tenants.contains_key(&named("a")));
    assert_eq!(two.desk.outcome(&named("a")), Outcome::default());
}

#[test]
fn what_the_kernel_keeps_of_an_instance_that_is_gone_is_tried_again() {
    let mut two = Two::new(A, B);
    two.state.borrow_mut().refuses.insert("10.0.0.2".parse().unwrap());
    two.reclaim(vec![claim_of("b", B)], &[]);
    assert!(two.worker.tenants.contains_key(&named("a")));
    two.state.borrow_mut().refuses.clear();
    two.now += RETRY_DELAY;
    two.turn();
    assert_eq!(two.state.borrow().changes, ["remove 10.0.0.2/24 from eth1"]);
    assert!(!two.worker.tenants.contains_key(&named("a")));
}

#[test]
fn an_instance_that_comes_claims_when_it_is_active() {
    let mut two = Two::new(A, B);
    let claims =
        vec![claim_of("a", A), claim_of("b", B), claim_of("c", "addresses: [10.0.0.7/24]")];
    assert_eq!(two.reclaim(claims, &[]), Vec::<String>::new());
    two.want("c", true);
    two.turn();
    assert_eq!(two.state.borrow().changes, ["add 10.0.0.7/24 to eth1"]);
}
