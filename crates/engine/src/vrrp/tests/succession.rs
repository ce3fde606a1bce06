//! Who takes over where nobody preempts.

use std::net::IpAddr;

use vrrp::{
    AddressList, Advertisement, Event, Interval, Params, Priority, Version, VirtualRouter, Vrid,
};

use super::*;
use crate::vrrp::Succession;

const ACTIVE: [u8; 4] = [192, 0, 2, 11];

/// A Backup of priority 100 that has heard these priorities, one a second from the first second on, and who was it.
fn after(preempt: bool, heard: &[([u8; 4], u8)]) -> Succession {
    let list = AddressList::new(vec![IpAddr::from([192, 0, 2, 1])]).unwrap();
    let params = Params::new(Version::V3, Vrid::new(1).unwrap(), list).unwrap();
    let mut router = VirtualRouter::new(at(0), params.with_preempt_mode(preempt));
    let own = IpAddr::from([192, 0, 2, 12]);
    router.handle(at(0), Event::InterfaceUp { primary: own });
    router.handle(at(0), Event::Startup);
    let mut succession = Succession::default();
    for (second, (source, priority)) in (1..).zip(heard) {
        let heard = Advertisement {
            source: IpAddr::from(*source),
            priority: Priority::new(*priority),
            interval: Interval::DEFAULT,
            checksum_form: vrrp::ChecksumForm::default(),
        };
        router.handle(at(second), Event::Advertisement(heard));
        succession.hear(at(second), heard, &router);
    }
    succession
}

#[test]
fn r7_only_an_active_that_was_seen_to_fall_below_us_is_taken_over_from() {
    let other = [192, 0, 2, 13];
    for (heard, falls) in [
        (&[(ACTIVE, 150), (ACTIVE, 90)][..], true),
        (&[(ACTIVE, 90), (ACTIVE, 90)], false),
        (&[(ACTIVE, 150), (ACTIVE, 100)], false),
        (&[(ACTIVE, 80), (ACTIVE, 90)], false),
        (&[(ACTIVE, 150), (ACTIVE, 90), (ACTIVE, 150)], false),
        (&[(ACTIVE, 150), (other, 90)], false),
        (&[(ACTIVE, 150), (ACTIVE, 90), (other, 90)], false),
        (&[(ACTIVE, 150), (ACTIVE, 0), (ACTIVE, 90)], false),
        (&[(ACTIVE, 90), (ACTIVE, 80), (ACTIVE, 85)], true),
    ] {
        assert_eq!(after(false, heard).poll_timeout().is_some(), falls, "{heard:?}");
        assert_eq!(after(true, heard).poll_timeout(), None, "who preempts does so by itself");
    }
}

#[test]
fn the_best_backup_comes_first_and_repetition_delays_nothing() {
    let heard = [(ACTIVE, 150), (ACTIVE, 90), (ACTIVE, 90)];
    let fallen = after(false, &heard);
    // Skew_Time of priority 100 at one second after the second advertisement.
    let due = at(2) + SECOND * 156 / 256;
    assert_eq!(fallen.poll_timeout(), Some(due));
    assert!(fallen.is_due(due, Priority::new(100)));
    assert!(!fallen.is_due(at(2), Priority::new(100)));
    assert!(!fallen.is_due(due, Priority::new(90)), "it has fallen itself meanwhile");
}
