//! What a short text could make grow without end ends with a problem, soon.

mod text;

use holdfast_import::Import;
use text::converted;

/// The one problem with `message`, and no configuration.
fn ends(found: &Import, message: &str) {
    assert_eq!(found.configuration, None);
    let those = found.problems.iter().filter(|problem| problem.message.contains(message)).count();
    assert_eq!(those, 1, "{:?}", found.problems.first());
}

/// A group of `count` networks of `prefix`, and a virtual server of it with `servers`.
fn group(count: usize, prefix: u8, services: usize, servers: usize) -> String {
    let networks = format!("10.0.0.0/{prefix} 80\n").repeat(count);
    let servers: String = (0..servers)
        .map(|n| format!("real_server 10.9.{}.{} 80 {{\n}}\n", n / 250, n % 250 + 1))
        .collect();
    let service =
        format!("virtual_server group g {{\nprotocol TCP\nlb_algo rr\nlb_kind DR\n{servers}}}\n");
    format!("virtual_server_group g {{\n{networks}}}\n{}", service.repeat(services))
}

#[test]
fn addresses_and_servers_have_one_limit_for_all_services() {
    let limit = "unfold to more than 200000";
    let many = converted(&group(50_000, 16, 0, 0));
    assert!(many.problems[0].message.contains(limit), "{:?}", many.problems[0]);
    assert_eq!(many.configuration, None);
    ends(&converted(&group(1, 16, 3, 1)), limit);
    ends(&converted(&group(1, 16, 1, 1000)), limit);
    let ordinary = converted(&group(1, 23, 1, 10));
    assert_eq!(ordinary.problems, []);
    assert!(ordinary.configuration.unwrap().contains("10.9.0.10"));
}

#[test]
fn services_without_ranges_need_none_of_that_limit() {
    let one = |n: usize| {
        let (high, low) = (n / 250, n % 250 + 1);
        let server = "real_server 10.9.0.1 80 {\nweight 2\n}\n";
        format!(
            "virtual_server 10.1.{high}.{low} 80 {{\nprotocol TCP\nlb_kind DR\nlb_algo rr\n{server}}}\n"
        )
    };
    let found = converted(&(0..500).map(one).collect::<String>());
    assert_eq!(found.problems, []);
}

#[test]
fn what_definitions_unfold_to_has_a_limit_in_bytes() {
    let long = "y".repeat(60_000);
    ends(&converted(&format!("$A={long}\n{}", "x $A\n".repeat(100_000))), "unfolds to more than");
    let named = format!("$A={long}\n~SEQ(N, 1, 100000) $X${{N}}=${{A}}\n");
    ends(&converted(&named), "unfolds to more than");
}

#[test]
fn loops_without_a_line_count_their_rounds() {
    let limit = "unfolds to more than 200000 lines";
    ends(&converted("~SEQ(A,1,1,200000) ~SEQ(B,1,1,200000)\n"), limit);
    ends(&converted("~SEQ(A,1,1,150000)\n~SEQ(B,1,1,150000)\n"), limit);
    assert_eq!(converted("~SEQ(A,1,1,150000)\n").problems, []);
}

#[test]
fn a_loop_that_is_refused_is_not_unfolded_first() {
    let long = converted(&"~SEQ(A,4000000000) x\n".repeat(150_000));
    assert!(long.problems[0].message.contains("more than 200000 rounds"));
    let deep = format!("{}~SEQ(B,200000) x\n", "~SEQ(A,1,2) ".repeat(16));
    assert!(converted(&deep).problems[0].message.contains("more than 16 deep"));
}

#[test]
fn blocks_beyond_the_depth_are_counted_and_not_kept() {
    let deep = converted(&"a{ ".repeat(200_000));
    ends(&deep, "blocks are more than 16 deep");
    assert_eq!(deep.report.len(), 200_000);
    let closed = format!("{}{}b 7\n", "a {\n".repeat(20), "}\n".repeat(20));
    let closed = converted(&closed);
    ends(&closed, "blocks are more than 16 deep");
    let others = closed.problems.iter().filter(|problem| problem.message.contains('}')).count();
    assert_eq!(others, 0, "{:?}", closed.problems);
}

#[test]
fn nothing_is_read_beyond_the_limit_of_bytes() {
    let text = format!("{}# {}\n", "include a\n".repeat(50), "x".repeat(3 << 20));
    let found = converted(&text);
    ends(&found, "bytes");
    assert_eq!(found.problems.len(), 1, "{:?}", found.problems);
}

#[test]
fn long_lines_are_read_in_one_go() {
    for letter in ["$", "${", "x", "\"", "'", "#", "=", "$A=", "{ ", "auth_pass "] {
        let found = converted(&letter.repeat((1 << 19) / letter.len()));
        assert_eq!(found.configuration.is_none(), letter != "#" && letter != "$A=", "{letter}");
    }
}
