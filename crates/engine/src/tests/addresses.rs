//! Addresses that move to a service while another one still drains there.

use super::reconfigure::{all_up, edited, parsed};
use super::*;

fn one(service: &str) -> Config {
    parsed(&format!(
        "services:\n  {service}: {{listen: tcp 192.0.2.10:80, forward: nat, real_servers: {{o1: 10.0.0.31:80}}}}\n"
    ))
}

/// The service that drains there may come before or after the new one by its name.
#[test]
fn a_service_that_comes_where_a_former_one_drains_has_the_address() {
    for newcomer in ["aaa", "zzz"] {
        let (with, without) = (edited("", ""), parsed("services: {}"));
        let mut bench = all_up(&with);
        bench.reload(&with, &without);
        let new = one(newcomer);
        bench.reload(&without, &new);
        let weights: Vec<(String, u32)> =
            bench.weights().into_iter().filter(|(_, weight)| *weight > 0).collect();
        assert_eq!(weights, [("10.0.0.31:80".to_owned(), 1)], "{newcomer}");
        let owners = bench.engine.pools().values().filter(|pool| pool.keys().any(|at| at == key()));
        assert_eq!(owners.count(), 1, "{newcomer}");
        bench.let_drains_end();
        assert_eq!(bench.weights(), [("10.0.0.31:80".to_owned(), 1)], "{newcomer}");
        assert_eq!(bench.engine.pools().len(), 1, "{newcomer}");
    }
}

#[test]
fn so_has_one_that_comes_where_an_unchanged_service_listens_no_longer() {
    for newcomer in ["aaa", "zzz"] {
        let old = edited("", "");
        let moved = edited("tcp 192.0.2.10:80", "tcp 192.0.2.11:80");
        let mut bench = all_up(&old);
        bench.reload(&old, &moved);
        let mut new = moved.clone();
        new.services.extend(one(newcomer).services);
        bench.reload(&moved, &new);
        let weights: Vec<(String, u32)> =
            bench.weights().into_iter().filter(|(_, weight)| *weight > 0).collect();
        assert_eq!(weights, [("10.0.0.31:80".to_owned(), 1)], "{newcomer}");
        let owners = bench.engine.pools().values().filter(|pool| pool.keys().any(|at| at == key()));
        assert_eq!(owners.count(), 1, "{newcomer}");
    }
}

/// It comes back with another address, and the one that it drained at is another service's by the same reload.
#[test]
fn a_service_that_comes_back_leaves_its_former_address_to_who_has_it_now() {
    let (with, without) = (edited("", ""), parsed("services: {}"));
    let mut bench = all_up(&with);
    bench.reload(&with, &without);
    let mut new = edited("tcp 192.0.2.10:80", "tcp 192.0.2.11:80");
    new.services.extend(one("aaa").services);
    bench.reload(&without, &new);
    let owners = bench.engine.pools().values().filter(|pool| pool.keys().any(|at| at == key()));
    assert_eq!(owners.count(), 1);
    assert!(bench.weights().contains(&("10.0.0.31:80".to_owned(), 1)), "{:?}", bench.weights());
}
