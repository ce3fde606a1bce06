//! Virtual and real servers: what counts where statements contradict each other, and what is told of those that don't.

mod text;

use holdfast_import::{Import, Line, Outcome};
use text::converted;

/// A virtual server with these statements.
fn service(statements: &str) -> Import {
    converted(&format!(
        "virtual_server 192.0.2.1 80 {{\nprotocol TCP\nlb_algo rr\n{statements}}}\n"
    ))
}

/// The report's line of the first statement that begins with `statement`.
fn line<'a>(found: &'a Import, statement: &str) -> &'a Line {
    let mut lines = found.report.iter();
    let found = lines.find(|line| line.statement.starts_with(statement));
    found.unwrap_or_else(|| panic!("no `{statement}` in the report"))
}

/// What is told of a server's own `lvs_method` under that of the service.
fn own_method(service_method: &str, own: &str) -> (Option<Outcome>, String) {
    let servers = format!(
        "{service_method}\nreal_server 10.0.0.1 80 {{\n}}\nreal_server 10.0.0.2 80 {{\nweight 3\nlvs_method {own}\n}}\n"
    );
    let found = service(&servers);
    assert_eq!(found.problems, []);
    let own = found.report.iter().rfind(|line| line.statement.starts_with("lvs_method"));
    (own.map(|line| line.outcome), found.configuration.unwrap_or_default())
}

#[test]
fn a_servers_own_way_is_told_where_it_is_another_than_the_services() {
    for (all, own) in [
        ("lvs_method DR", "TUN"),
        ("lvs_method TUN", "DR"),
        ("lvs_method DR", "NAT"),
        ("", "DR"),
        ("lvs_method TUN", "TUN type gre"),
        ("lvs_method TUN type gue port 5555", "TUN type gue port 5556"),
    ] {
        let (outcome, configuration) = own_method(all, own);
        assert_eq!(outcome, Some(Outcome::NotConverted), "{all}, {own}");
        assert!(
            configuration.contains(&format!("lvs_method {own}: all servers")),
            "{configuration}"
        );
    }
}

#[test]
fn a_servers_own_way_is_exact_where_it_is_the_services() {
    for (all, own) in [
        ("lvs_method DR", "DR"),
        ("", "NAT"),
        ("lvs_method TUN", "TUN type ipip"),
        ("lvs_method TUN nocsum", "TUN"),
        ("lvs_method TUN type gue port 5555 csum", "TUN csum port 5555 type gue"),
    ] {
        assert_eq!(own_method(all, own).0, Some(Outcome::Exact), "{all}, {own}");
    }
}

#[test]
fn a_real_server_or_check_without_a_block_is_refused() {
    let found = service("real_server 10.0.0.1 80\nreal_server 10.0.0.2 80\n");
    assert_eq!(found.configuration, None);
    let places: Vec<_> =
        found.problems.iter().map(|problem| (problem.line, problem.column)).collect();
    assert_eq!(places, [(4, 1), (5, 1)], "{:?}", found.problems);
    assert!(found.problems[0].message.contains("a `real_server` has a block"));
    let found = service("real_server 10.0.0.1 80 {\nTCP_CHECK\nHTTP_GET\nTCP_CHECK\n}\n");
    assert_eq!(found.configuration, None);
    let lines: Vec<_> = found.problems.iter().map(|problem| problem.line).collect();
    assert_eq!(lines, [5, 6, 7], "{:?}", found.problems);
}

/// keepalived 2.2.7 with `inhibit_on_failure no` in a virtual server shuts down an "inhibited" service: the value is not looked at. That of a
/// real server is.
#[test]
fn a_value_of_a_virtual_servers_switch_is_not_looked_at_and_that_is_told() {
    let server = "real_server 10.0.0.1 80 {\nTCP_CHECK {\n}\n}\n";
    for (switch, wanted) in
        [("alpha", "initial: down"), ("inhibit_on_failure", "on_failure: inhibit")]
    {
        for value in ["off", "no", "false", "nonsense"] {
            let found = service(&format!("{switch} {value}\n{server}"));
            let told = line(&found, switch);
            assert_eq!(told.outcome, Outcome::Exact);
            assert!(told.notes[0].contains("keepalived silently takes it for on"), "{told:?}");
            assert!(found.configuration.unwrap().contains(wanted));
        }
        let found = service(&format!("{switch}\n{server}"));
        assert_eq!(line(&found, switch).notes, [""; 0]);
        assert!(found.configuration.unwrap().contains(wanted));
        let own =
            format!("{switch}\nreal_server 10.0.0.1 80 {{\n{switch} off\nTCP_CHECK {{\n}}\n}}\n");
        assert!(!service(&own).configuration.unwrap().contains(wanted));
    }
}

#[test]
fn nothing_of_a_virtual_server_without_real_servers_is_exact() {
    let found = service("quorum 2\npersistence_timeout 60\nalpha\n");
    assert_eq!(found.problems, []);
    for line in &found.report {
        assert_eq!(line.outcome, Outcome::NotConverted, "{line:?}");
    }
}

#[test]
fn nothing_of_a_server_that_is_there_already_is_exact() {
    let check = "TCP_CHECK {\nconnect_timeout 3\n}\n";
    let found = service(&format!(
        "lb_kind DR\nreal_server 10.0.0.1 80 {{\n{check}}}\nreal_server 10.0.0.1 80 {{\nweight 7\n{check}}}\n"
    ));
    assert_eq!(found.problems, []);
    let (first, second) = found.report.split_at(7);
    assert!(first.iter().all(|line| line.outcome == Outcome::Exact), "{first:?}");
    assert_eq!(second.len(), 4);
    assert!(second.iter().all(|line| line.outcome == Outcome::NotConverted), "{second:?}");
}

/// keepalived's `alloc_ssvr` puts each in the place of the one before.
#[test]
fn the_last_sorry_server_counts() {
    let found = service(
        "lb_kind DR\nsorry_server 10.0.0.8 80\nsorry_server 10.0.0.9 80\nreal_server 10.0.0.1 80 {\n}\n",
    );
    assert_eq!(line(&found, "sorry_server 10.0.0.8").outcome, Outcome::NotConverted);
    assert_eq!(line(&found, "sorry_server 10.0.0.9").outcome, Outcome::Exact);
    let configuration = found.configuration.unwrap();
    assert!(
        configuration.contains("10.0.0.9") && !configuration.contains("10.0.0.8"),
        "{configuration}"
    );
}

#[test]
fn a_comment_ends_at_no_separator_of_lines_that_yaml_knows() {
    for separator in ['\u{85}', '\u{2028}', '\u{2029}', '\u{feff}', '\u{fffe}'] {
        let found = service(&format!(
            "lb_kind DR\nreal_server 10.0.0.1 80 {{\nnotify_up \"/bin/a{separator}services: 7\"\n}}\n"
        ));
        assert_eq!(found.problems, []);
        let configuration = found.configuration.unwrap();
        assert!(configuration.contains("/bin/a\u{fffd}services: 7"), "{configuration}");
        assert!(!configuration.contains(separator));
    }
}

/// keepalived 2.2.7 says `already specified - ignoring` of the second one, and replaces nothing.
#[test]
fn of_several_notifications_the_first_counts_and_of_other_words_the_last() {
    let found = service(
        "quorum 1\nquorum 2\nquorum_up /usr/local/bin/first\nquorum_up /usr/local/bin/second\n\
         real_server 10.0.0.1 80 {\nnotify_up /usr/local/bin/one\nnotify_up /usr/local/bin/other\n}\n\
         real_server 10.0.0.2 80 {\n}\n",
    );
    let configuration = found.configuration.clone().unwrap_or_default();
    assert!(configuration.contains("/usr/local/bin/first"), "{configuration}");
    assert!(!configuration.contains("/usr/local/bin/second\n"), "{configuration}");
    assert!(configuration.contains("quorum: 2"), "{configuration}");
    for (statement, outcome) in [
        ("quorum 1", Outcome::NotConverted),
        ("quorum 2", Outcome::Exact),
        ("quorum_up /usr/local/bin/second", Outcome::NotConverted),
        ("notify_up /usr/local/bin/other", Outcome::NotConverted),
    ] {
        assert_eq!(line(&found, statement).outcome, outcome, "{statement}");
    }
    let notes = &line(&found, "notify_up /usr/local/bin/other").notes;
    assert!(notes.iter().any(|note| note.contains("the first counts")), "{notes:?}");
}

/// What keepalived 2.2.7 says of a second one: `File already set`, `Weight already set`, `state previously set`.
#[test]
fn so_it_is_with_the_state_of_an_instance_and_with_what_is_tracked() {
    let found = converted(
        "vrrp_track_file load {\nfile /run/one\nfile /run/other\nweight 3\nweight 4\n}\n\
         vrrp_instance edge {\nstate MASTER\nstate BACKUP\ninterface eth0\npriority 10\npriority 20\n\
         virtual_router_id 5\ntrack_file {\nload\n}\nvirtual_ipaddress {\n192.0.2.9/24\n}\n}\n",
    );
    let configuration = found.configuration.clone().unwrap_or_default();
    assert!(configuration.contains("/run/one") && !configuration.contains("file: /run/other"));
    assert!(configuration.contains("priority: 20"), "{configuration}");
    for statement in ["file /run/other", "weight 4", "state BACKUP"] {
        let notes = &line(&found, statement).notes;
        assert!(
            notes.iter().any(|note| note.contains("the first counts")),
            "{statement}: {notes:?}"
        );
    }
}
