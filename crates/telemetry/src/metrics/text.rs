//! From OpenMetrics to Prometheus' older text format, which every reader knows. The differences: a counter's family has `_total` in its
//! name, an info is a gauge of `_info`, and there are neither units nor an end.

use std::collections::HashMap;

/// What a family is called, and what it is, in the older format.
fn family<'a>(name: &str, kind: &'a str) -> (String, &'a str) {
    match kind {
        "counter" => (format!("{name}_total"), "counter"),
        "info" => (format!("{name}_info"), "gauge"),
        "unknown" => (name.to_owned(), "untyped"),
        kind => (name.to_owned(), kind),
    }
}

/// `text` of OpenMetrics, as the crate writes it, in the older format.
pub(super) fn from_open_metrics(text: &str) -> String {
    let word = |line: &'_ str, keyword: &str| -> Option<(String, String)> {
        let (name, rest) = line.strip_prefix(keyword)?.split_once(' ')?;
        Some((name.to_owned(), rest.to_owned()))
    };
    let kinds: HashMap<String, String> =
        text.lines().filter_map(|line| word(line, "# TYPE ")).collect();
    let mut old = String::with_capacity(text.len());
    for line in text.lines() {
        let keyword = ["# TYPE ", "# HELP "].into_iter().find(|keyword| line.starts_with(keyword));
        let line = match (keyword, line.starts_with("# ")) {
            (Some(keyword), _) => {
                let Some((name, rest)) = word(line, keyword) else { continue };
                let (family, kind) = family(&name, kinds.get(&name).map_or("", String::as_str));
                let rest = if keyword == "# TYPE " { kind } else { &rest };
                format!("{keyword}{family} {rest}")
            }
            (None, true) => continue,
            (None, false) => line.to_owned(),
        };
        old.push_str(&line);
        old.push('\n');
    }
    old
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_and_infos_have_their_old_names_and_the_rest_stays() {
        let new = "# HELP holdfast_build The version.\n# TYPE holdfast_build info\nholdfast_build_info{version=\"1\"} 1\n\
                   # HELP holdfast_uptime_seconds Time.\n# TYPE holdfast_uptime_seconds gauge\n# UNIT holdfast_uptime_seconds seconds\n\
                   holdfast_uptime_seconds 5\n# HELP holdfast_reloads Reloads.\n# TYPE holdfast_reloads counter\n\
                   holdfast_reloads_total{result=\"applied\"} 2\n# EOF\n";
        assert_eq!(
            from_open_metrics(new),
            "# HELP holdfast_build_info The version.\n# TYPE holdfast_build_info gauge\nholdfast_build_info{version=\"1\"} 1\n\
             # HELP holdfast_uptime_seconds Time.\n# TYPE holdfast_uptime_seconds gauge\nholdfast_uptime_seconds 5\n\
             # HELP holdfast_reloads_total Reloads.\n# TYPE holdfast_reloads_total counter\n\
             holdfast_reloads_total{result=\"applied\"} 2\n"
        );
    }
}
