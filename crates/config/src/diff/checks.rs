//! Network checks in few words.

use crate::model::{Expect, HttpCheck, NetworkCheck, Talk, Tls, Way};

use super::shown::Shown;

impl Shown for NetworkCheck {
    fn shown(&self) -> String {
        let Self { way, talk } = self;
        let options = match talk {
            Talk::Tcp(bytes) => {
                let send = bytes.send.as_deref().map(|send| format!(" send {:?}", text(send)));
                let expect =
                    bytes.expect.as_ref().map(|expect| format!(" expect {}", expected(expect)));
                [send, expect].into_iter().flatten().collect()
            }
            Talk::Tls(tls) => tls_options(tls),
            Talk::Http(http) => http_options(http),
        };
        format!("{}{}{options}", talk.name(), way_options(way))
    }
}

fn way_options(way: &Way) -> String {
    let Way { address, port, source, device, mark } = way;
    let mut text = String::new();
    if let Some(port) = port {
        text.push_str(&format!(" :{port}"));
    }
    for (key, value) in [
        ("address", address.map(|one| one.to_string())),
        ("source", source.map(|one| one.to_string())),
        ("device", device.clone()),
        ("mark", mark.map(|one| one.to_string())),
    ] {
        if let Some(value) = value {
            text.push_str(&format!(" {key} {value}"));
        }
    }
    text
}

fn tls_options(tls: &Tls) -> String {
    let Tls { verify, ca, identity, name, warn_days } = tls;
    let mut text = format!(" verify {verify}, warn_days {warn_days}");
    let (certificate, key) = identity.clone().unzip();
    for (word, path) in [("ca", ca), ("certificate", &certificate), ("key", &key)] {
        if let Some(path) = path {
            text.push_str(&format!(", {word} {}", path.display()));
        }
    }
    if let Some(name) = name {
        text.push_str(&format!(", name {name}"));
    }
    text
}

fn http_options(http: &HttpCheck) -> String {
    let HttpCheck { paths, method, host, headers, expect, body, tls } = http;
    let ranges: Vec<_> = expect.iter().map(|(low, high)| format!("{low}-{high}")).collect();
    let mut text = format!(" {method} {} expect {}", paths.join(" "), ranges.join(","));
    if let Some(host) = host {
        text.push_str(&format!(" host {host}"));
    }
    // A header may be a token.
    for (name, _) in headers {
        text.push_str(&format!(" header {name}"));
    }
    if let Some(body) = body {
        text.push_str(&format!(" body {}", expected(body)));
    }
    text + &tls.as_ref().map(tls_options).unwrap_or_default()
}

fn expected(expect: &Expect) -> String {
    match expect {
        Expect::Contains(bytes) => format!("{:?}", text(bytes)),
        Expect::Matches(pattern) => format!("regex {:?}", pattern.as_str()),
        Expect::Sha256(_) => "sha256".to_owned(),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
