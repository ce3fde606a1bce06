//! The machine by the RFC's sections, as two machines on a bad link, and under any history.

mod history;
mod link;
mod table;
mod timers;

use std::num::NonZeroU8;
use std::time::Duration;

use super::*;

pub(super) const T0: Instant = Instant::from_start(Duration::from_secs(1000));
const OURS: Discriminator = Discriminator::new(11).unwrap();
const THEIRS: Discriminator = Discriminator::new(22).unwrap();

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn params(number: Discriminator, tx: u64, rx: u64, multiplier: u8) -> Params {
    Params::new(number, ms(tx), ms(rx), NonZeroU8::new(multiplier).unwrap()).unwrap()
}

/// The default of the configuration: 50 ms × 3.
fn session() -> Session {
    Session::new(T0, params(OURS, 50, 50, 3), 1)
}

/// What a peer with 50 ms × 3 says that knows us.
fn says(state: State) -> ControlPacket {
    ControlPacket {
        diagnostic: Diagnostic::NONE,
        state,
        poll: false,
        is_final: false,
        control_plane_independent: false,
        authenticated: false,
        demand: false,
        detect_mult: NonZeroU8::new(3).unwrap(),
        my_discriminator: THEIRS,
        your_discriminator: Some(OURS),
        desired_min_tx: Micros::new(50_000),
        required_min_rx: Micros::new(50_000),
        required_min_echo_rx: Micros::new(0),
    }
}

fn hear(session: &mut Session, now: Instant, packet: ControlPacket) -> Vec<Action> {
    session.handle(now, Event::Received { packet, at: now });
    actions(session)
}

fn actions(session: &mut Session) -> Vec<Action> {
    std::iter::from_fn(|| session.poll_action()).collect()
}

fn sent(actions: &[Action]) -> Vec<ControlPacket> {
    let packet = |action: &Action| match action {
        Action::Send(packet) => Some(*packet),
        Action::Changed(_) => None,
    };
    actions.iter().filter_map(packet).collect()
}

fn changed(actions: &[Action]) -> Vec<(State, State, Reason)> {
    let change = |action: &Action| match action {
        Action::Send(_) => None,
        Action::Changed(Transition { from, to, reason }) => Some((*from, *to, *reason)),
    };
    actions.iter().filter_map(change).collect()
}

/// Fires the next timer at its time; what came of it.
fn fire(session: &mut Session) -> (Instant, Timer, Vec<Action>) {
    let (due, timer) = session.poll_timeout().unwrap();
    session.handle_timeout(due, due);
    (due, timer, actions(session))
}

/// A session in `state`, at `now`, that has spoken and knows the peer (but for AdminDown and Down).
fn session_in(state: State, now: Instant) -> Session {
    let mut session = session();
    session.handle_timeout(now, now);
    match state {
        State::AdminDown => session.handle(now, Event::AdminDown),
        State::Down => {}
        State::Init => drop(hear(&mut session, now, says(State::Down))),
        State::Up => {
            drop(hear(&mut session, now, says(State::Init)));
        }
    }
    drop(actions(&mut session));
    assert_eq!(session.state(), state);
    session
}

/// Up, and the Poll Sequence that it begins with is over.
fn settled(now: Instant) -> Session {
    let mut session = session_in(State::Up, now);
    drop(hear(&mut session, now, ControlPacket { is_final: true, ..says(State::Up) }));
    assert_eq!(session.poll, Poll::Idle);
    session
}
