//! Who is told of events, and how.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::{Name, Tls};

/// Somebody who is told of events (an entry of `daemon.notifications`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Notification {
    /// Its name.
    pub name: Name,
    /// Of which events: families (`server`) and kinds (`server.down`).
    pub on: BTreeSet<String>,
    /// How.
    pub via: Via,
    /// After so long a command is killed and an attempt of a webhook given up; `daemon.scripts.timeout` by default.
    pub timeout: Duration,
}

impl Notification {
    /// Whether it is told of events of `kind`.
    pub fn wants(&self, kind: &str) -> bool {
        let family = kind.split_once('.').map_or(kind, |(family, _)| family);
        self.on.contains(family) || self.on.contains(kind)
    }
}

/// How somebody is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Via {
    /// By a command: the event is on its standard input.
    Command(Vec<String>),
    /// By a POST over HTTP.
    Webhook(Box<Webhook>),
}

/// Where events are posted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Webhook {
    /// Where.
    pub url: WebhookUrl,
    /// The file with the key that signs what is sent; none = nothing is signed.
    pub secret_file: Option<PathBuf>,
    /// So often it is tried at most.
    pub attempts: u32,
    /// TLS, where the URL wants it.
    pub tls: Option<Tls>,
}

/// An address on the web. It may have a token in it, so that only its host is ever shown.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WebhookUrl {
    /// A name, or an address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The path and the query: at least `/`.
    pub path: String,
}

impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WebhookUrl({}:{})", self.host, self.port)
    }
}
