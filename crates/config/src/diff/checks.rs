//! Network checks in few words.

use crate::model::{
    Bytes, DnsCheck, Expect, HttpCheck, Login, NetworkCheck, Role, SecretFrom, Talk, Tls, Way,
};

use super::shown::Shown;

impl Shown for NetworkCheck {
    fn shown(&self) -> String {
        let Self { way, talk } = self;
        let options = match talk {
            Talk::Tcp(bytes) => bytes_options(bytes),
            Talk::Tls(tls) => tls_options(tls),
            Talk::Http(http) => http_options(http),
            Talk::Icmp | Talk::Memcached => String::new(),
            Talk::Udp(udp) => format!("{} reply {}", bytes_options(&udp.bytes), udp.reply),
            Talk::Dns(dns) => dns_options(dns),
            Talk::Redis(redis) => login(&redis.login) + &role(redis.role) + &secured(&redis.tls),
            Talk::Mysql(mysql) => {
                let lag = mysql.max_lag.map(|lag| format!(" max_lag {lag:?}"));
                login(&mysql.login) + &role(mysql.role) + &lag.unwrap_or_default()
            }
            Talk::Postgres(postgres) => {
                let database = postgres.database.iter().map(|name| format!(" database {name}"));
                let database: String = database.collect();
                login(&postgres.login) + &database + &role(postgres.role) + &secured(&postgres.tls)
            }
            Talk::Smtp(smtp) => format!(" hello {}{}", smtp.hello, secured(&smtp.starttls)),
            Talk::Grpc(grpc) => {
                let host: String = grpc.host.iter().map(|host| format!(" host {host}")).collect();
                format!(" service {:?}{host}{}", grpc.service, secured(&grpc.tls))
            }
            Talk::Agent { send } => send.as_deref().map(sent).unwrap_or_default(),
        };
        format!("{}{}{options}", talk.name(), way_options(way))
    }
}

fn bytes_options(bytes: &Bytes) -> String {
    let Bytes { send, expect } = bytes;
    let send = send.as_deref().map(sent);
    let expect = expect.as_ref().map(|expect| format!(" expect {}", expected(expect)));
    [send, expect].into_iter().flatten().collect()
}

/// What is sent may be a password: `AUTH …`.
fn sent(bytes: &[u8]) -> String {
    format!(" send {} bytes", bytes.len())
}

fn dns_options(dns: &DnsCheck) -> String {
    let DnsCheck { name, record, tcp, rcodes, answer } = dns;
    let transport = if *tcp { "tcp" } else { "udp" };
    let rcodes: Vec<_> = rcodes.iter().map(|(name, _)| *name).collect();
    format!(
        " {name}. {} {transport} rcode {} answer [{}]",
        record.0,
        rcodes.join(","),
        answer.join(", ")
    )
}

fn login(login: &Login) -> String {
    let Login { user, password } = login;
    let user = user.as_ref().map(|user| format!(" user {user}"));
    let password = password.as_ref().map(|from| match from {
        SecretFrom::File(path) => format!(" password_file {}", path.display()),
        SecretFrom::Credential(name) => format!(" password_credential {name}"),
    });
    [user, password].into_iter().flatten().collect()
}

fn role(role: Option<Role>) -> String {
    match role {
        None => String::new(),
        Some(Role::Primary) => " role primary".to_owned(),
        Some(Role::Replica) => " role replica".to_owned(),
    }
}

fn secured(tls: &Option<Tls>) -> String {
    tls.as_ref().map(|tls| format!(" tls{}", tls_options(tls))).unwrap_or_default()
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
