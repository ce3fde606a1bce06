//! What follows from the end of a fate channel.

use super::*;
use crate::vrrp::{FateAction, FateEvent, FateWatch};

use FateAction::{Close, Connect, Died};
use FateEvent::{Broken, Ended, Goodbye, Hello, Refused};

const MS: Duration = Duration::from_millis(1);

fn actions(watch: &mut FateWatch) -> Vec<FateAction> {
    std::iter::from_fn(|| watch.poll_action()).collect()
}

fn give(watch: &mut FateWatch, now: Instant, event: FateEvent) -> Vec<FateAction> {
    watch.handle(now, event);
    actions(watch)
}

fn due(watch: &mut FateWatch) -> (Instant, Vec<FateAction>) {
    let now = watch.poll_timeout().unwrap();
    watch.handle_timeout(now);
    (now, actions(watch))
}

fn standing() -> FateWatch {
    let mut watch = FateWatch::new(at(0));
    assert_eq!(due(&mut watch), (at(0), vec![Connect]));
    assert_eq!(give(&mut watch, at(0), Hello), []);
    assert!(watch.stands() && watch.poll_timeout().is_none());
    watch
}

#[test]
fn an_end_and_a_refusal_are_a_death_told_once() {
    let mut watch = standing();
    assert_eq!(give(&mut watch, at(5), Ended), [Connect]);
    assert_eq!(give(&mut watch, at(5), Refused), [Died, Close]);
    let (again, opened) = due(&mut watch);
    assert_eq!((again, opened), (at(6), vec![Connect]));
    assert_eq!(give(&mut watch, again, Refused), [Close], "nobody has come since");
}

/// Who is watched no longer is let go then, and not before.
#[test]
fn a_channel_that_stands_or_has_just_ended_may_tell_of_a_death() {
    let mut watch = FateWatch::new(at(0));
    assert!(!watch.may_tell());
    due(&mut watch);
    assert!(!watch.may_tell(), "nothing was said yet");
    give(&mut watch, at(0), Hello);
    assert!(watch.may_tell());
    give(&mut watch, at(5), Ended);
    assert!(watch.may_tell());
    give(&mut watch, at(5), Ended);
    assert!(watch.may_tell(), "it is asked again soon");
    due(&mut watch);
    give(&mut watch, at(5) + MS, Refused);
    assert!(!watch.may_tell(), "it has told");
    let mut watch = standing();
    give(&mut watch, at(5), Goodbye);
    assert!(!watch.may_tell());
}

#[test]
fn an_end_alone_is_none() {
    // A forged reset, a worker in another's place: the port answers.
    let mut watch = standing();
    assert_eq!(give(&mut watch, at(5), Ended), [Connect]);
    assert_eq!(give(&mut watch, at(5), Hello), []);
    assert!(watch.stands());
    // A partition in the same moment: nothing answers.
    assert_eq!(give(&mut watch, at(9), Ended), [Connect]);
    assert_eq!(due(&mut watch), (at(10), vec![Close]));
    let (again, _) = due(&mut watch);
    assert_eq!(give(&mut watch, again, Refused), [Close], "too late to be of that hint");
}

#[test]
fn goodbyes_silence_and_garbage_say_nothing() {
    for event in [Goodbye, Broken, Hello] {
        let mut watch = standing();
        assert_eq!(give(&mut watch, at(5), event), [Close]);
        let (again, _) = due(&mut watch);
        assert_eq!(give(&mut watch, again, Refused), [Close], "{event:?}");
    }
}

#[test]
fn a_port_that_never_answered_says_nothing_and_is_asked_less_and_less_often() {
    let mut watch = FateWatch::new(at(0));
    let mut pauses = Vec::new();
    for _ in 0..7 {
        let (now, opened) = due(&mut watch);
        assert_eq!(opened, [Connect]);
        assert_eq!(give(&mut watch, now, Refused), [Close]);
        pauses.push(watch.poll_timeout().unwrap().saturating_since(now).as_secs());
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
}

#[test]
fn a_process_that_is_dying_is_asked_until_its_port_has_gone() {
    let mut watch = standing();
    assert_eq!(give(&mut watch, at(5), Ended), [Connect]);
    let mut now = at(5);
    for pause in [1, 2, 4] {
        assert_eq!(give(&mut watch, now, Ended), [Close]);
        assert_eq!(due(&mut watch), (now + MS * pause, vec![Connect]));
        now += MS * pause;
    }
    assert_eq!(give(&mut watch, now, Refused), [Died, Close]);
}

#[test]
fn since_when_and_why_is_told() {
    use crate::vrrp::FateEnd;
    let mut watch = FateWatch::new(at(0));
    due(&mut watch);
    assert_eq!((watch.since(), watch.last_end(), watch.trouble()), (at(0), None, None));
    let (at_last, _) = due(&mut watch);
    assert_eq!(watch.trouble(), Some(FateEnd::Silent), "no first word by {at_last:?}");
    let (again, _) = due(&mut watch);
    give(&mut watch, again, Hello);
    assert_eq!((watch.since(), watch.last_end(), watch.trouble()), (again, None, None));
    // An end of which nothing follows is told, until a death is known; what comes of later attempts does not hide it.
    let end = again + 5 * MS;
    give(&mut watch, end, Ended);
    assert_eq!((watch.since(), watch.last_end()), (end, Some((end, FateEnd::Ended))));
    give(&mut watch, end + MS, Refused);
    assert_eq!(watch.last_end(), Some((end, FateEnd::Died)));
    let (later, _) = due(&mut watch);
    give(&mut watch, later, Refused);
    assert_eq!((watch.last_end(), watch.since()), (Some((end, FateEnd::Died)), end));
    assert_eq!(watch.trouble(), Some(FateEnd::Refused));
    for (event, why) in [(Goodbye, FateEnd::Goodbye), (Broken, FateEnd::Broken)] {
        let mut watch = standing();
        give(&mut watch, at(7), event);
        assert_eq!((watch.last_end(), watch.trouble()), (Some((at(7), why)), None));
    }
}
