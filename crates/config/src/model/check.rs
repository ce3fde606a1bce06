//! What a check tries, on which way, and what has to come of it.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use holdfast_health::Policy;

use crate::pattern::Pattern;

use super::{Name, SecretFrom};

/// A health check and when it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Check {
    /// What is tried.
    pub kind: CheckKind,
    /// When, and how many outcomes decide. Shared: each server's checker has it.
    pub policy: Arc<Policy>,
}

/// What a check tries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckKind {
    /// Something is sent to the server. Shared, because each run needs it and thousands may be under way.
    Network(Arc<NetworkCheck>),
    /// A command, run without a shell: exit 0 passes.
    Exec {
        /// The program's absolute path and its arguments.
        command: Vec<String>,
        /// What its exit status means.
        convention: Convention,
    },
    /// A file, in which somebody writes what is to be done with the server.
    File {
        /// Its absolute path; `{service}` and `{server}` stand for the names of these.
        path: String,
        /// What it means that the file is not there.
        missing: Missing,
    },
    /// A BFD session of `vrrp.trackers`.
    Bfd {
        /// The tracker's name.
        session: Name,
    },
}

/// What a command's exit status means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Convention {
    /// 0 passes, all others fail.
    #[default]
    Plain,
    /// That of a plugin of Nagios: 0 and 1 (a warning) pass, 2 fails, 3 counts neither way.
    Nagios,
    /// 0 passes, 1 fails, and 2 to 255 pass with a weight of 0 to 253 (keepalived's `misc_dynamic`).
    Weight,
}

/// What it means that a check's file is not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Missing {
    /// Nobody has anything against the server.
    #[default]
    Up,
    /// It can't serve.
    Down,
}

/// What is sent to a server, and on which way.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NetworkCheck {
    /// Where it goes.
    pub way: Way,
    /// What is said there.
    pub talk: Talk,
}

/// Where a check goes, and how it gets there; where it says nothing, to the server's address and port on any way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Way {
    /// Another address than the server's.
    pub address: Option<IpAddr>,
    /// Another port than the server's.
    pub port: Option<u16>,
    /// The address that it comes from.
    pub source: Option<IpAddr>,
    /// The interface that it leaves and is answered by (SO_BINDTODEVICE).
    pub device: Option<String>,
    /// The mark of its packets (SO_MARK), which policy routing and nftables see.
    pub mark: Option<u32>,
}

/// What is said to a server, and what has to come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Talk {
    /// A TCP connection, with or without bytes to send and to expect.
    Tcp(Bytes),
    /// A TLS handshake.
    Tls(Tls),
    /// HTTP requests.
    Http(HttpCheck),
    /// An ICMP echo request.
    Icmp,
    /// A UDP datagram.
    Udp(UdpCheck),
    /// A DNS query.
    Dns(DnsCheck),
    /// Redis: PING, and its role.
    Redis(RedisCheck),
    /// memcached: its version.
    Memcached,
    /// MySQL and MariaDB: the greeting, or a login and what the server says of its replication.
    Mysql(MysqlCheck),
    /// PostgreSQL: the answer to a start-up message, or a login and whether it is in recovery.
    Postgres(PostgresCheck),
    /// SMTP: greeting, EHLO, STARTTLS.
    Smtp(SmtpCheck),
    /// gRPC's health protocol.
    Grpc(GrpcCheck),
    /// HAProxy's agent-check: what an agent on the server says of it.
    Agent {
        /// What is sent to the agent; none = nothing.
        send: Option<Vec<u8>>,
    },
}

/// Bytes that are sent, and what is expected of those that come back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bytes {
    /// What is sent; none = nothing.
    pub send: Option<Vec<u8>>,
    /// What has to come; none = nothing is read.
    pub expect: Option<Expect>,
}

/// What bytes from outside must be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// These are somewhere among them.
    Contains(Vec<u8>),
    /// The pattern matches somewhere.
    Matches(Pattern),
    /// All of them together have this SHA-256 hash (of an HTTP answer's body).
    Sha256([u8; 32]),
}

/// How TLS is spoken, and what the server's certificate must be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tls {
    /// Whether the certificate must be valid, for the name, and by an authority that is trusted.
    pub verify: bool,
    /// The authorities that are trusted, as a PEM file; none = the system's.
    pub ca: Option<PathBuf>,
    /// Our own certificate and its key as PEM files, for servers that ask for one.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The name that is asked for (SNI) and that the certificate must have; none = the HTTP host where that is a name, or else
    /// the address.
    pub name: Option<String>,
    /// From so many days before the certificate's end on the passing check says so; 0 = never.
    pub warn_days: u32,
}

/// HTTP requests and the answers that pass.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpCheck {
    /// The paths and queries that are asked for, one after the other; all must pass. At least one.
    pub paths: Vec<String>,
    /// `GET`, `HEAD` or `OPTIONS`.
    pub method: &'static str,
    /// The Host header; by default the server's address and port.
    pub host: Option<String>,
    /// Further headers, in this order.
    pub headers: Vec<(String, String)>,
    /// The statuses that pass, as inclusive ranges; by default 200-299.
    pub expect: Vec<(u16, u16)>,
    /// What the body must be like; none = it is not read.
    pub body: Option<Expect>,
    /// TLS, for https.
    pub tls: Option<Tls>,
}

/// A UDP datagram and what comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UdpCheck {
    /// What is sent (nothing: an empty datagram), and what has to be in the reply.
    pub bytes: Bytes,
    /// Whether silence fails. Where it does not, only a refusal (ICMP) and a wrong reply do.
    pub reply: bool,
}

/// A DNS query and the answer that passes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DnsCheck {
    /// The name that is asked for, without the root's dot; the empty text is the root.
    pub name: String,
    /// The type that is asked for: its name and number.
    pub record: (&'static str, u16),
    /// Whether it is asked over TCP.
    pub tcp: bool,
    /// The response codes that pass: names and numbers.
    pub rcodes: Vec<(&'static str, u16)>,
    /// Values that all have to be in the answer, as zone files have them.
    pub answer: Vec<String>,
}

/// Who logs in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Login {
    /// The user; none = the protocol's default.
    pub user: Option<String>,
    /// Where the password is (`password_file`, `password_credential`).
    pub password: Option<SecretFrom>,
}

/// What a server is to the others of its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It takes writes.
    Primary,
    /// It follows a primary, and takes none.
    Replica,
}

/// What Redis has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisCheck {
    /// Who logs in; without a password nobody does.
    pub login: Login,
    /// What it has to be; none = either.
    pub role: Option<Role>,
    /// TLS, from the first byte on.
    pub tls: Option<Tls>,
}

/// What MySQL or MariaDB has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MysqlCheck {
    /// Who logs in; without a user nobody does, and the greeting is enough.
    pub login: Login,
    /// What it has to be, by `read_only`; none = either.
    pub role: Option<Role>,
    /// How far its replication may be behind; none = it is not asked.
    pub max_lag: Option<Duration>,
}

/// What PostgreSQL has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PostgresCheck {
    /// Who logs in; without a user nobody does, and being asked for a password is enough.
    pub login: Login,
    /// The database; none = the user's name.
    pub database: Option<String>,
    /// What it has to be, by `pg_is_in_recovery()`; none = either.
    pub role: Option<Role>,
    /// TLS, after an SSLRequest.
    pub tls: Option<Tls>,
}

/// What an SMTP server has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SmtpCheck {
    /// The name that is said in EHLO.
    pub hello: String,
    /// STARTTLS, and EHLO again under TLS.
    pub starttls: Option<Tls>,
}

/// What gRPC's health service has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GrpcCheck {
    /// The service that is asked about; empty = the server as a whole.
    pub service: String,
    /// The `:authority`; none = the server's address and port.
    pub host: Option<String>,
    /// TLS, from the first byte on.
    pub tls: Option<Tls>,
}

impl CheckKind {
    /// The key that the configuration has for it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Network(check) => check.talk.name(),
            Self::Exec { .. } => "exec",
            Self::File { .. } => "file",
            Self::Bfd { .. } => "bfd",
        }
    }

    /// Whether it goes to the server's own port.
    pub fn needs_port(&self) -> bool {
        match self {
            Self::Network(check) => check.way.port.is_none() && check.talk != Talk::Icmp,
            Self::Exec { .. } | Self::File { .. } | Self::Bfd { .. } => false,
        }
    }
}

impl Talk {
    /// The key that the configuration has for it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Tcp(_) => "tcp",
            Self::Tls(_) => "tls",
            Self::Http(HttpCheck { tls: None, .. }) => "http",
            Self::Http(HttpCheck { tls: Some(_), .. }) => "https",
            Self::Icmp => "icmp",
            Self::Udp(_) => "udp",
            Self::Dns(_) => "dns",
            Self::Redis(_) => "redis",
            Self::Memcached => "memcached",
            Self::Mysql(_) => "mysql",
            Self::Postgres(_) => "postgres",
            Self::Smtp(_) => "smtp",
            Self::Grpc(_) => "grpc",
            Self::Agent { .. } => "agent",
        }
    }
}
