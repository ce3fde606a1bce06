//! What checks over the network have in common: the way, bytes to send and to expect, TLS.

use std::net::IpAddr;
use std::path::PathBuf;

use crate::code::Code;
use crate::defaults;
use crate::diagnostic::{Problem, Spot};
use crate::model::{Bytes, Expect, Tls, Way};
use crate::pattern::Pattern;
use crate::raw::Node;
use crate::read::instance;
use crate::reader::{Cursor, Fields, Reader};
use crate::text::{self, Fault};

/// The keys `port`, `address`, `source`, `device` and `mark`.
pub(super) fn way<'a>(reader: &mut Reader<'a>, fields: &Fields<'a>) -> Way {
    let address = host(reader, fields, "address", "a check's target");
    let source = host(reader, fields, "source", "a check's source");
    if let (Some(to), Some(from)) = (address, source)
        && to.is_ipv4() != from.is_ipv4()
    {
        let problem =
            Problem::new(Code::CheckFamily, format!("no packet goes from {from} to {to}"))
                .at(Spot::Value(fields.path.key("source")), "")
                .also(Spot::Value(fields.path.key("address")), "of the other family")
                .help("a check's source is of the family of its target");
        reader.problems.push(problem);
    }
    Way {
        address,
        port: super::port(reader, fields),
        source,
        device: fields.get("device").and_then(|cursor| instance::interface(reader, &cursor)),
        mark: fields.get("mark").and_then(|cursor| {
            reader.integer(&cursor, 1..=u32::MAX, "a mark has 32 bits; 0 is none")
        }),
    }
}

fn host<'a>(reader: &mut Reader<'a>, fields: &Fields<'a>, key: &str, role: &str) -> Option<IpAddr> {
    let cursor = fields.get(key)?;
    let text = reader.text(&cursor)?;
    text::host(text, role).map_err(|fault| reader.fault(&cursor.path, fault)).ok()
}

/// The keys `send` and `expect` of the check at `pattern`.
pub(super) fn bytes<'a>(reader: &mut Reader<'a>, fields: &Fields<'a>, pattern: &str) -> Bytes {
    let send = fields.get("send").and_then(|cursor| match cursor.node {
        Node::Mapping(_) => {
            let fields = reader.fields(&cursor, &format!("{pattern}.send"))?;
            hex(reader, &fields)
        }
        Node::Text(_)
        | Node::Null
        | Node::Bool(_)
        | Node::Integer(_)
        | Node::Float
        | Node::List(_) => literal(reader, &cursor),
    });
    let expect = fields.get("expect");
    Bytes {
        send,
        expect: expect
            .and_then(|cursor| self::expect(reader, &cursor, &format!("{pattern}.expect"))),
    }
}

/// Bytes as text.
fn literal<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>) -> Option<Vec<u8>> {
    let text = reader.text(cursor)?;
    within_limit(reader, cursor, text.as_bytes().to_vec())
}

fn within_limit(reader: &mut Reader<'_>, cursor: &Cursor<'_>, bytes: Vec<u8>) -> Option<Vec<u8>> {
    if bytes.len() <= defaults::PAYLOAD_MAX {
        return Some(bytes);
    }
    let (count, limit) = (bytes.len(), defaults::PAYLOAD_MAX);
    reader.fault(
        &cursor.path,
        Fault::new(Code::BadCheckValue, format!("{count} bytes; the limit is {limit}")),
    );
    None
}

/// The key `hex`.
fn hex<'a>(reader: &mut Reader<'a>, fields: &Fields<'a>) -> Option<Vec<u8>> {
    let Some(cursor) = fields.get("hex") else {
        reader.missing(&fields.path, "hex", "`{hex: \"00 ff\"}`");
        return None;
    };
    let text = reader.text(&cursor)?;
    match unhex(text) {
        Some(bytes) => within_limit(reader, &cursor, bytes),
        None => {
            let fault =
                Fault::new(Code::BadCheckValue, "these are not bytes in hexadecimal digits")
                    .help("write two digits a byte, with spaces where you like: `\"00 ff 0a\"`");
            reader.fault(&cursor.path, fault);
            None
        }
    }
}

/// Pairs of hexadecimal digits, with blanks between them or not.
fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    let pairs = digits?;
    let pairs = pairs.chunks(2).map(|pair| match pair {
        [high, low] => Some(high << 4 | low),
        _ => None,
    });
    pairs.collect::<Option<Vec<u8>>>().filter(|bytes| !bytes.is_empty())
}

/// What is expected, in one of the forms whose keys the reference has at `pattern`: text that must be contained, `{regex: …}`,
/// `{hex: …}`, `{sha256: …}`.
pub(super) fn expect<'a>(
    reader: &mut Reader<'a>,
    cursor: &Cursor<'a>,
    pattern: &str,
) -> Option<Expect> {
    if !matches!(cursor.node, Node::Mapping(_)) {
        return literal(reader, cursor).map(Expect::Contains);
    }
    let fields = reader.fields(cursor, pattern)?;
    let forms: Vec<_> = ["regex", "hex", "sha256"]
        .into_iter()
        .filter_map(|key| Some((key, fields.get(key)?)))
        .collect();
    match forms.as_slice() {
        [("hex", _)] => hex(reader, &fields).map(Expect::Contains),
        [("regex", cursor)] => regex(reader, cursor).map(Expect::Matches),
        [(_, cursor)] => sha256(reader, cursor),
        [] => {
            let keys = crate::suggest::list(crate::reference::children(pattern));
            let problem = Problem::new(
                Code::MissingKey,
                format!("`{}` says not what is expected", fields.path),
            )
            .at(Spot::Key(fields.path.clone()), "")
            .help(format!("write text that has to be contained, or one of {keys}"));
            reader.problems.push(problem);
            None
        }
        [(_, first), (_, second), ..] => {
            let problem = Problem::new(Code::Conflict, "one thing is expected at a time")
                .at(Spot::Key(second.path.clone()), "this is the second")
                .also(Spot::Key(first.path.clone()), "")
                .help("make two checks; all must pass");
            reader.problems.push(problem);
            None
        }
    }
}

fn regex<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>) -> Option<Pattern> {
    let text = reader.text(cursor)?;
    Pattern::new(text)
        .map_err(|why| {
            let fault =
                Fault::new(Code::BadPattern, format!("the pattern can't be compiled: {why}"))
                    .help("the syntax is that of RE2: without look-around and back-references");
            reader.fault(&cursor.path, fault);
        })
        .ok()
}

fn sha256<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>) -> Option<Expect> {
    let text = reader.text(cursor)?;
    let hash = unhex(text).and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    if hash.is_none() {
        let fault = Fault::new(Code::BadCheckValue, "this is not a SHA-256 hash")
            .help("it has 64 hexadecimal digits: `curl -s URL | sha256sum` prints it");
        reader.fault(&cursor.path, fault);
    }
    hash.map(Expect::Sha256)
}

/// The mapping of TLS at `cursor`, whose keys the reference has at `pattern`.
pub(super) fn tls<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>, pattern: &str) -> Option<Tls> {
    let fields = reader.fields(cursor, pattern)?;
    Some(tls_of(reader, &fields))
}

/// TLS as the keys of `fields` have it.
pub(super) fn tls_of<'a>(reader: &mut Reader<'a>, fields: &Fields<'a>) -> Tls {
    let verify = fields.get("verify").and_then(|cursor| reader.boolean(&cursor)).unwrap_or(true);
    let ca = file(reader, fields, "ca");
    if let Some(path) = fields.get("ca").map(|cursor| cursor.path).filter(|_| !verify) {
        let problem = Problem::new(Code::Conflict, "`ca` does nothing with `verify: false`")
            .at(Spot::Key(path), "")
            .also(Spot::Value(fields.path.key("verify")), "no certificate is looked at")
            .help("remove one of the two");
        reader.problems.push(problem);
    }
    let certificate = file(reader, fields, "certificate");
    let key = file(reader, fields, "key");
    for (one, other) in [("certificate", "key"), ("key", "certificate")] {
        if fields.get(one).is_some() && fields.get(other).is_none() {
            reader.missing(&fields.path, other, "a certificate and its key go together");
        }
    }
    let name = fields.get("name").and_then(|cursor| {
        let name = reader.text(&cursor)?;
        let fault = || {
            Fault::new(Code::BadCheckValue, format!("{name:?} can't be the name of a TLS server"))
                .help("it is a host name such as `www.example.org`, or an address")
        };
        let fits = is_host_name(name) || name.parse::<IpAddr>().is_ok();
        fits.then(|| name.to_owned()).ok_or_else(|| reader.fault(&cursor.path, fault())).ok()
    });
    let warn_days = fields
        .get("warn_days")
        .and_then(|cursor| reader.integer(&cursor, 0..=3650, "days; 0: never"));
    Tls {
        verify,
        ca,
        identity: certificate.zip(key),
        name,
        warn_days: warn_days.unwrap_or(defaults::TLS_WARN_DAYS),
    }
}

/// Whether `name` is one that a certificate can have (RFC 1123 §2.1).
pub(in crate::read) fn is_host_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

/// The absolute path of a file at `key`.
pub(super) fn file<'a>(reader: &mut Reader<'a>, fields: &Fields<'a>, key: &str) -> Option<PathBuf> {
    let cursor = fields.get(key)?;
    let text = reader.text(&cursor)?;
    if text.starts_with('/') && !text.contains('\0') {
        return Some(text.into());
    }
    let fault = Fault::new(Code::BadPath, format!("`{key}` needs the absolute path of a file"));
    reader.fault(&cursor.path, fault);
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_digits_come_in_pairs() {
        assert_eq!(unhex("00 fF0a"), Some(vec![0, 255, 10]));
        for text in ["", " ", "0", "00 f", "0x00", "zz", "٠٠"] {
            assert_eq!(unhex(text), None, "{text}");
        }
    }

    #[test]
    fn names_of_servers_are_host_names() {
        for name in ["a", "www.example.org", "x-1.y", "_x.y"] {
            assert!(is_host_name(name), "{name}");
        }
        for name in
            ["", ".", "a..b", "-a", "a-", "a b", "a.b.", "ä", &"a".repeat(64), &"a.".repeat(127)]
        {
            assert!(!is_host_name(name), "{name}");
        }
    }
}
