//! The other nodes: what is known of them, and requests that are passed on to them.

use axum::Extension;
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use holdfast_control::{Fingerprint, Nodes as Told, Problem};
use serde::Deserialize;
use tokio::sync::oneshot;

use super::caller::Caller;
use super::problem::{Refusal, bad_request, not_found, refused};
use super::{Request, Requests, stopping};
use crate::pair::{Nodes, NotPassed, Question, Reply};

/// The query of `/v1/fingerprint`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Names {
    #[serde(default)]
    names: bool,
}

pub(super) async fn fingerprint(
    State(requests): State<Requests>,
    names: Result<Query<Names>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<Fingerprint>, Refusal> {
    let Query(Names { names }) =
        names.map_err(|error| Refusal(bad_request("bad_query", error.body_text())))?;
    own_fingerprint(&requests, names).await.map(Json).map_err(Refusal)
}

/// This node's fingerprint, with what each part is made of where `names` says so.
///
/// # Errors
/// The daemon is stopping.
pub(crate) async fn own_fingerprint(
    requests: &Requests,
    names: bool,
) -> Result<Fingerprint, Problem> {
    let (answer, counted) = oneshot::channel();
    requests.send(Request::Counted(answer)).await.map_err(|gone| stopping(gone).0)?;
    let counted = counted.await.map_err(|gone| stopping(gone).0)?;
    counted.fingerprint(names).await.ok_or_else(|| stopping(()).0)
}

pub(super) async fn list(State(nodes): State<Nodes>) -> Json<Told> {
    Json(Told { node: nodes.own(), peers: nodes.view() })
}

/// Passes a request on as it is, with who makes it.
pub(super) async fn relay(
    State(nodes): State<Nodes>,
    Extension(caller): Extension<Caller>,
    Path((node, _)): Path<(String, String)>,
    method: Method,
    uri: Uri,
    body: Bytes,
) -> Result<Response, Refusal> {
    // As it was written: what is escaped in it stays so.
    let whole = uri.path_and_query().map_or("", |whole| whole.as_str());
    let rest = whole.strip_prefix("/v1/nodes/").and_then(|rest| rest.split_once('/'));
    let path = match rest {
        Some((_, rest)) if rest.starts_with("v1/") => format!("/{rest}"),
        Some(_) | None => {
            let detail = "behind the node stands a path that begins with `/v1/`".to_owned();
            return Err(Refusal(not_found("no_such_path", detail)));
        }
    };
    let user = caller.name().await;
    let reads = method == Method::GET;
    match nodes.pass_on(&node, Question { method, path, body, user }).await {
        Ok(reply) => Ok(answer(reply)),
        Err(NotPassed::NoNode(detail)) => Err(Refusal(not_found("no_such_node", detail))),
        Err(NotPassed::Unreachable(detail)) => {
            Err(Refusal(refused(StatusCode::BAD_GATEWAY, "node_unreachable", detail)))
        }
        Err(NotPassed::Silent(detail)) => {
            let doubt = match reads {
                true => "",
                false => {
                    ": it has the request, and whether it was done there is not known; a command said again changes nothing where it holds already"
                }
            };
            let detail = format!("{detail}{doubt}");
            Err(Refusal(refused(StatusCode::GATEWAY_TIMEOUT, "node_silent", detail)))
        }
    }
}

fn answer(Reply { status, content_type, body }: Reply) -> Response {
    let json = HeaderValue::from_static("application/json");
    (status, [(CONTENT_TYPE, content_type.unwrap_or(json))], body).into_response()
}
