//! The control API's handlers: each turns a request into a message to the director and its answer into JSON.

pub(crate) mod access;
pub(crate) mod caller;
pub(crate) mod listen;
mod nodes;
pub(crate) mod pace;
mod problem;
pub(crate) mod server;
mod servers;
pub(crate) mod socket;
mod stream;

use std::fmt::Debug;
use std::time::Duration;

use axum::Extension;
use axum::Json;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use holdfast_config::diff::Change as Difference;
use holdfast_config::{MAX_BYTES, Name};
use holdfast_control::reload::{self, Plan, Reloaded};
use holdfast_control::{
    AddServer, Change, CheckRun, Drain, EventPage, Exported, Instance, Log, Problem, Release,
    RoleChange, RuntimeChanges, Service, SetLog, SetWeight, Status, Why, chain, openapi,
};
use holdfast_telemetry::log::Level;
use holdfast_telemetry::metrics::Form;
use serde::Deserialize;
use tokio::sync::{mpsc, oneshot};

use self::caller::Caller;
pub(crate) use self::nodes::own_fingerprint;
use self::problem::Refusal;
pub(crate) use self::problem::{
    ANSWER_LOST, answer_lost, bad_request, conflict, no_service, not_found, refused, unavailable,
};
use self::server::Streams;
use self::servers::{add, check_run, drain, maint, ready, remove, weight};
use crate::director::{Look, Next, Reading};
use crate::events::Events;
use crate::pair::{Counted, Nodes};
use crate::reload::{Order, Orders};

/// What a reload would do to what runs.
#[derive(Debug)]
pub(crate) struct Foreseen {
    /// Its changes with what they mean.
    pub(crate) changes: Vec<reload::Change>,
    /// What keeps the kernel's table from being as it should, a reload or not.
    pub(crate) problems: Vec<String>,
}

/// What a handler asks of the director.
#[derive(Debug)]
pub(crate) enum Request {
    /// Everything at a glance.
    Status(oneshot::Sender<Status>),
    /// Nothing but an answer: the loop turns.
    Alive(oneshot::Sender<()>),
    /// A change of a pool.
    Command {
        command: Command,
        /// Whose it is.
        who: Option<String>,
        answer: oneshot::Sender<Result<Change, Problem>>,
    },
    /// The checks of a server once, which counts for nothing.
    CheckRun { service: String, server: String, answer: oneshot::Sender<Result<CheckRun, Problem>> },
    /// What commands have changed.
    Changes(oneshot::Sender<RuntimeChanges>),
    /// What the files of a service's directory say.
    Discovered { service: Name, reading: Reading },
    /// What counts for the fingerprint.
    Counted(oneshot::Sender<Counted>),
    /// The kernel's table as it is; unanswered without IPVS.
    Look(oneshot::Sender<Look>),
    /// What the kernel has refused is to be asked for at once.
    AskAgain,
    /// What differences of configurations mean to what runs.
    Foresee { differences: Vec<Difference>, answer: oneshot::Sender<Foreseen> },
    /// Another configuration from now on.
    Reconfigure { next: Box<Next>, answer: oneshot::Sender<Vec<reload::Change>> },
    /// A change of who is Active, of an instance or a sync group.
    Role { name: String, verb: RoleVerb, answer: oneshot::Sender<Result<RoleChange, Problem>> },
}

/// What the operator wants of an instance's role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RoleVerb {
    /// Step back until told to resume; kept over a restart of the daemon or not.
    Release { keep: bool },
    /// Take part again as the configuration says.
    Resume,
    /// Give the role to another node once.
    Failover,
}

/// A change of a pool, as it came over the wire.
#[derive(Debug)]
pub(crate) enum Command {
    Add { service: String, server: AddServer },
    Drain { service: String, server: String, drain: Drain },
    Ready { service: String, server: String, why: Why },
    Maint { service: String, server: String, why: Why },
    Weight { service: String, server: String, weight: SetWeight },
    Remove { service: String, server: String, drain: Drain },
    RemoveNow { service: String, server: String, drain: Drain },
}

/// The way from the handlers to the director.
pub(crate) type Requests = mpsc::Sender<Request>;

/// A daemon whose loops don't answer by then is not healthy.
const HEALTH_PATIENCE: Duration = Duration::from_secs(5);

/// So many requests wait for the director; more wait in their handlers.
pub(crate) const REQUESTS_MAX: usize = 64;

/// The whole API, for the control socket.
pub(crate) fn control(
    requests: Requests,
    orders: Orders,
    events: Events,
    level: Level,
    nodes: Nodes,
) -> Router {
    let passed_on = get(nodes::relay).post(nodes::relay).delete(nodes::relay);
    let plan = get(plan).post(plan_of);
    let reloads = Router::new()
        .route("/v1/plan", plan.layer(DefaultBodyLimit::max(MAX_BYTES)))
        .route("/v1/reload", post(reload))
        .route("/v1/export", get(export))
        .with_state(orders);
    let events = Router::new()
        .route("/v1/events", get(happened))
        .route("/v1/events/stream", get(happens))
        .with_state(events);
    let nodes = Router::new()
        .route("/v1/nodes", get(nodes::list))
        .route("/v1/nodes/{node}/{*path}", passed_on)
        .with_state(nodes);
    Router::new()
        .merge(reloads)
        .merge(events)
        .merge(nodes)
        .merge(Router::new().route("/v1/log", get(log).post(set_log)).with_state(level))
        .route("/v1/openapi.json", get(document))
        .route("/metrics", get(metrics))
        .route("/v1/status", get(status))
        .route("/v1/changes", get(changes))
        .route("/v1/fingerprint", get(nodes::fingerprint))
        .route("/v1/vrrp", get(vrrp))
        .route("/v1/vrrp/{name}/release", post(release))
        .route("/v1/vrrp/{name}/resume", post(resume))
        .route("/v1/vrrp/{name}/failover", post(failover))
        .route("/v1/services", get(services))
        .route("/v1/services/{service}", get(service))
        .route("/v1/services/{service}/servers", post(add))
        .route("/v1/services/{service}/servers/{server}", axum::routing::delete(remove))
        .route("/v1/services/{service}/servers/{server}/drain", post(drain))
        .route("/v1/services/{service}/servers/{server}/ready", post(ready))
        .route("/v1/services/{service}/servers/{server}/maint", post(maint))
        .route("/v1/services/{service}/servers/{server}/weight", post(weight))
        .route("/v1/services/{service}/servers/{server}/check", post(check_run))
        .fallback(unknown_path)
        .with_state(requests)
}

/// The query of `/v1/events`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct After {
    #[serde(default)]
    since: u64,
    #[serde(default)]
    wait_ms: u64,
}

async fn happened(
    State(events): State<Events>,
    after: Result<Query<After>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<EventPage>, Refusal> {
    let Query(After { since, wait_ms }) =
        after.map_err(|error| Refusal(bad_request("bad_query", error.body_text())))?;
    Ok(Json(events.after(since, Duration::from_millis(wait_ms)).await))
}

/// The query of `/v1/events/stream`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Since {
    #[serde(default)]
    since: u64,
}

async fn happens(
    State(events): State<Events>,
    Extension(streams): Extension<Streams>,
    from: Result<Query<Since>, axum::extract::rejection::QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let Query(Since { since }) =
        from.map_err(|error| Refusal(bad_request("bad_query", error.body_text())))?;
    // A reader that comes again says where it was (the HTML standard, §9.2.4).
    let last = headers.get("last-event-id").and_then(|last| last.to_str().ok()?.parse().ok());
    let stream = stream::stream(events, last.unwrap_or(since));
    let full = || unavailable(format!("{} streams are read already", stream::STREAMS_MAX));
    let stream = stream.ok_or_else(|| Refusal(full()))?;
    streams.begin();
    Ok(stream)
}

async fn log(State(level): State<Level>) -> Json<Log> {
    Json(logged(&level, false))
}

async fn set_log(
    State(level): State<Level>,
    Extension(caller): Extension<Caller>,
    body: axum::body::Bytes,
) -> Result<Json<Log>, Refusal> {
    let SetLog { filter } = decode(&body)?;
    let before = level.filter();
    let changed = level.set(&filter);
    let changed = changed.map_err(|error| Refusal(bad_request("bad_filter", chain(&error))))?;
    if changed {
        let who = caller.name().await;
        tracing::warn!(from = before, to = filter, who, "something else is logged from now on");
    }
    Ok(Json(logged(&level, changed)))
}

fn logged(level: &Level, changed: bool) -> Log {
    let (filter, format) = (level.filter(), level.format().name().to_owned());
    Log { filter, format, lost_lines: level.lost_lines(), changed }
}

async fn document() -> Response {
    let text = format!("{:#}\n", openapi::document(env!("CARGO_PKG_VERSION")));
    ([(CONTENT_TYPE, "application/json")], text).into_response()
}

async fn plan(State(orders): State<Orders>) -> Result<Json<Plan>, Refusal> {
    foresee(&orders, None).await
}

async fn plan_of(
    State(orders): State<Orders>,
    text: axum::body::Bytes,
) -> Result<Json<Plan>, Refusal> {
    foresee(&orders, Some(text)).await
}

async fn foresee(orders: &Orders, text: Option<axum::body::Bytes>) -> Result<Json<Plan>, Refusal> {
    let (answer, plan) = oneshot::channel();
    orders.send(Order::Plan { text, answer }).await.map_err(stopping)?;
    plan.await.map_err(stopping)?.map(Json).map_err(Refusal)
}

async fn reload(State(orders): State<Orders>) -> Result<Json<Reloaded>, Refusal> {
    ordered(&orders, |answer| Order::Reload(Some(answer))).await
}

async fn export(State(orders): State<Orders>) -> Result<Json<Exported>, Refusal> {
    let (answer, exported) = oneshot::channel();
    orders.send(Order::Export(answer)).await.map_err(stopping)?;
    exported.await.map_err(stopping)?.map(Json).map_err(Refusal)
}

async fn changes(State(requests): State<Requests>) -> Result<Json<RuntimeChanges>, Refusal> {
    let (answer, changes) = oneshot::channel();
    requests.send(Request::Changes(answer)).await.map_err(stopping)?;
    changes.await.map(Json).map_err(stopping)
}

/// What may be read over TCP: nothing that changes anything.
pub(crate) fn read_only(requests: Requests) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/v1/openapi.json", get(document))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/v1/status", get(status))
        .fallback(unknown_path)
        .with_state(requests)
}

async fn unknown_path() -> Refusal {
    Refusal(not_found("no_such_path", "there is nothing at this path".to_owned()))
}

async fn status(State(requests): State<Requests>) -> Result<Json<Status>, Refusal> {
    ask_status(&requests).await.map(Json)
}

async fn vrrp(State(requests): State<Requests>) -> Result<Json<Vec<Instance>>, Refusal> {
    Ok(Json(ask_status(&requests).await?.vrrp))
}

async fn services(State(requests): State<Requests>) -> Result<Json<Vec<Service>>, Refusal> {
    Ok(Json(ask_status(&requests).await?.services))
}

async fn service(
    State(requests): State<Requests>,
    Path(name): Path<String>,
) -> Result<Json<Service>, Refusal> {
    let services = ask_status(&requests).await?.services;
    let found = services.into_iter().find(|service| service.name == name);
    found.map(Json).ok_or_else(|| Refusal(no_service(&name)))
}

async fn release(
    State(requests): State<Requests>,
    Path(name): Path<String>,
    body: axum::body::Bytes,
) -> Result<Json<RoleChange>, Refusal> {
    let Release { keep } = decode_or_default(&body)?;
    role(&requests, name, RoleVerb::Release { keep }).await
}

async fn resume(
    State(requests): State<Requests>,
    Path(name): Path<String>,
) -> Result<Json<RoleChange>, Refusal> {
    role(&requests, name, RoleVerb::Resume).await
}

async fn failover(
    State(requests): State<Requests>,
    Path(name): Path<String>,
) -> Result<Json<RoleChange>, Refusal> {
    role(&requests, name, RoleVerb::Failover).await
}

async fn metrics(
    State(requests): State<Requests>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let status = ask_status(&requests).await?;
    let wanted = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let form = if wanted.contains("application/openmetrics-text") {
        Form::OpenMetrics
    } else {
        Form::Text
    };
    let text = holdfast_telemetry::metrics::render(&status, form)
        .map_err(|error| Refusal(unavailable(error.to_string())))?;
    Ok(([(CONTENT_TYPE, form.media_type())], text).into_response())
}

/// Healthy: the director and, by way of the status, the VRRP thread answer.
async fn healthz(State(requests): State<Requests>) -> Result<&'static str, Refusal> {
    let answered = tokio::time::timeout(HEALTH_PATIENCE, ask_status(&requests)).await;
    answered.map_err(stopping)??;
    Ok("ok\n")
}

/// Ready: the director answers and the kernel's table could be made what it should be.
async fn readyz(State(requests): State<Requests>) -> Result<Response, Refusal> {
    let status = ask_status(&requests).await?;
    if let Some(instead) = &status.daemon.configuration.last_good {
        let text = format!(
            "the configuration's file is not usable, and the last good one is used: {}\n",
            instead.error
        );
        return Ok((StatusCode::SERVICE_UNAVAILABLE, text).into_response());
    }
    Ok(match status.ipvs {
        Some(ipvs) if ipvs.in_sync_s_ago.is_none() || !ipvs.errors.is_empty() => {
            let text = match ipvs.errors.is_empty() {
                true => "the kernel's table has not been looked at yet\n".to_owned(),
                false => {
                    format!(
                        "the kernel's table is not as it should be: {}\n",
                        ipvs.errors.join("; ")
                    )
                }
            };
            (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
        }
        Some(_) | None => "ready\n".into_response(),
    })
}

async fn ask_status(requests: &Requests) -> Result<Status, Refusal> {
    let (answer, status) = oneshot::channel();
    requests.send(Request::Status(answer)).await.map_err(stopping)?;
    status.await.map_err(stopping)
}

async fn role(
    requests: &Requests,
    name: String,
    verb: RoleVerb,
) -> Result<Json<RoleChange>, Refusal> {
    ordered(requests, |answer| Request::Role { name, verb, answer }).await
}

/// Hands an order over and waits for what comes of it. Before it is handed over nothing is done; afterwards it may be, also where no
/// answer comes.
async fn ordered<O, T>(
    to: &mpsc::Sender<O>,
    order: impl FnOnce(oneshot::Sender<Result<T, Problem>>) -> O,
) -> Result<Json<T>, Refusal> {
    let (answer, done) = oneshot::channel();
    to.send(order(answer)).await.map_err(stopping)?;
    match done.await {
        Ok(done) => done.map(Json).map_err(Refusal),
        Err(_lost) => Err(Refusal(answer_lost())),
    }
}

/// The director or the VRRP thread did not answer, whatever the channel's error says of it.
fn stopping(_gone: impl Debug) -> Refusal {
    Refusal(unavailable("the daemon is stopping, or a part of it hangs: see its log".to_owned()))
}

fn decode<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body)
        .map_err(|error| Refusal(bad_request("bad_body", format!("the request's body: {error}"))))
}

fn decode_or_default<T: serde::de::DeserializeOwned + Default>(body: &[u8]) -> Result<T, Refusal> {
    if body.is_empty() { Ok(T::default()) } else { decode(body) }
}

#[cfg(test)]
mod tests;
