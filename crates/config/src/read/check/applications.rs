//! The checks that speak an application's protocol.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::time::Duration;

use crate::code::Code;
use crate::defaults;
use crate::diagnostic::{Problem, Spot};
use crate::model::{
    DnsCheck, GrpcCheck, Login, MysqlCheck, PostgresCheck, RedisCheck, Role, SecretFrom, SmtpCheck,
    Talk, Tls, UdpCheck,
};
use crate::raw::Node;
use crate::reader::{Cursor, Fields, Reader};
use crate::text::Fault;

use super::network;

/// The types that can be asked for (RFC 1035 §3.2.2 and the registry of DNS parameters).
const RECORDS: [(&str, u16); 17] = [
    ("A", 1),
    ("NS", 2),
    ("CNAME", 5),
    ("SOA", 6),
    ("PTR", 12),
    ("MX", 15),
    ("TXT", 16),
    ("AAAA", 28),
    ("SRV", 33),
    ("NAPTR", 35),
    ("DS", 43),
    ("RRSIG", 46),
    ("DNSKEY", 48),
    ("TLSA", 52),
    ("SVCB", 64),
    ("HTTPS", 65),
    ("CAA", 257),
];
/// Those whose values can be compared.
const COMPARED: [&str; 9] = ["A", "NS", "CNAME", "PTR", "MX", "TXT", "AAAA", "SRV", "SOA"];
const MX: &str = "a preference and a name: `10 mail.example.org`";
const SRV: &str = "priority, weight, port and a name: `1 2 80 www.example.org`";
const SOA: &str = "primary, mailbox and serial number: `ns.example.org admin.example.org 7`";
/// RFC 1035 §4.1.1, RFC 2136 §2.2.
const RCODES: [(&str, u16); 7] = [
    ("noerror", 0),
    ("formerr", 1),
    ("servfail", 2),
    ("nxdomain", 3),
    ("notimp", 4),
    ("refused", 5),
    ("notauth", 9),
];

pub(super) fn udp<'a>(reader: &mut Reader<'a>, fields: &Fields<'a>, pattern: &str) -> Talk {
    let bytes = network::bytes(reader, fields, pattern);
    let reply = fields.get("reply").and_then(|cursor| reader.boolean(&cursor));
    if let (Some(false), Some(expect)) = (reply, fields.get("expect")) {
        let problem = Problem::new(Code::Conflict, "what is expected has to come")
            .at(Spot::Value(fields.path.key("reply")), "")
            .also(Spot::Key(expect.path), "")
            .help("remove one of the two");
        reader.problems.push(problem);
    }
    let reply = reply.unwrap_or_else(|| bytes.expect.is_some());
    Talk::Udp(UdpCheck { bytes, reply })
}

pub(super) fn dns<'a>(reader: &mut Reader<'a>, fields: &Fields<'a>) -> Talk {
    let name = fields.get("name").and_then(|cursor| {
        let text = reader.text(&cursor)?;
        let name = text.strip_suffix('.').unwrap_or(text);
        let label = |label: &str| {
            (1..=63).contains(&label.len()) && label.chars().all(|c| c.is_ascii_graphic() && c != '\\')
        };
        if name.is_empty() || name.len() <= 253 && name.split('.').all(label) {
            return Some(name.to_owned());
        }
        let fault = Fault::new(Code::BadCheckValue, format!("{text:?} can't be a name of the DNS"))
            .help("labels of 1 to 63 visible ASCII characters, 253 together: `www.example.org`; `.` is the root");
        reader.fault(&cursor.path, fault);
        None
    });
    let record = fields.get("type").and_then(|cursor| {
        let words = RECORDS.map(|record| (record.0, record));
        reader.word(&cursor, &words)
    });
    let transports = [("udp", false), ("tcp", true)];
    let tcp = fields.get("transport").and_then(|cursor| reader.word(&cursor, &transports));
    let codes = RCODES.map(|code| (code.0, code));
    let rcodes = fields.get("rcode").map(|cursor| {
        let items = reader.one_or_list(&cursor, RCODES.len());
        if items.is_empty() && matches!(cursor.node, Node::List(_)) {
            let problem = Problem::new(Code::EmptyList, "no answer would ever pass")
                .at(Spot::Value(cursor.path.clone()), "");
            reader.problems.push(problem);
        }
        items.iter().filter_map(|item| reader.word(item, &codes)).collect()
    });
    // Of a type that can't be read nobody knows the values.
    let wanted = fields.get("answer").filter(|_| record.is_some() || fields.get("type").is_none());
    let record = record.unwrap_or(("SOA", 6));
    let answer = wanted.map_or_else(Vec::new, |cursor| answer(reader, &cursor, record.0));
    Talk::Dns(DnsCheck {
        name: name.unwrap_or_default(),
        record,
        tcp: tcp.unwrap_or(false),
        rcodes: rcodes.unwrap_or_else(|| vec![("noerror", 0)]),
        answer,
    })
}

fn answer<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>, record: &str) -> Vec<String> {
    if !COMPARED.contains(&record) {
        let fault = Fault::new(
            Code::BadCheckValue,
            format!("values of the type {record} are not compared"),
        )
        .help(format!("those of {} are", crate::suggest::list(COMPARED.iter().copied())));
        reader.fault(&cursor.path, fault);
        return vec![];
    }
    let mut values = vec![];
    for item in reader.one_or_list(cursor, defaults::DNS_ANSWER_MAX) {
        let Some(text) = reader.text(&item) else { continue };
        match form(record, text) {
            None => values.push(text.to_owned()),
            Some(form) => {
                let message =
                    format!("{text:?} can't be the value of a record of the type {record}");
                let fault = Fault::new(Code::BadCheckValue, message)
                    .help(format!("no answer would ever pass: it is {form}"));
                reader.fault(&item.path, fault);
            }
        }
    }
    values
}

/// Whether `word` is a number as an answer has it: no sign and no zero before it.
fn is<N: FromStr + ToString>(word: &str) -> bool {
    word.parse::<N>().is_ok_and(|number| number.to_string() == word)
}

/// What a value of `record` looks like; none when `text` does.
fn form(record: &str, text: &str) -> Option<&'static str> {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let number = is::<u16>;
    let (fits, form) = match (record, words.as_slice()) {
        ("A", _) => (text.parse::<Ipv4Addr>().is_ok(), "an IPv4 address: `192.0.2.1`"),
        ("AAAA", _) => (text.parse::<Ipv6Addr>().is_ok(), "an IPv6 address: `2001:db8::1`"),
        ("TXT", _) => (true, ""),
        ("MX", [preference, _]) => (number(preference), MX),
        ("MX", _) => (false, MX),
        ("SRV", [numbers @ .., _]) => {
            (numbers.len() == 3 && numbers.iter().all(|n| number(n)), SRV)
        }
        ("SOA", [_, _, serial]) => (is::<u32>(serial), SOA),
        ("SOA", _) => (false, SOA),
        (_name, words) => (words.len() == 1, "a name: `www.example.org`"),
    };
    (!fits).then_some(form)
}

pub(super) fn redis<'a>(reader: &mut Reader<'a>, fields: &Fields<'a>, pattern: &str) -> Talk {
    let login = login(reader, fields);
    let keys = ["password_file", "password_credential"];
    if login.user.is_some() && keys.iter().all(|key| fields.get(key).is_none()) {
        reader.missing(&fields.path, "password_file", "a user of Redis logs in with a password");
    }
    Talk::Redis(RedisCheck { login, role: role(reader, fields), tls: tls(reader, fields, pattern) })
}

pub(super) fn mysql<'a>(reader: &mut Reader<'a>, fields: &Fields<'a>) -> Talk {
    let range = (Duration::from_secs(1), defaults::LAG_MAX);
    let max_lag = fields.get("max_lag").and_then(|cursor| reader.duration(&cursor, range));
    needs_user(reader, fields, &["password_file", "password_credential", "role", "max_lag"]);
    Talk::Mysql(MysqlCheck { login: login(reader, fields), role: role(reader, fields), max_lag })
}

pub(super) fn postgres<'a>(reader: &mut Reader<'a>, fields: &Fields<'a>, pattern: &str) -> Talk {
    needs_user(reader, fields, &["password_file", "password_credential", "role", "database"]);
    Talk::Postgres(PostgresCheck {
        login: login(reader, fields),
        database: word(reader, fields, "database"),
        role: role(reader, fields),
        tls: tls(reader, fields, pattern),
    })
}

pub(super) fn smtp<'a>(reader: &mut Reader<'a>, fields: &Fields<'a>, pattern: &str) -> Talk {
    let hello = fields.get("hello").and_then(|cursor| {
        let name = reader.text(&cursor)?;
        if network::is_host_name(name) {
            return Some(name.to_owned());
        }
        let fault = Fault::new(Code::BadCheckValue, format!("{name:?} can't be said in EHLO"))
            .help("it is a host name: `lb1.example.org`");
        reader.fault(&cursor.path, fault);
        None
    });
    let starttls = fields.get("starttls");
    let starttls =
        starttls.and_then(|cursor| network::tls(reader, &cursor, &format!("{pattern}.starttls")));
    Talk::Smtp(SmtpCheck {
        hello: hello.unwrap_or_else(|| defaults::SMTP_HELLO.to_owned()),
        starttls,
    })
}

pub(super) fn grpc<'a>(reader: &mut Reader<'a>, fields: &Fields<'a>, pattern: &str) -> Talk {
    let host = fields.get("host").and_then(|cursor| super::http::host(reader, &cursor));
    Talk::Grpc(GrpcCheck {
        service: word(reader, fields, "service").unwrap_or_default(),
        host,
        tls: tls(reader, fields, pattern),
    })
}

pub(super) fn agent<'a>(reader: &mut Reader<'a>, fields: &Fields<'a>, pattern: &str) -> Talk {
    if fields.get("port").is_none() {
        reader.missing(
            &fields.path,
            "port",
            "the agent listens on a port of its own: `port: 9777`",
        );
    }
    Talk::Agent { send: network::bytes(reader, fields, pattern).send }
}

fn tls<'a>(reader: &mut Reader<'a>, fields: &Fields<'a>, pattern: &str) -> Option<Tls> {
    let cursor = fields.get("tls")?;
    network::tls(reader, &cursor, &format!("{pattern}.tls"))
}

fn role<'a>(reader: &mut Reader<'a>, fields: &Fields<'a>) -> Option<Role> {
    let words = [("primary", Role::Primary), ("replica", Role::Replica)];
    fields.get("role").and_then(|cursor| reader.word(&cursor, &words))
}

fn login<'a>(reader: &mut Reader<'a>, fields: &Fields<'a>) -> Login {
    Login { user: word(reader, fields, "user"), password: password(reader, fields) }
}

/// Where the password of a login is: in a file, or in a credential of the service manager.
fn password<'a>(reader: &mut Reader<'a>, fields: &Fields<'a>) -> Option<SecretFrom> {
    let (file, credential) = (fields.get("password_file"), fields.get("password_credential"));
    if file.is_some() && credential.is_some() {
        let message = "`password_file` and `password_credential`: there is one password";
        let problem = Problem::new(Code::Conflict, message.to_owned())
            .at(Spot::Key(fields.path.key("password_credential")), "")
            .also(Spot::Key(fields.path.key("password_file")), "")
            .help("remove one of them");
        reader.problems.push(problem);
        return None;
    }
    match credential {
        Some(cursor) => crate::read::credential(reader, &cursor),
        None => network::file(reader, fields, "password_file").map(SecretFrom::File),
    }
}

/// Keys that mean nothing to who does not log in.
fn needs_user<'a>(reader: &mut Reader<'a>, fields: &Fields<'a>, keys: &[&str]) {
    if fields.get("user").is_some() {
        return;
    }
    if let Some(key) = keys.iter().find(|key| fields.get(key).is_some()) {
        reader.missing(&fields.path, "user", &format!("`{key}` needs a login: `user: monitor`"));
    }
}

/// A name that is sent, of 1 to 255 characters without control characters.
fn word<'a>(reader: &mut Reader<'a>, fields: &Fields<'a>, key: &str) -> Option<String> {
    let cursor = fields.get(key)?;
    let text = reader.text(&cursor)?;
    if (1..=255).contains(&text.len()) && !text.chars().any(char::is_control) {
        return Some(text.to_owned());
    }
    let fault = Fault::new(
        Code::BadCheckValue,
        format!("`{key}` has 1 to 255 bytes and no control characters"),
    );
    reader.fault(&cursor.path, fault);
    None
}
