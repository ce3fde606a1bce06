//! What a check tries, on which way, and what has to come of it.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use holdfast_health::Policy;

use crate::pattern::Pattern;

/// A health check and when it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Check {
    /// What is tried.
    pub kind: CheckKind,
    /// When, and how many outcomes decide.
    pub policy: Policy,
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
    },
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

impl CheckKind {
    /// The key that the configuration has for it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Network(check) => check.talk.name(),
            Self::Exec { .. } => "exec",
        }
    }

    /// Whether it goes to the server's own port.
    pub fn needs_port(&self) -> bool {
        match self {
            Self::Network(check) => check.way.port.is_none(),
            Self::Exec { .. } => false,
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
        }
    }
}
