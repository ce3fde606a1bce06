//! The key `daemon.notifications`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use crate::code::Code;
use crate::defaults;
use crate::diagnostic::{Problem, Spot};
use crate::model::{Name, Notification, Tls, Via, Webhook, WebhookUrl};
use crate::raw::Node;
use crate::reader::{Cursor, Fields, Reader};
use crate::suggest;
use crate::text::Fault;

use super::check;

const NOTIFICATION: &str = "daemon.notifications.NAME";

/// The families of events; a kind begins with one of them and a dot.
const FAMILIES: [&str; 7] = ["vrrp", "group", "server", "service", "discovery", "ipvs", "config"];

/// Those that are told of without `on`: what others change in the kernel's table is put right by itself.
const DEFAULT: [&str; 6] = ["vrrp", "group", "server", "service", "discovery", "config"];

/// `daemon.notifications`; `timeout` holds for those that have none of their own.
pub(super) fn notifications<'a>(
    reader: &mut Reader<'a>,
    cursor: &Cursor<'a>,
    timeout: Duration,
) -> BTreeMap<Name, Notification> {
    let named = reader.named(cursor, "a notification", defaults::NOTIFICATIONS_MAX);
    let read = named.into_iter().filter_map(|(name, cursor)| {
        let read = notification(reader, name.clone(), &cursor, timeout)?;
        Some((name, read))
    });
    read.collect()
}

fn notification<'a>(
    reader: &mut Reader<'a>,
    name: Name,
    cursor: &Cursor<'a>,
    timeout: Duration,
) -> Option<Notification> {
    let fields = reader.fields(cursor, NOTIFICATION)?;
    let written =
        fields.get("timeout").and_then(|cursor| reader.duration(&cursor, defaults::PERIOD));
    let on = match fields.get("on") {
        Some(cursor) => events(reader, &cursor),
        None => DEFAULT.map(str::to_owned).into(),
    };
    let via = match (fields.get("command"), fields.get("webhook")) {
        (Some(_), Some(webhook)) => {
            let problem = Problem::new(Code::Conflict, "a notification has a command or a webhook")
                .at(Spot::Key(webhook.path), "")
                .also(Spot::Key(fields.path.key("command")), "and not both")
                .help("write two entries, each with a name of its own");
            reader.problems.push(problem);
            return None;
        }
        (None, None) => {
            let help = "`webhook: {url: https://…}`, or `command: [/path/to/program]`";
            reader.missing(&fields.path, "webhook", help);
            return None;
        }
        (Some(_), None) => Via::Command(check::command(reader, &fields)?),
        (None, Some(webhook)) => Via::Webhook(Box::new(self::webhook(reader, &webhook)?)),
    };
    Some(Notification { name, on, via, timeout: written.unwrap_or(timeout) })
}

fn events<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>) -> BTreeSet<String> {
    let items = reader.one_or_list(cursor, defaults::EVENTS_MAX);
    if items.is_empty() && matches!(cursor.node, Node::List(_)) {
        let problem = Problem::new(Code::EmptyList, "nothing would ever be told")
            .at(Spot::Value(cursor.path.clone()), "")
            .help("leave `on` out for everything but `ipvs`");
        reader.problems.push(problem);
    }
    items.iter().filter_map(|item| event(reader, item)).collect()
}

fn event<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>) -> Option<String> {
    let text = reader.text(cursor)?;
    let (family, kind) = text.split_once('.').map_or((text, None), |(one, two)| (one, Some(two)));
    let word = |kind: &str| {
        (1..=32).contains(&kind.len())
            && kind.chars().all(|c| c.is_ascii_lowercase() || matches!(c, '_' | '.'))
    };
    if FAMILIES.contains(&family) && kind.is_none_or(word) {
        return Some(text.to_owned());
    }
    let label = suggest::nearest(family, FAMILIES)
        .map_or_else(String::new, |family| format!("did you mean `{family}`?"));
    let problem = Problem::new(Code::UnknownWord, format!("`on` can't be `{text}`"))
        .at(Spot::Value(cursor.path.clone()), label)
        .help(format!(
            "the families of events are {}; a kind is for instance `server.down` (`holdfast events` shows them)",
            suggest::list(FAMILIES)
        ));
    reader.problems.push(problem);
    None
}

fn webhook<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>) -> Option<Webhook> {
    let fields = reader.fields(cursor, "daemon.notifications.NAME.webhook")?;
    let attempts = fields
        .get("attempts")
        .and_then(|cursor| reader.integer(&cursor, 1..=20, "one more each time twice as late"));
    let secret_file = file(reader, &fields, "secret_file");
    let ca = file(reader, &fields, "ca");
    let Some(written) = fields.get("url") else {
        reader.missing(&fields.path, "url", "`url: https://hooks.example.org/holdfast`");
        return None;
    };
    let (url, is_tls) = url(reader, &written)?;
    if let (Some(_), false) = (&ca, is_tls) {
        let problem = Problem::new(Code::Conflict, "`ca` does nothing without https")
            .at(Spot::Key(fields.path.key("ca")), "")
            .help("remove it, or write a `url` with `https://`");
        reader.problems.push(problem);
    }
    let tls = Tls { verify: true, ca, identity: None, name: None, warn_days: 0 };
    Some(Webhook {
        url,
        secret_file,
        attempts: attempts.unwrap_or(defaults::WEBHOOK_ATTEMPTS),
        tls: is_tls.then_some(tls),
    })
}

fn file<'a>(reader: &mut Reader<'a>, fields: &Fields<'a>, key: &str) -> Option<std::path::PathBuf> {
    let cursor = fields.get(key)?;
    super::absolute(reader, &cursor).map(std::path::PathBuf::from)
}

/// Where a POST goes, and whether by TLS. What is wrong is said without the URL, which may have a token in it.
fn url<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>) -> Option<(WebhookUrl, bool)> {
    let text = reader.text(cursor)?;
    let parsed = parse(text);
    if let Err(why) = &parsed {
        let fault = Fault::new(Code::BadUrl, format!("the URL can't be posted to: {why}"))
            .help("for instance `https://hooks.example.org/holdfast`");
        reader.fault(&cursor.path, fault);
    }
    parsed.ok()
}

fn parse(text: &str) -> Result<(WebhookUrl, bool), &'static str> {
    let (is_tls, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
        (Some(rest), _) => (true, rest),
        (None, Some(rest)) => (false, rest),
        (None, None) => return Err("it begins with neither `https://` nor `http://`"),
    };
    if text.len() > defaults::URL_MAX || !text.chars().all(|c| c.is_ascii_graphic()) {
        return Err("it has more than 2048 bytes, or others than the printable ones of ASCII");
    }
    if rest.contains('#') {
        return Err("a fragment (`#`) is for who reads a page");
    }
    let (authority, path) = match rest.find(['/', '?']) {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    if authority.contains('@') {
        return Err("a password in it would be seen: use `secret_file`");
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or("its address has no `]`")?;
            (host, rest.strip_prefix(':').or_else(|| rest.is_empty().then_some("")))
        }
        None => authority
            .split_once(':')
            .map_or((authority, Some("")), |(host, port)| (host, Some(port))),
    };
    let port = match port {
        Some("") => Ok(if is_tls { 443 } else { 80 }),
        Some(port) => port.parse().map_err(|_not_a_number| "its port is none"),
        None => Err("its port is none"),
    }?;
    if port == 0 || !(check::is_host_name(host) || host.parse::<IpAddr>().is_ok()) {
        return Err("its host is neither a name nor an address");
    }
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    Ok((WebhookUrl { host: host.to_owned(), port, path }, is_tls))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart_and_what_can_t_be_posted_to_is_refused() {
        let parsed = |text| {
            let (url, is_tls) = parse(text).unwrap_or_else(|why| panic!("{text}: {why}"));
            (url.host, url.port, url.path, is_tls)
        };
        let is = |host: &str, port, path: &str, tls| (host.to_owned(), port, path.to_owned(), tls);
        assert_eq!(parsed("https://a.example"), is("a.example", 443, "/", true));
        assert_eq!(parsed("http://a.example:8080/x?y=z"), is("a.example", 8080, "/x?y=z", false));
        assert_eq!(parsed("https://[2001:db8::1]:444/x"), is("2001:db8::1", 444, "/x", true));
        assert_eq!(parsed("http://192.0.2.1?q"), is("192.0.2.1", 80, "/?q", false));
        for text in [
            "ftp://a",
            "a.example/x",
            "https://",
            "https:///x",
            "https://a:0/",
            "https://a:x/",
            "https://u:p@a/",
            "https://a/#f",
            "https://a b/",
            "https://[::1",
            "https://[::1]x/",
            "https://ä/",
            "https://a_b!/",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse(&format!("https://a/{}", "x".repeat(3000))).is_err());
        let debug = format!("{:?}", parse("https://a.example/secret-token").unwrap().0);
        assert!(!debug.contains("secret-token"), "{debug}");
    }
}
