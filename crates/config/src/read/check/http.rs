//! The checks `http` and `https`.

use crate::code::Code;
use crate::defaults;
use crate::diagnostic::{Problem, Spot};
use crate::model::{HttpCheck, Talk, Tls};
use crate::path::Path;
use crate::raw::Node;
use crate::reader::{Cursor, Fields, Reader};
use crate::text::{self, Fault};

use super::network;

/// Headers that the check itself decides on.
const RESERVED: [&str; 6] =
    ["host", "connection", "content-length", "transfer-encoding", "upgrade", "te"];

pub(super) fn http<'a>(reader: &mut Reader<'a>, fields: &Fields<'a>) -> Talk {
    Talk::Http(request(reader, fields, "services.NAME.check.http", None))
}

pub(super) fn https<'a>(reader: &mut Reader<'a>, fields: &Fields<'a>) -> Talk {
    let pattern = "services.NAME.check.https";
    let written = fields.get("tls");
    let tls = written.and_then(|cursor| network::tls(reader, &cursor, &format!("{pattern}.tls")));
    let none = Fields::none(fields.path.key("tls"));
    let tls = tls.unwrap_or_else(|| network::tls_of(reader, &none));
    Talk::Http(request(reader, fields, pattern, Some(tls)))
}

fn request<'a>(
    reader: &mut Reader<'a>,
    fields: &Fields<'a>,
    pattern: &str,
    tls: Option<Tls>,
) -> HttpCheck {
    let host = fields.get("host").and_then(|cursor| host(reader, &cursor));
    let expect = fields.get("expect").map(|cursor| expect(reader, &cursor));
    let methods = [("GET", "GET"), ("HEAD", "HEAD"), ("OPTIONS", "OPTIONS")];
    let method = fields.get("method").and_then(|cursor| reader.word(&cursor, &methods));
    let body = fields.get("body");
    if let Some(body) = body.as_ref().filter(|_| method == Some("HEAD")) {
        let problem = Problem::new(Code::Conflict, "an answer to HEAD has no body")
            .at(Spot::Key(body.path.clone()), "")
            .also(Spot::Value(fields.path.key("method")), "")
            .help("use GET, or remove `body`");
        reader.problems.push(problem);
    }
    HttpCheck {
        paths: paths(reader, fields),
        method: method.unwrap_or("GET"),
        host,
        headers: fields.get("headers").map_or_else(Vec::new, |cursor| headers(reader, &cursor)),
        expect: expect.unwrap_or_else(|| vec![defaults::HTTP_EXPECT]),
        body: body.and_then(|cursor| network::expect(reader, &cursor, &format!("{pattern}.body"))),
        tls,
    }
}

/// The key `path`: one or a list.
fn paths<'a>(reader: &mut Reader<'a>, fields: &Fields<'a>) -> Vec<String> {
    let Some(cursor) = fields.get("path") else { return vec![defaults::HTTP_PATH.to_owned()] };
    let items = reader.one_or_list(&cursor, defaults::HTTP_PATHS_MAX);
    if items.is_empty() && matches!(cursor.node, Node::List(_)) {
        let problem = Problem::new(Code::EmptyList, "nothing would be asked for")
            .at(Spot::Value(cursor.path.clone()), "");
        reader.problems.push(problem);
    }
    items.iter().filter_map(|item| path(reader, item)).collect()
}

fn path<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>) -> Option<String> {
    let path = reader.text(cursor)?;
    let fits = path.starts_with('/') && path.len() <= 2048 && visible(path) && !path.contains('#');
    let help = "it begins with `/` and has visible ASCII characters only; others are percent-encoded (`%20`)";
    sent(reader, &cursor.path, path, fits, "a request's path", help)
}

pub(super) fn host<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>) -> Option<String> {
    let host = reader.text(cursor)?;
    let fits = (1..=255).contains(&host.len())
        && visible(host)
        && !host.contains(['/', '@', '?', '#', '\\']);
    let help = "it is a name, with a port where that is not the usual one: `www.example.org`";
    sent(reader, &cursor.path, host, fits, "a Host header", help)
}

/// The key `headers`: values by name.
fn headers<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>) -> Vec<(String, String)> {
    let mut headers = vec![];
    for (name, cursor) in reader.entries(cursor, defaults::HTTP_HEADERS_MAX) {
        // RFC 9110 §5.6.2.
        let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        let lower = name.to_ascii_lowercase();
        let fault = if name.is_empty() || name.len() > 255 || !name.chars().all(token) {
            Some(Problem::new(Code::BadHttp, format!("{name:?} can't be a header's name")))
        } else if RESERVED.contains(&lower.as_str()) {
            let problem =
                Problem::new(Code::BadHttp, format!("the header `{name}` is the check's own"));
            Some(if lower == "host" { problem.help("use the key `host`") } else { problem })
        } else {
            None
        };
        if let Some(problem) = fault {
            reader.problems.push(problem.at(Spot::Key(cursor.path), ""));
            continue;
        }
        let Some(value) = reader.text(&cursor) else { continue };
        // No message has it: it may be a token.
        if value.len() > 1024 || !value.chars().all(|c| c == ' ' || c.is_ascii_graphic()) {
            let fault =
                Fault::new(Code::BadHttp, format!("the value of `{name}` can't be a header's"))
                    .help("it has at most 1024 visible ASCII characters and spaces");
            reader.fault(&cursor.path, fault);
            continue;
        }
        headers.push((lower, value.to_owned()));
    }
    headers
}

fn visible(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_graphic())
}

fn sent(
    reader: &mut Reader<'_>,
    path: &Path,
    text: &str,
    fits: bool,
    role: &str,
    help: &str,
) -> Option<String> {
    if fits {
        return Some(text.to_owned());
    }
    reader.fault(path, Fault::new(Code::BadHttp, format!("{text:?} can't be {role}")).help(help));
    None
}

fn expect<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>) -> Vec<(u16, u16)> {
    let mut ranges = vec![];
    let items = reader.one_or_list(cursor, defaults::EXPECT_MAX);
    if items.is_empty() && matches!(cursor.node, Node::List(_)) {
        let problem = Problem::new(Code::EmptyList, "no status would ever pass")
            .at(Spot::Value(cursor.path.clone()), "");
        reader.problems.push(problem);
    }
    for item in items {
        let read = match item.node {
            Node::Integer(status) => text::statuses(&status.to_string()),
            Node::Text(range) => text::statuses(range),
            Node::Null | Node::Bool(_) | Node::Float | Node::List(_) | Node::Mapping(_) => {
                reader.wrong_type(
                    &item,
                    "a status such as 200 or a range such as \"200-299\"",
                    None,
                );
                continue;
            }
        };
        match read {
            Ok(range) => ranges.push(range),
            Err(fault) => reader.fault(&item.path, fault),
        }
    }
    ranges
}
