//! Any history of events keeps the invariants. The committed corpus of the fuzz target does the same with what a fuzzer found.

use proptest::prelude::*;

use super::*;
use crate::wire::tests::packets;

fn events() -> impl Strategy<Value = (u64, Option<Event>)> {
    let received = (packets(), 0_u64..100)
        .prop_map(|(packet, age)| Some(Event::Received { packet, at: T0 + ms(age * 50) }));
    let event = prop_oneof![
        6 => received,
        1 => Just(Some(Event::AdminDown)),
        1 => Just(Some(Event::AdminUp)),
        1 => (1_u64..2000, 1_u64..2000, 1_u8..=255)
            .prop_map(|(tx, rx, mult)| Some(Event::Reconfigure(params(OURS, tx, rx, mult)))),
        4 => Just(None),
    ];
    (0_u64..500, event)
}

proptest! {
    #[test]
    fn any_history_keeps_the_invariants(
        history in prop::collection::vec(events(), 0..200),
        passive in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let mut now = T0;
        let mut session = Session::new(T0, params(OURS, 50, 50, 3).with_passive(passive), seed);
        for (gap, event) in history {
            now += ms(gap);
            let sent_before = session.counters().sent;
            match event {
                Some(event) => session.handle(now, event),
                None => session.handle_timeout(now, now),
            }
            let did = actions(&mut session);
            let packets = sent(&did);
            prop_assert!(packets.len() <= if event.is_some() { 1 } else { 2 }, "{:?}", did);
            prop_assert_eq!(session.counters().sent - sent_before, packets.len() as u64);
            for packet in packets {
                prop_assert!(!(packet.poll && packet.is_final), "§6.5");
                prop_assert!(!packet.demand && !packet.authenticated);
                prop_assert_eq!(packet.my_discriminator, OURS);
                prop_assert!(packet.state == State::Up || packet.desired_min_tx >= SLOW, "§6.8.3");
            }
            let state = session.state();
            if matches!(state, State::Init | State::Up) {
                prop_assert!(session.detection_deadline().is_some());
                prop_assert!(session.remote_discriminator().is_some());
            }
            prop_assert_eq!(session.heard.is_some(), session.remote_discriminator().is_some());
            prop_assert!(changed(&did).iter().all(|(from, to, _)| from != to));
            // Whoever waits for the deadline and fires it gets on: no busy loop.
            if let Some((due, timer)) = session.poll_timeout().filter(|(due, _)| *due <= now) {
                session.handle_timeout(now, now);
                drop(actions(&mut session));
                let after = session.poll_timeout();
                prop_assert!(after.is_none_or(|(next, _)| next > now), "{:?} {:?} {:?}", due, timer, after);
            }
            prop_assert_eq!(session.counters().actions_dropped, 0);
        }
    }
}
