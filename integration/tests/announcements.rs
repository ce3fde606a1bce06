//! Gratuitous ARP and unsolicited Neighbor Advertisements as a third machine hears them: how many, when again, how close together, and
//! who has the last word. The network is [`holdfast_integration::pair`]'s.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the failure, and says where")]

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use holdfast_integration::pair::{
    INSTANCES, LIMIT, Roles, lab, wait_active, wait_counted, wait_roles, wait_served_by,
};
use holdfast_integration::tap::{Frame, Tap};
use holdfast_integration::{Director, config};
use holdfast_testkit::lab::{Lab, Nginx, Node, Topology, VIP4, VIP6, wait_until};

/// The addresses of the two instances.
const ALL: [IpAddr; 3] =
    [IpAddr::V4(VIP4), IpAddr::V6(VIP6), IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x33))];

/// The times at which `address` was announced to be at `node`.
fn announced(frames: &[Frame], address: IpAddr, node: &Node) -> Vec<Duration> {
    let is_it = |frame: &&Frame| frame.announcement() == Some((address, node.mac().to_owned()));
    frames.iter().filter(is_it).map(|frame| frame.at).collect()
}

/// Waits until each address was announced `number` times; the times of each.
fn wait_announced(tap: &Tap, node: &Node, number: usize) -> Vec<Vec<Duration>> {
    let mut all = Vec::new();
    let what = format!("{number} announcements of each address");
    wait_until(LIMIT, &what, || {
        let frames = tap.frames();
        all = ALL.iter().map(|address| announced(&frames, *address, node)).collect();
        all.iter().all(|times: &Vec<_>| times.len() >= number).then_some(())
    })
    .unwrap_or_else(|error| panic!("{error:#}: {all:?}"));
    all
}

/// lb1 alone, which announces as `announce` says.
fn alone(lab: &Lab, announce: &str, more: &str) -> (Tap, Director) {
    let tap = Tap::start(lab.client()).unwrap();
    let keys = format!("priority: 150, announce: {{{announce}}}");
    let roles = Roles { lb1: &keys, ..Roles::LB1_FIRST };
    let config = roles.config().replacen("vrrp:\n", &format!("vrrp:\n{more}"), 1);
    let director = Director::start(lab.lb1(), &config).unwrap();
    wait_active(&director).unwrap();
    (tap, director)
}

/// The timer of a thread may be so much early against the time of day, which is set while it runs.
fn at_least(left: Duration, right: Duration) -> bool {
    left + Duration::from_millis(20) >= right
}

/// RFC 9568 §6.4.2: the advertisement comes first. Each address is announced `count` times, and as often once more after `repeat_after`.
#[test]
fn a_takeover_is_announced_as_often_as_configured_twice() {
    let lab = lab().unwrap();
    let (tap, director) = alone(&lab, "count: 3, repeat_after: 4s", "");
    for times in wait_announced(&tap, lab.lb1(), 6) {
        let gaps: Vec<Duration> = times.windows(2).map(|two| two[1] - two[0]).collect();
        assert!(at_least(times[3] - times[0], Duration::from_secs(4)), "{times:?}");
        assert!(gaps.iter().all(|gap| *gap <= gaps[2]), "two bursts of three: {gaps:?}");
    }
    // The next burst would have come by now.
    wait_counted(&director, "advertisements_sent", 22).unwrap();
    let frames = tap.frames();
    for address in ALL {
        assert_eq!(announced(&frames, address, lab.lb1()).len(), 6, "{address}");
        let family = |found: &IpAddr| found.is_ipv4() == address.is_ipv4();
        let advertised = frames.iter().position(|frame| {
            frame
                .advertisement()
                .is_some_and(|(source, priority)| family(&source) && priority == 150)
        });
        let told = frames.iter().position(|frame| {
            frame.announcement().is_some_and(|(announced, _)| announced == address)
        });
        assert!(advertised.unwrap() < told.unwrap(), "{address} was announced first");
    }
}

/// A takeover because the Active's daemon has died (B2) is announced as any other: two bursts, and no third for whatever the dead node's kernel says.
#[test]
fn b2_a_death_is_announced_in_two_bursts_and_no_more() {
    let lab = lab().unwrap();
    let roles = Roles {
        interval: "2s",
        lb1: "priority: 150",
        lb2: "priority: 100, announce: {count: 3, repeat_after: 1s}",
    };
    let mut lb1 = Director::start(lab.lb1(), &roles.config()).unwrap();
    wait_active(&lb1).unwrap();
    let lb2 = Director::start(lab.lb2(), &roles.config()).unwrap();
    wait_roles(&lb1, &lb2).unwrap();
    wait_until(LIMIT, "the fate channels", || {
        let log = lb2.process().log();
        (log.matches("the fate channel to the active node stands").count() >= 2).then_some(())
    })
    .unwrap();
    let tap = Tap::start(lab.client()).unwrap();
    lb1.kill().unwrap();
    wait_active(&lb2).unwrap();
    for name in INSTANCES {
        assert_eq!(lb2.instance(name).unwrap().reason, "active_died", "{name}");
    }
    wait_announced(&tap, lab.lb2(), 6);
    // Longer than the pause between two bursts.
    wait_counted(&lb2, "advertisements_sent", 3).unwrap();
    let frames = tap.frames();
    for address in ALL {
        assert_eq!(announced(&frames, address, lab.lb2()).len(), 6, "{address}");
        assert!(announced(&frames, address, lab.lb1()).is_empty(), "{address}");
    }
}

#[test]
fn an_active_announces_again_at_every_refresh() {
    let lab = lab().unwrap();
    let keys = "count: 1, repeat_after: 0s, refresh: 3s, refresh_count: 2";
    let (tap, _director) = alone(&lab, keys, "");
    for times in wait_announced(&tap, lab.lb1(), 7) {
        for refresh in [1, 3, 5] {
            let before = if refresh == 1 { 0 } else { refresh - 2 };
            let since = times[refresh] - times[before];
            assert!(at_least(since, Duration::from_secs(3)), "{since:?} in {times:?}");
        }
        assert!(times[2] - times[1] < times[3] - times[2], "in pairs: {times:?}");
    }
}

/// All instances of an interface keep its pace together; those of another interface have nothing to do with it.
#[test]
fn announcements_keep_the_pace_of_their_interface() {
    let lab = Lab::with(Topology::nat().webs(1)).unwrap();
    let (outer, inner) = (Tap::start(lab.client()).unwrap(), Tap::start(lab.web(1)).unwrap());
    let announce = "interval: 200ms, announce: {count: 8, repeat_after: 0s}";
    let instances = format!(
        "    one: {{interface: eth0, vrid: 51, {announce}, addresses: [{VIP4}/24]}}\n    \
         two: {{interface: eth0, vrid: 52, {announce}, addresses: ['fe80::34/64', '{VIP6}/64']}}\n    \
         inner: {{interface: eth1, vrid: 53, {announce}, addresses: [10.78.0.10/24]}}\n"
    );
    let interfaces = "vrrp:\n  interfaces: {eth0: {announce_interval: 150ms}}\n";
    let config = config(&instances, "").replacen("vrrp:\n", interfaces, 1);
    let _director = Director::start(lab.lb1(), &config).unwrap();
    let times = |tap: &Tap, number: usize| {
        let mut times: Vec<Duration> = Vec::new();
        wait_until(LIMIT, &format!("{number} announcements"), || {
            let frames = tap.frames();
            let told = frames.iter().filter(|frame| frame.announcement().is_some());
            times = told.map(|frame| frame.at).collect();
            (times.len() >= number).then_some(())
        })
        .unwrap_or_else(|error| panic!("{error:#}: {times:?}"));
        *times.last().unwrap() - times[0]
    };
    // Three addresses, eight times: 23 gaps. The first one alone may have been late.
    let paced = times(&outer, 24);
    assert!(paced >= Duration::from_millis(23 * 150 * 9 / 10), "{paced:?}");
    let free = times(&inner, 8);
    assert!(
        free < paced,
        "eight announcements without a pace took {free:?}, 24 with one {paced:?}"
    );
}

/// A split heals: the winner hears an advertisement of lower rank, answers it, and announces again, and once more with the advertisement
/// after that. Whatever the loser has announced, the last word is the winner's.
#[test]
fn r6_who_hears_a_lower_priority_announces_again_and_has_the_last_word() {
    let lab = lab().unwrap();
    let (lb1, lb2) = (lab.lb1(), lab.lb2());
    let _webs = [lb1, lb2].map(|node| Nginx::start(node, 80).unwrap());
    let roles = Roles {
        interval: "200ms",
        lb1: "priority: 150, announce: {count: 2, repeat_after: 0s}",
        lb2: "priority: 100, announce: {count: 2, repeat_after: 0s}",
    };
    lab.isolate(&[lb1, lb2]).unwrap();
    let tap = Tap::start(lab.client()).unwrap();
    let first = Director::start(lb1, &roles.config()).unwrap();
    wait_active(&first).unwrap();
    // Its announcements of the takeover: what comes after them is the contest's.
    wait_announced(&tap, lb1, 2);
    let before = tap.frames().len();
    let since = |tap: &Tap| tap.frames().split_off(before);
    let second = Director::start(lb2, &roles.config()).unwrap();
    wait_active(&second).unwrap();
    for address in ALL {
        wait_until(LIMIT, "lb2's announcements", || {
            (announced(&since(&tap), address, lb2).len() == 2).then_some(())
        })
        .unwrap();
    }
    let split = since(&tap);
    assert!(ALL.iter().all(|address| announced(&split, *address, lb1).is_empty()), "nobody heard");

    lab.join(&[lb1, lb2]).unwrap();
    wait_roles(&first, &second).unwrap();
    // Two at the takeover, and four in the contest.
    wait_announced(&tap, lb1, 6);
    wait_counted(&first, "advertisements_sent", 5).unwrap();
    let frames = since(&tap);
    for address in ALL {
        let told = frames
            .iter()
            .rev()
            .find_map(|frame| frame.announcement().filter(|(announced, _)| *announced == address));
        assert_eq!(told.unwrap().1, lb1.mac(), "{address}: the last word");
        // Before it there was the advertisement that answers: to its sender, and to all who had learned of that one.
        let begun = announced(&frames, address, lb1)[0];
        let answered = frames.iter().any(|frame| {
            let ours = |(source, priority): (IpAddr, u8)| {
                source.is_ipv4() == address.is_ipv4() && priority == 150
            };
            frame.at <= begun && frame.advertisement().is_some_and(ours)
        });
        assert!(answered, "{address}");
    }
    wait_served_by(lab.client(), lb1).unwrap();
}
