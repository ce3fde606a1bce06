//! What others send: I8, I9, and a peer that is deaf.

use std::net::IpAddr;
use std::time::Duration;

use holdfast_testkit::lan::seeds;
use vrrp::wire::HOP_LIMIT;
use vrrp::{AddressFamily, ChecksumForm, Priority};

use super::{SECOND, lan, rank};

#[test]
fn i8_hostile_packets_change_counters_only() {
    for seed in seeds(30) {
        let all = [rank(100), rank(200), rank(50)];
        let (mut calm, _) = lan(seed, &all);
        let (mut attacked, nodes) = lan(seed, &all);
        let intruder: IpAddr = "192.0.2.99".parse().unwrap();
        let group = AddressFamily::Ipv4.multicast_group();
        let good = rank(255).advertisement(Priority::OWNER).to_vec(
            intruder,
            group,
            ChecksumForm::MessageOnly,
        );
        for _ in 0..1000 {
            let mut bytes = good.clone();
            let index = usize::try_from(attacked.random().below(bytes.len() as u64)).unwrap();
            let hop_limit = match attacked.random().below(4) {
                0 => 254,
                1 => {
                    bytes[index] ^= 1 << attacked.random().below(8);
                    HOP_LIMIT
                }
                2 => {
                    bytes.truncate(index);
                    HOP_LIMIT
                }
                _ => {
                    bytes.extend([0; 8]);
                    HOP_LIMIT
                }
            };
            attacked.inject(intruder, hop_limit, &bytes);
            attacked.run_for(Duration::from_millis(20));
            calm.run_for(Duration::from_millis(20));
        }
        for node in nodes {
            assert_eq!(attacked.transitions(node), calm.transitions(node));
            assert_eq!(attacked.sent(node), calm.sent(node));
            assert_eq!(attacked.router(node).counters().discarded.total(), 1000);
        }
    }
}

#[test]
fn i9_a_flood_of_lower_priorities_is_answered_twice_an_interval() {
    for seed in seeds(10) {
        let (mut lan, nodes) = lan(seed, &[rank(100)]);
        lan.run_for(SECOND * 10);
        let before = lan.sent(nodes[0]);
        let intruder: IpAddr = "192.0.2.99".parse().unwrap();
        let group = AddressFamily::Ipv4.multicast_group();
        for _ in 0..20_000 {
            let priority = Priority::new(u8::try_from(lan.random().below(100)).unwrap());
            let bytes =
                rank(1).advertisement(priority).to_vec(intruder, group, ChecksumForm::MessageOnly);
            lan.inject(intruder, HOP_LIMIT, &bytes);
            lan.run_for(Duration::from_millis(1));
        }
        let sent = lan.sent(nodes[0]) - before;
        assert!(sent <= 20 * 2 + 1, "{sent} in 20 s");
    }
}

#[test]
fn a_peer_that_does_not_hear_us_is_reported_and_answered_without_a_storm() {
    for seed in seeds(20) {
        let (mut lan, nodes) = lan(seed, &[rank(100), rank(200)]);
        let [deaf, best] = nodes[..] else { unreachable!() };
        lan.run_for(SECOND * 5);
        lan.cut(best, deaf);
        let before = lan.sent(best);
        lan.run_for(SECOND * 60);
        assert_eq!(lan.actives(), [deaf, best], "a link that works one way has two");
        assert!(lan.router(best).counters().lower_priority_heard >= 50);
        assert!(lan.sent(best) - before <= 121, "{}", lan.sent(best) - before);
        lan.heal();
        lan.run_for(SECOND * 2);
        assert_eq!(lan.actives(), [best]);
    }
}
