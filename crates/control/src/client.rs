//! A client of the control socket. One connection a request: the daemon is on the same machine.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use crate::api::{EventPage, Log, Problem, Service, SetLog, Status};
use crate::command::{AddServer, Change, Drain, SetWeight, Why};
use crate::pair::Nodes;
use crate::reload::{Plan, Reloaded};
use crate::runtime::{Exported, RuntimeChanges};
use crate::trial::CheckRun;
use crate::vrrp::{Instance, Release, RoleChange};

/// An answer longer than this is refused: 64 MiB, some 100,000 real servers.
const ANSWER_MAX: usize = 64 << 20;

/// A daemon that does not answer within this is taken for hung.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The same for what reads, checks and applies a whole configuration.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(30);

/// A run of a check that was asked for takes no longer, whatever its timeout is: the daemon's connections end after half a minute.
pub const TRIAL_MAX: Duration = Duration::from_secs(20);

/// No name is longer.
const NAME_MAX: usize = 63;

/// A client of one daemon.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
    /// Another node, which is asked by way of the one that listens on the socket.
    through: Option<String>,
}

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// Nothing listens on the socket.
    #[error("connect to {}: is holdfastd running? `--socket` names another path", .socket.display())]
    NotRunning {
        /// The socket.
        socket: PathBuf,
        /// What the kernel answered.
        #[source]
        source: io::Error,
    },
    /// The socket is not for this user.
    #[error("connect to {}: not allowed: run as root or as a member of the socket's group", .socket.display())]
    NotAllowed {
        /// The socket.
        socket: PathBuf,
        /// What the kernel answered.
        #[source]
        source: io::Error,
    },
    /// The daemon refused.
    #[error("{}", .0.detail)]
    Refused(Problem),
    /// A name that no object can have.
    #[error(
        "{0:?} is not a name: a name has 1 to 63 letters, digits, `-`, `_` or `.`, and begins with a letter or digit"
    )]
    Name(String),
    /// The daemon took the request and did not answer in time.
    #[error("the daemon did not answer within {0:?}")]
    Timeout(Duration),
    /// The connection ended before the answer: the daemon has died or was stopped.
    #[error("the daemon's answer was lost: {0}")]
    Lost(String),
    /// The answer was not one of this API.
    #[error("the daemon's answer was not understood: {0}")]
    Answer(String),
}

impl Client {
    /// A client of the daemon that listens on `socket`.
    pub fn new(socket: impl AsRef<Path>) -> Self {
        Self { socket: socket.as_ref().to_owned(), through: None }
    }

    /// A client of `node`, another one of the pair, by way of this client's daemon.
    ///
    /// # Errors
    /// No node can be called so.
    pub fn through(&self, node: &str) -> Result<Self, RequestError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if !(1..=253).contains(&node.len()) || !node.chars().all(plain) {
            return Err(RequestError::Name(node.to_owned()));
        }
        Ok(Self { socket: self.socket.clone(), through: Some(node.to_owned()) })
    }

    /// This node and the others of the pair.
    ///
    /// # Errors
    /// As [`Self::status`].
    pub async fn nodes(&self) -> Result<Nodes, RequestError> {
        self.ask(Method::GET, "/v1/nodes".into(), None::<&()>).await
    }

    /// Everything at a glance.
    ///
    /// # Errors
    /// No daemon, no permission, or an answer that is not of this API.
    pub async fn status(&self) -> Result<Status, RequestError> {
        self.ask(Method::GET, "/v1/status".into(), None::<&()>).await
    }

    /// What a reload would change, and what others have changed in the kernel. `text` is a configuration; none is the daemon's file.
    ///
    /// # Errors
    /// As [`Self::status`], and when the configuration is invalid or can't be read.
    pub async fn plan(&self, text: Option<Vec<u8>>) -> Result<Plan, RequestError> {
        let method = if text.is_some() { Method::POST } else { Method::GET };
        self.exchange(method, "/v1/plan".into(), text.unwrap_or_default(), RELOAD_TIMEOUT).await
    }

    /// Reads the daemon's file again and applies what differs.
    ///
    /// # Errors
    /// As [`Self::plan`], and when a change needs a restart. Nothing was changed then.
    pub async fn reload(&self) -> Result<Reloaded, RequestError> {
        self.exchange(Method::POST, "/v1/reload".into(), Vec::new(), RELOAD_TIMEOUT).await
    }

    /// What commands have changed against the configuration's file.
    ///
    /// # Errors
    /// As [`Self::status`].
    pub async fn changes(&self) -> Result<RuntimeChanges, RequestError> {
        self.ask(Method::GET, "/v1/changes".into(), None::<&()>).await
    }

    /// A configuration that includes what commands have changed.
    ///
    /// # Errors
    /// As [`Self::status`], and when the daemon could not keep the text of its configuration.
    pub async fn export(&self) -> Result<Exported, RequestError> {
        self.exchange(Method::GET, "/v1/export".into(), Vec::new(), RELOAD_TIMEOUT).await
    }

    /// What happened after the event of number `since`; where nothing has, waits for something, `wait` at most.
    ///
    /// # Errors
    /// As [`Self::status`].
    pub async fn events(&self, since: u64, wait: Duration) -> Result<EventPage, RequestError> {
        let wait = wait.min(TIMEOUT / 2).as_millis();
        self.ask(Method::GET, format!("/v1/events?since={since}&wait_ms={wait}"), None::<&()>).await
    }

    /// What is logged.
    ///
    /// # Errors
    /// As [`Self::status`].
    pub async fn log(&self) -> Result<Log, RequestError> {
        self.ask(Method::GET, "/v1/log".into(), None::<&()>).await
    }

    /// Has something else logged until the daemon ends.
    ///
    /// # Errors
    /// As [`Self::status`], and when it is no filter.
    pub async fn set_log(&self, log: &SetLog) -> Result<Log, RequestError> {
        self.ask(Method::POST, "/v1/log".into(), Some(log)).await
    }

    /// The VRRP instances.
    ///
    /// # Errors
    /// As [`Self::status`].
    pub async fn vrrp(&self) -> Result<Vec<Instance>, RequestError> {
        self.ask(Method::GET, "/v1/vrrp".into(), None::<&()>).await
    }

    /// Steps back from the addresses of an instance, or of every instance of a sync group, until [`Self::resume`].
    ///
    /// # Errors
    /// As [`Self::status`], and when there is no such instance, or it owns its addresses.
    pub async fn release(&self, name: &str, release: &Release) -> Result<RoleChange, RequestError> {
        self.ask(Method::POST, role_path(name, "release")?, Some(release)).await
    }

    /// Takes part again after [`Self::release`] or [`Self::failover`].
    ///
    /// # Errors
    /// As [`Self::release`].
    pub async fn resume(&self, name: &str) -> Result<RoleChange, RequestError> {
        self.ask(Method::POST, role_path(name, "resume")?, None::<&()>).await
    }

    /// Gives the addresses to the other node once.
    ///
    /// # Errors
    /// As [`Self::release`], and when this node is not the Active.
    pub async fn failover(&self, name: &str) -> Result<RoleChange, RequestError> {
        self.ask(Method::POST, role_path(name, "failover")?, None::<&()>).await
    }

    /// The services.
    ///
    /// # Errors
    /// As [`Self::status`].
    pub async fn services(&self) -> Result<Vec<Service>, RequestError> {
        self.ask(Method::GET, "/v1/services".into(), None::<&()>).await
    }

    /// One service.
    ///
    /// # Errors
    /// As [`Self::status`], and when there is no such service.
    pub async fn service(&self, service: &str) -> Result<Service, RequestError> {
        self.ask(Method::GET, format!("/v1/services/{}", segment(service)?), None::<&()>).await
    }

    /// Adds a real server.
    ///
    /// # Errors
    /// As [`Self::service`], and when the server does not fit the service.
    pub async fn add_server(
        &self,
        service: &str,
        server: &AddServer,
    ) -> Result<Change, RequestError> {
        self.ask(Method::POST, format!("/v1/services/{}/servers", segment(service)?), Some(server))
            .await
    }

    /// Runs the checks of a server once, each within its timeout but [`TRIAL_MAX`] at most. It counts for nothing.
    ///
    /// # Errors
    /// As [`Self::service`], and when there is no such server.
    pub async fn check_run(&self, service: &str, server: &str) -> Result<CheckRun, RequestError> {
        let path = server_path(service, server, "/check")?;
        self.exchange(Method::POST, path, Vec::new(), TRIAL_MAX + TIMEOUT).await
    }

    /// Lets a server finish what it has and gives it nothing new.
    ///
    /// # Errors
    /// As [`Self::service`], and when there is no such server.
    pub async fn drain_server(
        &self,
        service: &str,
        server: &str,
        drain: &Drain,
    ) -> Result<Change, RequestError> {
        self.ask(Method::POST, server_path(service, server, "/drain")?, Some(drain)).await
    }

    /// Takes a server back that drains, has drained or is in maintenance.
    ///
    /// # Errors
    /// As [`Self::drain_server`].
    pub async fn ready_server(
        &self,
        service: &str,
        server: &str,
        why: &Why,
    ) -> Result<Change, RequestError> {
        self.ask(Method::POST, server_path(service, server, "/ready")?, Some(why)).await
    }

    /// Gives a server nothing new and checks it no more.
    ///
    /// # Errors
    /// As [`Self::drain_server`].
    pub async fn maintain_server(
        &self,
        service: &str,
        server: &str,
        why: &Why,
    ) -> Result<Change, RequestError> {
        self.ask(Method::POST, server_path(service, server, "/maint")?, Some(why)).await
    }

    /// Gives a server another weight.
    ///
    /// # Errors
    /// As [`Self::drain_server`], and when there is no such weight.
    pub async fn weigh_server(
        &self,
        service: &str,
        server: &str,
        weight: &SetWeight,
    ) -> Result<Change, RequestError> {
        self.ask(Method::POST, server_path(service, server, "/weight")?, Some(weight)).await
    }

    /// Removes a server: `now`, or after a drain. One that is not there is no error, but nothing that has changed.
    ///
    /// # Errors
    /// As [`Self::service`].
    pub async fn remove_server(
        &self,
        service: &str,
        server: &str,
        now: bool,
        drain: &Drain,
    ) -> Result<Change, RequestError> {
        let end = if now { "?now=true" } else { "" };
        self.ask(Method::DELETE, server_path(service, server, end)?, Some(drain)).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: String,
        body: Option<&impl Serialize>,
    ) -> Result<T, RequestError> {
        let body = body.map(serde_json::to_vec).transpose().map_err(answer_error)?;
        self.exchange(method, path, body.unwrap_or_default(), TIMEOUT).await
    }

    async fn exchange<T: DeserializeOwned>(
        &self,
        method: Method,
        path: String,
        body: Vec<u8>,
        limit: Duration,
    ) -> Result<T, RequestError> {
        let path = match &self.through {
            Some(node) => format!("/v1/nodes/{node}{path}"),
            None => path,
        };
        tokio::time::timeout(limit, self.converse(method, path, body))
            .await
            .unwrap_or(Err(RequestError::Timeout(limit)))
    }

    async fn converse<T: DeserializeOwned>(
        &self,
        method: Method,
        path: String,
        body: Vec<u8>,
    ) -> Result<T, RequestError> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|e| self.connect_error(e))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(answer_error)?;
        let connection = tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, "holdfast")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(answer_error)?;
        let response = sender.send_request(request).await.map_err(lost)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_MAX).collect().await.map_err(lost)?;
        connection.abort();
        decode(status, &body.to_bytes())
    }

    fn connect_error(&self, source: io::Error) -> RequestError {
        let socket = self.socket.clone();
        if source.kind() == io::ErrorKind::PermissionDenied {
            RequestError::NotAllowed { socket, source }
        } else {
            RequestError::NotRunning { socket, source }
        }
    }
}

fn decode<T: DeserializeOwned>(status: StatusCode, body: &[u8]) -> Result<T, RequestError> {
    if status.is_success() {
        return serde_json::from_slice(body).map_err(answer_error);
    }
    match serde_json::from_slice(body) {
        Ok(problem) => Err(RequestError::Refused(problem)),
        Err(_) => Err(RequestError::Answer(format!("{status} without a reason"))),
    }
}

fn lost(error: impl ToString) -> RequestError {
    RequestError::Lost(error.to_string())
}

fn answer_error(error: impl ToString) -> RequestError {
    RequestError::Answer(error.to_string())
}

fn role_path(name: &str, verb: &str) -> Result<String, RequestError> {
    Ok(format!("/v1/vrrp/{}/{verb}", segment(name)?))
}

fn server_path(service: &str, server: &str, end: &str) -> Result<String, RequestError> {
    Ok(format!("/v1/services/{}/servers/{}{end}", segment(service)?, segment(server)?))
}

/// `name` as a path segment: what no object is called needs no escape either.
///
/// The rule is that of the configuration's names. This crate knows the API alone and not the configuration, so the rule is written
/// down here again; the tests of the command line hold both against each other.
fn segment(name: &str) -> Result<&str, RequestError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let first = name.chars().next().is_some_and(|first| first.is_ascii_alphanumeric());
    match first && name.len() <= NAME_MAX && name.chars().all(allowed) {
        true => Ok(name),
        false => Err(RequestError::Name(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_could_change_the_path_is_refused() {
        let long = "a".repeat(64);
        for name in ["", "..", ".a", "-a", "_a", &long, "a/b", "a?now", "a b", "a%2f", "ä"] {
            assert!(matches!(segment(name), Err(RequestError::Name(_))), "{name:?}");
        }
        assert_eq!(segment("web-1.example").ok(), Some("web-1.example"));
        assert!(segment(&long[1..]).is_ok());
    }

    #[test]
    fn a_refusal_is_a_problem_and_its_detail_is_the_message() {
        let body =
            br#"{"title":"t","status":404,"detail":"no service `x`","code":"no_such_service"}"#;
        let error = decode::<Status>(StatusCode::NOT_FOUND, body).expect_err("a refusal");
        assert_eq!(error.to_string(), "no service `x`");
        let error =
            decode::<Status>(StatusCode::BAD_GATEWAY, b"<html>").expect_err("not of this API");
        assert!(matches!(error, RequestError::Answer(_)));
    }
}
