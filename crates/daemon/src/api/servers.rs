//! The handlers of what is done to servers.

use axum::extract::{Path, Query, State};
use axum::{Extension, Json};
use holdfast_control::{Change, CheckRun};
use serde::Deserialize;
use tokio::sync::oneshot;

use super::caller::Caller;
use super::problem::{Refusal, bad_request};
use super::{Command, Request, Requests, decode, decode_or_default, ordered, stopping};

pub(super) async fn add(
    State(requests): State<Requests>,
    Extension(caller): Extension<Caller>,
    Path(service): Path<String>,
    body: axum::body::Bytes,
) -> Result<Json<Change>, Refusal> {
    let server = decode(&body)?;
    command(&requests, caller, Command::Add { service, server }).await
}

pub(super) async fn drain(
    State(requests): State<Requests>,
    Extension(caller): Extension<Caller>,
    Path((service, server)): Path<(String, String)>,
    body: axum::body::Bytes,
) -> Result<Json<Change>, Refusal> {
    let drain = decode_or_default(&body)?;
    command(&requests, caller, Command::Drain { service, server, drain }).await
}

pub(super) async fn ready(
    State(requests): State<Requests>,
    Extension(caller): Extension<Caller>,
    Path((service, server)): Path<(String, String)>,
    body: axum::body::Bytes,
) -> Result<Json<Change>, Refusal> {
    let why = decode_or_default(&body)?;
    command(&requests, caller, Command::Ready { service, server, why }).await
}

pub(super) async fn maint(
    State(requests): State<Requests>,
    Extension(caller): Extension<Caller>,
    Path((service, server)): Path<(String, String)>,
    body: axum::body::Bytes,
) -> Result<Json<Change>, Refusal> {
    let why = decode_or_default(&body)?;
    command(&requests, caller, Command::Maint { service, server, why }).await
}

pub(super) async fn weight(
    State(requests): State<Requests>,
    Extension(caller): Extension<Caller>,
    Path((service, server)): Path<(String, String)>,
    body: axum::body::Bytes,
) -> Result<Json<Change>, Refusal> {
    let weight = decode(&body)?;
    command(&requests, caller, Command::Weight { service, server, weight }).await
}

pub(super) async fn check_run(
    State(requests): State<Requests>,
    Path((service, server)): Path<(String, String)>,
) -> Result<Json<CheckRun>, Refusal> {
    let (answer, run) = oneshot::channel();
    let request = Request::CheckRun { service, server, answer };
    requests.send(request).await.map_err(stopping)?;
    run.await.map_err(stopping)?.map(Json).map_err(Refusal)
}

/// The query of `DELETE`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Removal {
    #[serde(default)]
    now: bool,
}

pub(super) async fn remove(
    State(requests): State<Requests>,
    Extension(caller): Extension<Caller>,
    Path((service, server)): Path<(String, String)>,
    removal: Result<Query<Removal>, axum::extract::rejection::QueryRejection>,
    body: axum::body::Bytes,
) -> Result<Json<Change>, Refusal> {
    let Query(removal) =
        removal.map_err(|error| Refusal(bad_request("bad_query", error.body_text())))?;
    let drain = decode_or_default(&body)?;
    let change = if removal.now {
        Command::RemoveNow { service, server, drain }
    } else {
        Command::Remove { service, server, drain }
    };
    command(&requests, caller, change).await
}

/// Has the director carry out a command of `caller`'s.
pub(super) async fn command(
    requests: &Requests,
    caller: Caller,
    command: Command,
) -> Result<Json<Change>, Refusal> {
    let who = caller.name().await;
    ordered(requests, |answer| Request::Command { command, who, answer }).await
}
