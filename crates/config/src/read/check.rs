//! The keys `check` and `checks`, which stand at services and at real servers.

mod applications;
mod http;
mod local;
mod network;

pub(super) use network::is_host_name;

use std::sync::Arc;
use std::time::Duration;

use holdfast_health::{Combine, Policy};

use crate::code::Code;
use crate::defaults;
use crate::diagnostic::{Problem, Spot};
use crate::model::{Check, CheckKind, NetworkCheck, Talk};
use crate::raw::Node;
use crate::reader::{Cursor, Fields, Reader};
use crate::suggest;
use crate::text::{self, Fault};

const PATTERN: &str = "services.NAME.check";
/// What a check may try: its keys besides those of the policy.
const KINDS: [&str; 17] = [
    "tcp",
    "tls",
    "http",
    "https",
    "icmp",
    "udp",
    "dns",
    "redis",
    "memcached",
    "mysql",
    "postgres",
    "smtp",
    "grpc",
    "agent",
    "exec",
    "file",
    "bfd",
];

/// The checks of a service or server, and how they are put together; none when it says nothing of them.
pub(super) fn checks<'a>(
    reader: &mut Reader<'a>,
    fields: &Fields<'a>,
    script_timeout: Duration,
) -> Option<(Vec<Arc<Check>>, Combine)> {
    match (fields.get("check"), fields.get("checks")) {
        (None, None) => None,
        (Some(one), None) => {
            let check = check(reader, &one, script_timeout);
            Some((check.into_iter().map(Arc::new).collect(), Combine::All))
        }
        (None, Some(list)) => {
            let (list, combine) = combined(reader, list)?;
            let items = reader.list(&list, defaults::CHECKS_MAX)?;
            let checks = items.iter().filter_map(|item| check(reader, item, script_timeout));
            Some((checks.map(Arc::new).collect(), combine))
        }
        (Some(one), Some(list)) => {
            let problem = Problem::new(
                Code::Conflict,
                format!("`{}` has both `check` and `checks`", fields.path),
            )
            .at(Spot::Key(list.path), "")
            .also(Spot::Key(one.path), "")
            .help("put all of them into `checks`");
            reader.problems.push(problem);
            None
        }
    }
}

/// The list of `checks`, which may be below `all` or `any`.
fn combined<'a>(reader: &mut Reader<'a>, checks: Cursor<'a>) -> Option<(Cursor<'a>, Combine)> {
    if !matches!(checks.node, Node::Mapping(_)) {
        return Some((checks, Combine::All));
    }
    let fields = reader.fields(&checks, "services.NAME.checks")?;
    match (fields.get("all"), fields.get("any")) {
        (Some(all), None) => Some((all, Combine::All)),
        (None, Some(any)) => Some((any, Combine::Any)),
        (Some(all), Some(any)) => {
            let problem = Problem::new(Code::Conflict, "checks are put together in one way")
                .at(Spot::Key(any.path), "this is the second")
                .also(Spot::Key(all.path), "")
                .help("`all`: every check must pass; `any`: one that passes suffices");
            reader.problems.push(problem);
            None
        }
        (None, None) => {
            reader.missing(&fields.path, "any", "`checks: {any: [{tcp: {}}, {http: {}}]}`");
            None
        }
    }
}

fn check<'a>(
    reader: &mut Reader<'a>,
    cursor: &Cursor<'a>,
    script_timeout: Duration,
) -> Option<Check> {
    let fields = reader.fields(cursor, PATTERN)?;
    let kinds: Vec<_> =
        KINDS.iter().copied().filter_map(|kind| Some((kind, fields.get(kind)?))).collect();
    let default = match kinds.first() {
        Some(("exec", _)) => Policy { timeout: script_timeout, ..defaults::CHECK },
        Some(("file" | "bfd", _)) => defaults::SAID,
        _ => defaults::CHECK,
    };
    let policy = policy(reader, &fields, default);
    let kind = match kinds.as_slice() {
        [("exec", cursor)] => local::exec(reader, cursor),
        [("file", cursor)] => local::file(reader, cursor),
        [("bfd", cursor)] => local::bfd(reader, cursor),
        [(kind, cursor)] => network_check(reader, cursor, kind),
        [] => {
            let message = format!("`{}` says not what is tried", fields.path);
            let problem = Problem::new(Code::MissingKey, message)
                .at(Spot::Key(fields.path.clone()), "")
                .help(format!(
                    "add one of {}, for instance `tcp: {{}}`",
                    suggest::list(KINDS.iter().copied())
                ));
            reader.problems.push(problem);
            None
        }
        [(_, first), (_, second), ..] => {
            let problem = Problem::new(Code::Conflict, "a check tries one thing")
                .at(Spot::Key(second.path.clone()), "this is the second")
                .also(Spot::Key(first.path.clone()), "")
                .help("make two checks: `checks: [{tcp: {}}, {http: {}}]`, or under `any` where one suffices");
            reader.problems.push(problem);
            None
        }
    };
    Some(Check { kind: kind?, policy: Arc::new(policy) })
}

/// The keys `interval`, `fast_interval`, `down_interval`, `spread`, `timeout`, `rise` and `fall`; `default` holds where they are silent, its timeout for at most half of
/// the interval.
pub(super) fn policy<'a>(reader: &mut Reader<'a>, fields: &Fields<'a>, default: Policy) -> Policy {
    let interval =
        fields.get("interval").and_then(|cursor| reader.duration(&cursor, defaults::PERIOD));
    let interval = interval.unwrap_or(default.interval);
    let range = (Duration::from_millis(1), defaults::PERIOD.1);
    let written = fields.get("timeout");
    let timeout = written.as_ref().and_then(|cursor| reader.duration(cursor, range));
    if timeout.is_some_and(|timeout| timeout >= interval) {
        let path = fields.path.key("timeout");
        let mut problem = Problem::new(
            Code::CheckTimeout,
            format!(
                "a timeout of {} is not shorter than the interval of {}",
                text::short(timeout.unwrap_or_default()),
                text::short(interval),
            ),
        )
        .at(Spot::Value(path), "")
        .help(format!("choose a timeout below {}, or a longer interval", text::short(interval)));
        if fields.get("interval").is_some() {
            problem = problem
                .also(Spot::Value(fields.path.key("interval")), "the next run would begin here");
        }
        reader.problems.push(problem);
    }
    let (fast_interval, down_interval, spread) = paces(reader, fields, interval);
    let mut count = |key: &str, default: u32| {
        let read = fields
            .get(key)
            .and_then(|cursor| reader.integer(&cursor, 1..=255, "outcomes in a row"));
        read.unwrap_or(default)
    };
    Policy {
        interval,
        timeout: timeout.unwrap_or_else(|| default.timeout.min(interval / 2)),
        rise: count("rise", default.rise),
        fall: count("fall", default.fall),
        fast_interval,
        down_interval,
        spread,
    }
}

/// The intervals of a server that changes and of one that is down, and how long the first runs are spread.
fn paces<'a>(
    reader: &mut Reader<'a>,
    fields: &Fields<'a>,
    interval: Duration,
) -> (Option<Duration>, Option<Duration>, Option<Duration>) {
    let mut read = |key: &str, range| {
        let cursor = fields.get(key)?;
        reader.duration(&cursor, range)
    };
    let (fast, down) =
        (read("fast_interval", defaults::PERIOD), read("down_interval", defaults::PERIOD));
    let spread = read("spread", defaults::SPREAD);
    if let Some(fast) = fast.filter(|fast| *fast >= interval) {
        let message = format!(
            "a `fast_interval` of {} is not shorter than the `interval` of {}",
            text::short(fast),
            text::short(interval)
        );
        let mut problem = Problem::new(Code::FastInterval, message)
            .at(Spot::Value(fields.path.key("fast_interval")), "")
            .help(format!("choose less than {}, or remove it", text::short(interval)));
        if fields.get("interval").is_some() {
            problem = problem.also(Spot::Value(fields.path.key("interval")), "");
        }
        reader.problems.push(problem);
    }
    (fast, down, spread)
}

/// A check of `kind`, over the network.
fn network_check<'a>(
    reader: &mut Reader<'a>,
    cursor: &Cursor<'a>,
    kind: &str,
) -> Option<CheckKind> {
    let pattern = format!("{PATTERN}.{kind}");
    let fields = reader.fields(cursor, &pattern)?;
    let way = network::way(reader, &fields);
    let talk = match kind {
        "tls" => Talk::Tls(network::tls_of(reader, &fields)),
        "http" => http::http(reader, &fields),
        "https" => http::https(reader, &fields),
        "icmp" => Talk::Icmp,
        "udp" => applications::udp(reader, &fields, &pattern),
        "dns" => applications::dns(reader, &fields),
        "redis" => applications::redis(reader, &fields, &pattern),
        "memcached" => Talk::Memcached,
        "mysql" => applications::mysql(reader, &fields),
        "postgres" => applications::postgres(reader, &fields, &pattern),
        "smtp" => applications::smtp(reader, &fields, &pattern),
        "grpc" => applications::grpc(reader, &fields, &pattern),
        "agent" => applications::agent(reader, &fields, &pattern),
        _tcp => Talk::Tcp(network::bytes(reader, &fields, &pattern)),
    };
    Some(CheckKind::Network(Arc::new(NetworkCheck { way, talk })))
}

/// The key `port` of a check or tunnel.
pub(super) fn port<'a>(reader: &mut Reader<'a>, fields: &Fields<'a>) -> Option<u16> {
    fields.get("port").and_then(|cursor| reader.integer(&cursor, 1..=65535, ""))
}

/// The key `command`: a program's absolute path and its arguments.
pub(super) fn command<'a>(reader: &mut Reader<'a>, fields: &Fields<'a>) -> Option<Vec<String>> {
    let Some(command) = fields.get("command") else {
        reader.missing(&fields.path, "command", "`command: [/path/to/program, argument]`");
        return None;
    };
    if let Node::Text(text) = command.node {
        let words: Vec<_> = text.split_whitespace().collect();
        let help =
            format!("there is no shell to split it: write `command: [{}]`", words.join(", "));
        reader.wrong_type(&command, "a list", Some(&help));
        return None;
    }
    let items = reader.list(&command, defaults::COMMAND_MAX)?;
    let mut words = vec![];
    for item in &items {
        let Some(word) = reader.text(item) else { continue };
        if word.contains('\0') {
            reader.fault(
                &item.path,
                Fault::new(Code::ControlCharacter, "an argument can't have a NUL"),
            );
        }
        words.push(word.to_owned());
    }
    let Some(program) = items.first() else {
        let problem = Problem::new(Code::EmptyList, "the command is empty")
            .at(Spot::Value(command.path), "")
            .help("name a program by its absolute path");
        reader.problems.push(problem);
        return None;
    };
    let path = words.first().filter(|_| words.len() == items.len())?;
    if !path.starts_with('/') {
        let fault = Fault::new(Code::BadPath, format!("`{path}` is not an absolute path")).help(
            "commands are run without a search path: `command: [/usr/bin/program, argument]`",
        );
        reader.fault(&program.path, fault);
        return None;
    }
    Some(words)
}
