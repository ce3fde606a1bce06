//! Intervals, detection time, jitter, Poll Sequences: §6.5, §6.8.2 to §6.8.4, §6.8.7.

use proptest::prelude::*;

use super::*;

/// §6.8.3: "the system MUST set bfd.DesiredMinTxInterval to a value of not less than one second" while not Up.
#[test]
fn s6_8_3_a_second_is_said_and_kept_while_not_up() {
    let mut session = session();
    let (mut last, _, did) = fire(&mut session);
    assert_eq!(sent(&did)[0].desired_min_tx, SLOW);
    assert_eq!(sent(&did)[0].required_min_rx, Micros::new(50_000));
    for _ in 0..50 {
        let (due, timer, did) = fire(&mut session);
        let gap = due.saturating_since(last);
        assert!((ms(750)..=ms(1000)).contains(&gap), "{gap:?}");
        assert_eq!((timer, sent(&did)[0].poll), (Timer::Transmit, false));
        last = due;
    }
}

/// §6.8.2: the larger of bfd.DesiredMinTxInterval and the Required Min RX Interval that was heard last.
#[test]
fn s6_8_2_the_interval_is_the_larger_of_what_both_want() {
    for (own, wanted, expected) in [(50, 50, 50), (50, 300, 300), (200, 10, 200), (50, 1, 50)] {
        let mut session = Session::new(T0, params(OURS, own, 50, 3), 1);
        let mut packet = says(State::Init);
        packet.required_min_rx = Micros::from_duration(ms(wanted));
        drop(hear(&mut session, T0, packet));
        assert_eq!(session.transmit_interval(), Some(ms(expected)), "{own} {wanted}");
    }
}

/// §6.8.4: the peer's multiplier times the larger of bfd.RequiredMinRxInterval and its Desired Min TX Interval.
#[test]
fn s6_8_4_the_detection_time_is_the_peers_multiplier_times_the_agreed_interval() {
    for (own_rx, their_tx, multiplier, expected) in
        [(50, 50, 3, 150), (50, 20, 3, 150), (50, 100, 5, 500), (10, 10, 1, 10), (50, 0, 2, 100)]
    {
        let mut session = Session::new(T0, params(OURS, 50, own_rx, 200), 1);
        let mut packet = says(State::Init);
        packet.desired_min_tx = Micros::from_duration(ms(their_tx));
        packet.detect_mult = NonZeroU8::new(multiplier).unwrap();
        drop(hear(&mut session, T0, packet));
        assert_eq!(session.detection_time(), Some(ms(expected)));
    }
}

/// §6.8.3: a parameter that changed begins a Poll Sequence; §6.5: P until F.
#[test]
fn s6_8_3_to_be_up_begins_a_poll_sequence_that_ends_with_f() {
    let mut session = session_in(State::Init, T0);
    let did = hear(&mut session, T0 + ms(1), says(State::Up));
    let first = sent(&did)[0];
    assert_eq!((first.state, first.poll), (State::Up, true));
    assert_eq!(first.desired_min_tx, Micros::new(50_000));
    let (_, _, did) = fire(&mut session);
    assert!(sent(&did)[0].poll);
    drop(hear(&mut session, T0 + ms(50), says(State::Up)));
    let (_, _, did) = fire(&mut session);
    assert!(sent(&did)[0].poll, "a packet without F ends nothing");
    drop(hear(&mut session, T0 + ms(90), ControlPacket { is_final: true, ..says(State::Up) }));
    let (_, _, did) = fire(&mut session);
    assert!(!sent(&did)[0].poll);
}

/// §6.8.7: F "as soon as practicable, without respect to the transmission timer or any other transmission limitations, without
/// respect to the session state".
#[test]
fn s6_8_7_a_poll_is_answered_at_once_in_every_state() {
    for state in [State::Down, State::Init, State::Up] {
        let mut session = session_in(state, T0);
        let mut packet = ControlPacket { poll: true, ..says(State::Up) };
        packet.required_min_rx = Micros::new(0);
        let did = sent(&hear(&mut session, T0 + ms(1), packet));
        let answers: Vec<_> = did.iter().filter(|packet| packet.is_final).collect();
        assert_eq!(answers.len(), 1, "{state}");
        assert!(did.iter().all(|packet| !(packet.is_final && packet.poll)), "§6.5: never both");
        assert!(did.len() <= 1, "and nothing else");
    }
}

/// §6.8.3: what the peer can take became more, so that the packet that is due by it goes out at once.
#[test]
fn s6_8_3_a_shorter_wish_of_the_peer_counts_from_the_last_packet() {
    let mut session = settled(T0);
    let slow = ControlPacket { required_min_rx: Micros::new(2_000_000), ..says(State::Up) };
    drop(hear(&mut session, T0 + ms(1), slow));
    let (due, timer) = session.poll_timeout().unwrap();
    assert_eq!(timer, Timer::Detection, "{due}");
    assert_eq!(session.transmit_interval(), Some(ms(2000)));
    drop(hear(&mut session, T0 + ms(120), says(State::Up)));
    let (due, timer) = session.poll_timeout().unwrap();
    assert_eq!((due <= T0 + ms(120), timer), (true, Timer::Transmit), "it is overdue");
}

/// §6.8.7: "MUST NOT periodically transmit BFD Control packets if bfd.RemoteMinRxInterval is zero".
#[test]
fn s6_8_7_a_peer_that_wants_no_packets_gets_none() {
    let mut session = settled(T0);
    let deaf = ControlPacket { required_min_rx: Micros::new(0), ..says(State::Up) };
    drop(hear(&mut session, T0 + ms(1), deaf));
    assert_eq!(session.transmit_interval(), None);
    assert_eq!(session.poll_timeout(), Some((T0 + ms(151), Timer::Detection)));
    // A change is told all the same, and after its end it is spoken to again.
    let (_, _, did) = fire(&mut session);
    assert_eq!(sent(&did)[0].state, State::Down);
    assert!(matches!(session.poll_timeout(), Some((_, Timer::Transmit))));
}

/// §6.8.7 and §6.6: Demand mode of the peer is obeyed while both are Up and no Poll Sequence runs.
#[test]
fn s6_6_a_peer_in_demand_mode_gets_no_periodic_packets_but_its_answers() {
    let mut session = settled(T0);
    let demand = ControlPacket { demand: true, ..says(State::Up) };
    drop(hear(&mut session, T0 + ms(1), demand));
    assert_eq!(session.transmit_interval(), None);
    let did = hear(&mut session, T0 + ms(2), ControlPacket { poll: true, ..demand });
    assert!(sent(&did)[0].is_final);
    session.handle(T0 + ms(3), Event::Reconfigure(params(OURS, 80, 50, 3)));
    assert!(session.transmit_interval().is_some(), "a Poll Sequence of ours");
    drop(hear(&mut session, T0 + ms(60), ControlPacket { is_final: true, ..demand }));
    assert_eq!(session.transmit_interval(), None);
    drop(hear(&mut session, T0 + ms(61), says(State::Up)));
    assert_eq!(session.transmit_interval(), Some(ms(80)), "the bit is clear again");
}

/// §6.8.3: a longer interval of ours "MUST NOT change until the Poll Sequence described above has terminated".
#[test]
fn s6_8_3_a_longer_interval_waits_for_the_peer_to_know() {
    let mut session = settled(T0);
    session.handle(T0 + ms(1), Event::Reconfigure(params(OURS, 400, 50, 3)));
    let packet = sent(&actions(&mut session))[0];
    assert_eq!((packet.poll, packet.desired_min_tx), (true, Micros::new(400_000)));
    assert_eq!(session.transmit_interval(), Some(ms(50)));
    drop(hear(&mut session, T0 + ms(40), says(State::Up)));
    assert_eq!(session.transmit_interval(), Some(ms(50)));
    drop(hear(&mut session, T0 + ms(80), ControlPacket { is_final: true, ..says(State::Up) }));
    assert_eq!(session.transmit_interval(), Some(ms(400)));
    // A shorter one counts at once.
    session.handle(T0 + ms(90), Event::Reconfigure(params(OURS, 100, 50, 3)));
    assert_eq!(session.transmit_interval(), Some(ms(100)));
}

/// §6.8.3: a shorter bfd.RequiredMinRxInterval counts for the detection time after the Poll Sequence, a longer one at once.
#[test]
fn s6_8_3_a_shorter_detection_time_waits_for_the_peer_to_know() {
    let mut session = settled(T0);
    let fast = ControlPacket { desired_min_tx: Micros::new(10_000), ..says(State::Up) };
    drop(hear(&mut session, T0, fast));
    assert_eq!(session.detection_time(), Some(ms(150)));
    session.handle(T0 + ms(1), Event::Reconfigure(params(OURS, 50, 20, 3)));
    assert_eq!(session.detection_time(), Some(ms(150)));
    drop(hear(&mut session, T0 + ms(40), ControlPacket { is_final: true, ..fast }));
    assert_eq!(session.detection_time(), Some(ms(60)));
    session.handle(T0 + ms(50), Event::Reconfigure(params(OURS, 50, 90, 3)));
    assert_eq!(session.detection_time(), Some(ms(270)));
}

/// §6.8.3, the third choice: changed again during a Poll Sequence, the next one begins after a packet without F, and the older
/// interval stays as long.
#[test]
fn s6_8_3_poll_sequences_do_not_overlap() {
    let mut session = settled(T0);
    session.handle(T0 + ms(1), Event::Reconfigure(params(OURS, 200, 50, 3)));
    session.handle(T0 + ms(2), Event::Reconfigure(params(OURS, 400, 50, 3)));
    drop(actions(&mut session));
    let answer = ControlPacket { is_final: true, ..says(State::Up) };
    drop(hear(&mut session, T0 + ms(10), answer));
    assert_eq!((session.poll, session.transmit_interval()), (Poll::Settling, Some(ms(50))));
    drop(hear(&mut session, T0 + ms(20), answer));
    assert_eq!(session.poll, Poll::Settling, "a second F says nothing");
    drop(hear(&mut session, T0 + ms(30), says(State::Up)));
    assert!(session.poll.is_running());
    drop(hear(&mut session, T0 + ms(40), answer));
    assert_eq!((session.poll, session.transmit_interval()), (Poll::Idle, Some(ms(400))));
}

/// Another multiplier is told at once; it needs no Poll Sequence.
#[test]
fn another_multiplier_is_told_without_a_poll() {
    let mut session = settled(T0);
    session.handle(T0 + ms(1), Event::Reconfigure(params(OURS, 50, 50, 9)));
    let packet = sent(&actions(&mut session))[0];
    assert_eq!((packet.detect_mult.get(), packet.poll), (9, false));
}

proptest! {
    /// §6.8.7: 75 to 100 % of the interval, 75 to 90 % where bfd.DetectMult is 1.
    #[test]
    fn s6_8_7_the_jitter_stays_in_its_bounds(seed in any::<u64>(), multiplier in 1_u8..=4) {
        let mut session = Session::new(T0, params(OURS, 1000, 1000, multiplier), seed);
        let most = if multiplier == 1 { ms(900) } else { ms(1000) };
        let (mut last, _, _) = fire(&mut session);
        let mut gaps = Vec::new();
        for _ in 0..100 {
            let (due, _, _) = fire(&mut session);
            gaps.push(due.saturating_since(last));
            last = due;
        }
        for gap in &gaps {
            prop_assert!((ms(750)..=most).contains(gap), "{:?}", gap);
        }
        gaps.sort();
        gaps.dedup();
        prop_assert!(gaps.len() > 20, "it is random: {:?}", gaps);
    }
}

/// §6.1: the role decides who speaks first, and nothing once the peer is known.
#[test]
fn s6_1_another_role_is_taken_at_once_and_ends_no_session() {
    let (active, passive) = (params(OURS, 50, 50, 3), params(OURS, 50, 50, 3).with_passive(true));
    let mut session = Session::new(T0, passive, 1);
    assert_eq!(session.poll_timeout(), None, "it waits to be spoken to");
    session.handle(T0 + ms(1), Event::Reconfigure(active));
    let (due, _, did) = fire(&mut session);
    assert!(due <= T0 + ms(1) && sent(&did).len() == 1, "{due} {did:?}");
    session.handle(T0 + ms(2), Event::Reconfigure(passive));
    assert_eq!(session.poll_timeout(), None, "nobody has answered");

    let mut session = settled(T0);
    let before = session.poll_timeout();
    session.handle(T0 + ms(1), Event::Reconfigure(passive));
    assert!(actions(&mut session).is_empty(), "nothing that the peer is told has changed");
    assert_eq!((session.state(), session.poll_timeout()), (State::Up, before));
}
