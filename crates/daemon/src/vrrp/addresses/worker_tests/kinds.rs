//! Addresses with attributes and on other interfaces, routes and rules.

use super::*;

/// A label, a scope or a prefix length of somebody else's choice is replaced; what this process has put there never is.
#[test]
fn an_address_in_another_form_is_replaced() {
    let keys =
        "lifetime: 0s, addresses: [{address: 10.0.0.1/24, label: \"eth1:vip\", scope: link}]";
    let mut placed = Placed::virtual_address(net("10.0.0.1/24"));
    placed.label = Some("eth1".to_owned());
    for marked in [true, false] {
        placed.marked = marked;
        let mut bench = Bench::with(keys, vec![placed.clone()], Paces::new());
        bench.want(|wanted| wanted.held = true);
        assert_eq!(bench.changes(), ["remove 10.0.0.1/24 from eth1", "add 10.0.0.1/24 to eth1"]);
        let [there] = bench.placed(1).try_into().unwrap();
        assert_eq!(there.label.as_deref(), Some("eth1:vip"));
        assert_eq!(there.scope, holdfast_net::Scope::LINK);
        bench.after(COMPARE_EVERY);
        assert_eq!(bench.changes(), [""; 0]);
    }
    let mut bench = Bench::new(PLAIN, &["10.0.0.1/32"]);
    bench.want(|wanted| wanted.held = true);
    assert_eq!(bench.present(1), BOTH);
}

#[test]
fn excluded_addresses_move_along_and_are_announced() {
    let keys = "addresses: [10.0.0.1/24], excluded: [2001:db8::1/64]";
    let mut bench = Bench::new(keys, &[]);
    bench.want(|wanted| wanted.held = true);
    assert_eq!(bench.present(1), ["10.0.0.1/24", "2001:db8::1/64"]);
    assert!(bench.outcome().holds);
    assert_eq!(bench.announcements(), 10);
    bench.want(|wanted| wanted.held = false);
    assert_eq!(bench.present(1), [""; 0]);
}

#[test]
fn another_device_is_found_by_its_name_whenever_it_comes() {
    let keys = "addresses: [10.0.0.1/24, {address: 10.2.0.1/24, device: eth2}, {address: 10.3.0.1/24, device: eth3}]";
    let mut bench = Bench::new(keys, &[]);
    bench.want(|wanted| wanted.held = true);
    assert_eq!(
        (bench.present(1), bench.present(2)),
        (vec!["10.0.0.1/24".to_owned()], vec!["10.2.0.1/24".to_owned()])
    );
    let outcome = bench.outcome();
    assert!(!outcome.holds);
    assert_eq!(outcome.fault().unwrap(), "there is no interface eth3 for 10.3.0.1/24");
    assert_eq!(bench.announced()[..2], [MAC, MAC_2], "each at its interface's address");

    let device = Device { interface: interface(3), mac: Some(OTHER_MAC), up: false };
    bench.state.borrow_mut().present.add_device(device.clone());
    bench.state.borrow_mut().losses.others = true;
    bench.announcements();
    bench.turn();
    assert_eq!(bench.present(3), ["10.3.0.1/24"]);
    assert!(bench.outcome().holds);
    assert!(!bench.announced().contains(&OTHER_MAC), "it is down");
    bench.state.borrow_mut().present.add_device(Device { up: true, ..device });
    bench.state.borrow_mut().losses.others = true;
    bench.turn();
    assert!(bench.announced().contains(&OTHER_MAC), "it is up");

    bench.want(|wanted| wanted.held = false);
    assert!([1, 2, 3].iter().all(|index| bench.present(*index).is_empty()));
}

const ROUTED: &str = "addresses: [10.0.0.1/24], routes: [{to: 10.5.0.0/16, via: 10.0.0.254, table: 100}, {to: \"2001:db8:5::/48\", device: eth2}], rules: [{from: 10.0.0.1/32, table: 100, priority: 50}]";

/// Addresses before the routes that need them, and after them on the way out.
#[test]
fn routes_and_rules_come_after_the_addresses_and_go_before_them() {
    let mut bench = Bench::new(ROUTED, &[]);
    bench.want(|wanted| wanted.held = true);
    assert_eq!(
        bench.changes(),
        [
            "add 10.0.0.1/24 to eth1",
            "add the route 10.5.0.0/16 table 100 metric 0",
            "add the route 2001:db8:5::/48 table 254 metric 1024",
            "add the rule 50 to table 100",
        ]
    );
    assert!(bench.outcome().holds);
    bench.want(|wanted| wanted.held = false);
    assert_eq!(
        bench.changes(),
        [
            "remove the rule 50 to table 100",
            "remove the route 10.5.0.0/16 table 100 metric 0",
            "remove the route 2001:db8:5::/48 table 254 metric 1024",
            "remove 10.0.0.1/24 from eth1",
        ]
    );
}

#[test]
fn routes_and_rules_that_others_take_away_are_put_back_and_counted() {
    let mut bench = Bench::new(ROUTED, &[]);
    bench.want(|wanted| wanted.held = true);
    let (route, rule) = {
        let state = bench.state.borrow();
        let route = state.present.routes().next().cloned().unwrap();
        (Item::Route(route), Item::Rule(state.present.rules().next().cloned().unwrap()))
    };
    bench.changes();
    for item in [route, rule] {
        bench.state.borrow_mut().present.remove(&item);
        bench.state.borrow_mut().losses.others = true;
        bench.turn();
        assert_eq!(bench.changes(), [Change::add(item).to_string()]);
    }
    assert_eq!(bench.outcome().put_back, 2);
}

#[test]
fn a_route_of_ours_in_another_form_is_replaced() {
    let mut bench = Bench::new(ROUTED, &[]);
    bench.want(|wanted| wanted.held = true);
    let (mut route, outcome) = {
        let state = bench.state.borrow();
        (state.present.routes().next().cloned().unwrap(), bench.outcome())
    };
    assert_eq!(outcome.problems, [""; 0]);
    // The next process finds what this one has left with another next hop.
    let mut next = Bench::new(ROUTED, &[]);
    route.via = Some("10.0.0.99".parse().unwrap());
    next.state.borrow_mut().present.add(&Item::Route(route));
    next.want(|wanted| wanted.held = true);
    let changes = next.changes();
    assert_eq!(changes[0], "remove the route 10.5.0.0/16 table 100 metric 0");
    assert!(changes.contains(&"add the route 10.5.0.0/16 table 100 metric 0".to_owned()));
}
