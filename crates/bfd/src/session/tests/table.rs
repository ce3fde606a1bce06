//! States: §6.2, §6.8.6, §6.8.16, each pair of what we are and what the peer says.

use super::*;

#[test]
fn s6_8_6_every_state_meets_every_state() {
    use State::{AdminDown, Down, Init, Up};
    let none = Diagnostic::NONE;
    let signaled = Diagnostic::NEIGHBOR_SIGNALED_DOWN;
    let admin = Diagnostic::ADMINISTRATIVELY_DOWN;
    let peer_down = Reason::PeerDown;
    let peer_admin = Reason::PeerAdminDown;
    for (ours, theirs, expected, diagnostic, reason) in [
        (AdminDown, AdminDown, AdminDown, admin, None),
        (AdminDown, Down, AdminDown, admin, None),
        (AdminDown, Init, AdminDown, admin, None),
        (AdminDown, Up, AdminDown, admin, None),
        (Down, AdminDown, Down, none, None),
        (Down, Down, Init, none, Some(Reason::Heard)),
        (Down, Init, Up, none, Some(Reason::Heard)),
        (Down, Up, Down, none, None),
        (Init, AdminDown, Down, signaled, Some(peer_admin)),
        (Init, Down, Init, none, None),
        (Init, Init, Up, none, Some(Reason::Heard)),
        (Init, Up, Up, none, Some(Reason::Heard)),
        (Up, AdminDown, Down, signaled, Some(peer_admin)),
        (Up, Down, Down, signaled, Some(peer_down)),
        (Up, Init, Up, none, None),
        (Up, Up, Up, none, None),
    ] {
        let mut session = session_in(ours, T0);
        let actions = hear(&mut session, T0 + ms(10), says(theirs));
        assert_eq!(session.state(), expected, "{ours} hears {theirs}");
        assert_eq!(session.diagnostic(), diagnostic, "{ours} hears {theirs}");
        let change = reason.map(|reason| (ours, expected, reason));
        assert_eq!(changed(&actions), Vec::from_iter(change), "{ours} hears {theirs}");
        assert_eq!(session.remote_state(), theirs);
    }
}

/// §6.8.4: Init and Up go down; and §6.8.1: bfd.RemoteDiscr MUST be set to zero, in every state.
#[test]
fn s6_8_4_silence_for_the_detection_time_is_the_end_of_init_and_up() {
    for state in [State::Init, State::Up] {
        let mut session = session_in(state, T0);
        let due = T0 + ms(150);
        session.handle_timeout(due - Duration::from_nanos(1), due);
        assert_eq!(session.state(), state);
        drop(actions(&mut session));
        session.handle_timeout(due, due);
        let actions = actions(&mut session);
        assert_eq!(changed(&actions), [(state, State::Down, Reason::DetectionTimeExpired)]);
        assert_eq!(session.diagnostic(), Diagnostic::DETECTION_TIME_EXPIRED);
        assert_eq!(session.remote_discriminator(), None);
        // §6.8.7: the peer, should it still hear us, is told at once.
        let packet = sent(&actions)[0];
        assert_eq!((packet.state, packet.your_discriminator), (State::Down, None));
        assert_eq!(packet.diagnostic, Diagnostic::DETECTION_TIME_EXPIRED);
        assert_eq!(packet.desired_min_tx, SLOW, "§6.8.3: a second or more while not Up");
    }
}

#[test]
fn s6_8_1_a_peer_that_is_silent_is_forgotten_in_down_too() {
    let mut session = session_in(State::Up, T0);
    drop(hear(&mut session, T0, says(State::AdminDown)));
    assert_eq!(session.remote_discriminator(), Some(THEIRS));
    session.handle_timeout(T0 + ms(150), T0 + ms(150));
    assert_eq!((session.state(), session.remote_discriminator()), (State::Down, None));
    let diagnostic = session.diagnostic();
    assert_eq!(diagnostic, Diagnostic::NEIGHBOR_SIGNALED_DOWN, "the state did not change");
}

/// A late wake-up is no silence: what has not been read may hold a packet.
#[test]
fn the_detection_time_runs_out_only_for_what_has_been_read() {
    let mut session = session_in(State::Up, T0);
    let late = T0 + ms(5000);
    session.handle_timeout(late, T0 + ms(149));
    assert_eq!(session.state(), State::Up);
    assert_eq!(sent(&actions(&mut session)).len(), 1, "what is due goes out");
    session.handle(late, Event::Received { packet: says(State::Up), at: T0 + ms(4900) });
    session.handle_timeout(late, late);
    assert_eq!(session.state(), State::Up, "it counts from when the kernel had it");
    session.handle_timeout(T0 + ms(5050), T0 + ms(5050));
    assert_eq!(session.state(), State::Down);
}

/// §6.8.16. A packet that says AdminDown goes out at once, and on with the slow interval.
#[test]
fn s6_8_16_admin_down_is_told_and_ends_with_admin_up() {
    for state in State::ALL.into_iter().filter(|state| *state != State::AdminDown) {
        let mut session = session_in(state, T0);
        session.handle(T0 + ms(1), Event::AdminDown);
        let did = actions(&mut session);
        assert_eq!(changed(&did), [(state, State::AdminDown, Reason::AdminDown)]);
        let packet = sent(&did)[0];
        assert_eq!(packet.state, State::AdminDown);
        assert_eq!(packet.diagnostic, Diagnostic::ADMINISTRATIVELY_DOWN);
        let polled = ControlPacket { poll: true, ..says(State::Up) };
        let did = hear(&mut session, T0 + ms(2), polled);
        assert!(sent(&did).iter().all(|packet| !packet.is_final), "§6.8.6: no answer");
        session.handle(T0 + ms(3), Event::AdminUp);
        assert_eq!(session.state(), State::Down);
        assert_eq!(sent(&actions(&mut session))[0].state, State::Down);
    }
}

/// §6.8.6: the session of a peer that was started anew is found by its addresses; it says Down.
#[test]
fn s6_8_6_a_peer_that_was_started_anew_comes_up_with_its_new_number() {
    let mut session = settled(T0);
    let anew = Discriminator::new(99).unwrap();
    let mut packet = says(State::Down);
    (packet.my_discriminator, packet.your_discriminator) = (anew, None);
    let did = hear(&mut session, T0 + ms(40), packet);
    assert_eq!(changed(&did), [(State::Up, State::Down, Reason::PeerDown)]);
    assert_eq!(sent(&did)[0].your_discriminator, Some(anew));
    packet.your_discriminator = Some(OURS);
    packet.state = State::Init;
    drop(hear(&mut session, T0 + ms(80), packet));
    assert_eq!(session.state(), State::Up);
}

/// §6.8.7: "MUST NOT transmit BFD Control packets if bfd.RemoteDiscr is zero and the system is taking the Passive role".
#[test]
fn s6_8_7_the_passive_role_speaks_when_spoken_to() {
    let passive = params(OURS, 50, 50, 3).with_passive(true);
    let mut session = Session::new(T0, passive, 1);
    assert_eq!(session.poll_timeout(), None);
    session.handle_timeout(T0 + ms(10_000), T0 + ms(10_000));
    assert_eq!(actions(&mut session), []);
    let mut packet = says(State::Down);
    packet.your_discriminator = None;
    drop(hear(&mut session, T0 + ms(10_000), packet));
    let (due, timer, did) = fire(&mut session);
    assert_eq!((due <= T0 + ms(10_000), timer), (true, Timer::Transmit));
    let first = sent(&did)[0];
    assert_eq!((first.state, first.your_discriminator), (State::Init, Some(THEIRS)));
    // And falls silent again, without a last word, when the peer does.
    let gone = T0 + ms(20_000);
    session.handle_timeout(gone, gone);
    assert_eq!(session.state(), State::Down);
    assert_eq!((sent(&actions(&mut session)), session.poll_timeout()), (vec![], None));
}

#[test]
fn the_way_up_clears_the_diagnostic() {
    let mut session = session_in(State::Up, T0);
    session.handle_timeout(T0 + ms(150), T0 + ms(150));
    assert_ne!(session.diagnostic(), Diagnostic::NONE);
    drop(hear(&mut session, T0 + ms(200), says(State::Down)));
    assert_ne!(session.diagnostic(), Diagnostic::NONE, "Init still says why");
    drop(hear(&mut session, T0 + ms(210), says(State::Init)));
    assert_eq!((session.state(), session.diagnostic()), (State::Up, Diagnostic::NONE));
    let counters = session.counters();
    assert_eq!((counters.became_up, counters.left_up, counters.received), (2, 1, 3));
}
