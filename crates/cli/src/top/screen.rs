//! A view as text: as many rows and columns as there are, no more.

use holdfast_control::Traffic;

use super::view::View;
use crate::render::configured_units;
use crate::table::{Table, shown};
use crate::times::age;

/// What is to be drawn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Screen<'a> {
    /// The last that was seen; none before the first answer.
    pub(crate) view: Option<&'a View>,
    /// Why there is nothing newer.
    pub(crate) problem: Option<&'a str>,
    /// The terminal's columns and rows; none where there is no terminal, and everything is shown.
    pub(crate) size: Option<(u16, u16)>,
}

/// The text of a screen, each line with its end.
pub(crate) fn screen(screen: &Screen<'_>) -> String {
    let mut lines = Vec::new();
    if let Some(view) = screen.view {
        lines.push(format!(
            "node {}  holdfastd {}  up {}",
            view.node,
            view.version,
            age(view.uptime_s)
        ));
    }
    if let Some(problem) = screen.problem {
        lines.push(format!("! {problem}"));
    }
    if let Some(view) = screen.view {
        if !view.vrrp.is_empty() {
            lines.push(String::new());
            lines.extend(roles(view).lines().map(ToOwned::to_owned));
        }
        if !view.services.is_empty() {
            lines.push(String::new());
            lines.extend(services(view).lines().map(ToOwned::to_owned));
        }
    }
    if let Some((columns, rows)) = screen.size {
        fit(&mut lines, columns.into(), rows.into());
    }
    lines.into_iter().map(|line| line + "\n").collect()
}

/// Cuts what there is no room for, and says so.
fn fit(lines: &mut Vec<String>, columns: usize, rows: usize) {
    if lines.len() > rows {
        let left = lines.len() - rows + 1;
        lines.truncate(rows.saturating_sub(1));
        lines.push(format!("… {left} more lines: a higher window, or `--once`"));
    }
    for line in lines {
        // What a file or a server has said must not steer the terminal.
        *line = shown(line).chars().take(columns).collect();
    }
}

fn roles(view: &View) -> String {
    let mut table = Table::new(["INSTANCE", "STATE", "PRIORITY", "SINCE", "WHY"]);
    for role in &view.vrrp {
        table.row([
            role.name.clone(),
            role.state.clone(),
            role.priority.to_string(),
            age(role.since_s),
            role.why.clone(),
        ]);
    }
    table.render(0)
}

fn services(view: &View) -> String {
    let mut table = Table::new([
        "SERVICE", "STATE", "WEIGHT", "CONN/S", "PKT/S", "IN B/S", "OUT B/S", "ACTIVE", "INACTIVE",
        "WHY",
    ]);
    for pool in &view.services {
        let servers = pool.servers.iter().filter(|one| one.state != "sorry").count();
        let [connections, packets, bytes_in, bytes_out] = rates(&pool.traffic);
        table.row([
            pool.name.clone(),
            format!("{}/{servers} up", pool.up),
            String::new(),
            connections,
            packets,
            bytes_in,
            bytes_out,
            short(pool.active_connections),
            short(pool.inactive_connections),
            if pool.quorum == "down" { "no quorum".to_owned() } else { String::new() },
        ]);
        for one in &pool.servers {
            let [connections, packets, bytes_in, bytes_out] = rates(&one.traffic);
            table.row([
                format!("  {}", one.name),
                one.state.clone(),
                one.weight.map_or_else(
                    || "-".to_owned(),
                    |weight| configured_units(weight, pool.weight_scale),
                ),
                connections,
                packets,
                bytes_in,
                bytes_out,
                short(one.active_connections),
                short(one.inactive_connections),
                one.why.clone(),
            ]);
        }
    }
    table.render(0)
}

/// What comes and goes in a second: connections, packets both ways, bytes in, bytes out.
fn rates(traffic: &Traffic) -> [String; 4] {
    let packets = traffic.packets_in_per_s.saturating_add(traffic.packets_out_per_s);
    [traffic.connections_per_s, packets, traffic.bytes_in_per_s, traffic.bytes_out_per_s].map(short)
}

/// A number with at most four digits: thousands by k, M, G, T.
fn short(number: u64) -> String {
    let mut left = number;
    let mut unit = "";
    for next in ["k", "M", "G", "T"] {
        if left < 10_000 {
            break;
        }
        left /= 1000;
        unit = next;
    }
    format!("{left}{unit}")
}

#[cfg(test)]
mod tests {
    use super::super::said;
    use super::super::view::{Member, Pool, Role};
    use super::*;

    /// All of [`view`].
    const WHOLE: &str = "\
node lb1  holdfastd 0.1.0  up 1d02h

INSTANCE  STATE   PRIORITY  SINCE  WHY
edge      active  150       2m10s  the active router is gone

SERVICE  STATE   WEIGHT  CONN/S  PKT/S  IN B/S  OUT B/S  ACTIVE  INACTIVE  WHY
web      2/3 up          437     8740   524k    54M      1311    36
  web1   up      1       420     8400   504k    52M      1260    12
  web2   up      1       17      340    20k     2125k    51      12
  web3   down    -       0       0      0       0        0       12        connection refused
";

    fn member(name: &str, state: &str, connections_per_s: u64) -> Member {
        let traffic = Traffic {
            connections_per_s,
            packets_in_per_s: connections_per_s * 9,
            packets_out_per_s: connections_per_s * 11,
            bytes_in_per_s: connections_per_s * 1200,
            bytes_out_per_s: connections_per_s * 125_000,
            ..Traffic::default()
        };
        Member {
            name: name.into(),
            address: "10.0.0.11:80".into(),
            state: state.into(),
            weight: (state != "down").then_some(1),
            active_connections: connections_per_s * 3,
            inactive_connections: 12,
            traffic,
            why: if state == "down" { "connection refused".into() } else { String::new() },
        }
    }

    fn view() -> View {
        let servers =
            vec![member("web1", "up", 420), member("web2", "up", 17), member("web3", "down", 0)];
        let traffic = servers.iter().fold(Traffic::default(), |sum, one| sum.plus(&one.traffic));
        View {
            node: "lb1".into(),
            version: "0.1.0".into(),
            uptime_s: 93_600,
            vrrp: vec![Role {
                name: "edge".into(),
                state: "active".into(),
                since_s: 130,
                priority: 150,
                why: "the active router is gone".into(),
            }],
            services: vec![Pool {
                name: "web".into(),
                listen: vec!["tcp 192.0.2.10:80".into()],
                up: 2,
                quorum: "up".into(),
                weight_scale: 1,
                active_connections: 1311,
                inactive_connections: 36,
                traffic,
                servers,
            }],
        }
    }

    #[test]
    fn everything_without_a_terminal() {
        let view = view();
        let text = screen(&Screen { view: Some(&view), problem: None, size: None });
        assert_eq!(text, WHOLE);
    }

    /// A slow start's steps, which the kernel has in hundredths.
    #[test]
    fn weights_are_those_of_the_configuration() {
        let mut view = view();
        if let Some(pool) = view.services.first_mut() {
            pool.weight_scale = 100;
            for (server, weight) in pool.servers.iter_mut().zip([100, 7]) {
                server.weight = Some(weight);
            }
        }
        let text = screen(&Screen { view: Some(&view), problem: None, size: None });
        assert!(
            text.contains("web1   up      1  ") && text.contains("web2   up      0.07"),
            "{text}"
        );
    }

    /// Programs read it (`json_tests.rs`).
    #[test]
    fn what_json_has() {
        insta::assert_snapshot!(format!("{:#}\n", said(None, Some(&view()))));
        let nothing = said(Some("nobody answers"), None).to_string();
        assert_eq!(nothing, r#"{"problem":"nobody answers","view":null}"#);
    }

    #[test]
    fn a_small_window_has_no_more_than_it_can_show() {
        let view = view();
        let text =
            screen(&Screen { view: Some(&view), problem: Some("no answer"), size: Some((40, 8)) });
        assert_eq!(text.lines().count(), 8);
        assert!(text.lines().all(|line| line.chars().count() <= 40), "{text}");
        assert!(text.contains("! no answer") && text.contains("more lines"), "{text}");
        for size in [(1, 1), (1, 2), (2, 1)] {
            let text = screen(&Screen { view: Some(&view), problem: None, size: Some(size) });
            assert!(text.lines().count() <= usize::from(size.1));
        }
    }

    #[test]
    fn what_a_server_says_steers_no_terminal() {
        let mut view = view();
        if let Some(server) = view.services.first_mut().and_then(|pool| pool.servers.first_mut()) {
            server.why = "\u{1b}[2Jgone".into();
        }
        let text = screen(&Screen { view: Some(&view), problem: None, size: Some((200, 50)) });
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn before_the_first_answer_there_is_the_problem_alone() {
        let text =
            screen(&Screen { view: None, problem: Some("nobody answers"), size: Some((80, 24)) });
        assert_eq!(text, "! nobody answers\n");
    }

    #[test]
    fn numbers_are_short() {
        let shown = [0, 9_999, 10_000, 12_345_678, 99_999_999_999].map(short);
        assert_eq!(shown, ["0", "9999", "10k", "12M", "99G"].map(ToOwned::to_owned));
    }
}
