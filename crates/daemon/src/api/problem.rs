//! Refusals (RFC 9457): every one says what was wrong and has a code for programs.

use axum::http::StatusCode;
use axum::http::header::{ALLOW, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use holdfast_config::MAX_BYTES;
use holdfast_control::Problem;

use super::server::BODY_MAX;

/// The media type of a problem (RFC 9457 §6.1).
const PROBLEM_JSON: &str = "application/problem+json";

/// A [`Problem`] on its way out.
#[derive(Debug)]
pub(crate) struct Refusal(pub(crate) Problem);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self.0).unwrap_or_default();
        (status, [(CONTENT_TYPE, PROBLEM_JSON)], body).into_response()
    }
}

/// Makes a problem of what was refused before a handler saw it: a method, a body that is too long, a path that is no text.
pub(crate) async fn as_problem(response: Response) -> Response {
    let (status, headers) = (response.status(), response.headers());
    let is_problem = headers.get(CONTENT_TYPE).is_some_and(|kind| kind == PROBLEM_JSON);
    if !status.is_client_error() || is_problem {
        return response;
    }
    let allowed = headers.get(ALLOW).cloned();
    let (code, detail) = if status == StatusCode::METHOD_NOT_ALLOWED {
        let methods = allowed.as_ref().and_then(|allowed| allowed.to_str().ok()).unwrap_or("none");
        ("method_not_allowed", format!("this path does not take this method, but {methods}"))
    } else if status == StatusCode::PAYLOAD_TOO_LARGE {
        let most = format!("{BODY_MAX} bytes, and a configuration {MAX_BYTES}");
        ("body_too_large", format!("the request's body has more than {most}"))
    } else {
        ("bad_request", "the request was not understood: is its path UTF-8?".to_owned())
    };
    let mut refusal = Refusal(problem(status, code, detail)).into_response();
    if let Some(allowed) = allowed {
        refusal.headers_mut().insert(ALLOW, allowed);
    }
    refusal
}

/// 404 for a service that is not there.
pub(crate) fn no_service(name: &str) -> Problem {
    not_found("no_such_service", format!("no service `{name}`"))
}

/// 404.
pub(crate) fn not_found(code: &str, detail: String) -> Problem {
    problem(StatusCode::NOT_FOUND, code, detail)
}

/// 400.
pub(crate) fn bad_request(code: &str, detail: String) -> Problem {
    problem(StatusCode::BAD_REQUEST, code, detail)
}

/// 409: the request is right by itself and clashes with what is there.
pub(crate) fn conflict(code: &str, detail: String) -> Problem {
    problem(StatusCode::CONFLICT, code, detail)
}

/// 503.
pub(crate) fn unavailable(detail: String) -> Problem {
    problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
}

/// The code of [`answer_lost`].
pub(crate) const ANSWER_LOST: &str = "answer_lost";

/// 504: an order was handed over, and whoever was to answer has ended.
pub(crate) fn answer_lost() -> Problem {
    let detail = "the daemon ended before it answered, and it is not known whether this was done: said again, it changes nothing if it was";
    problem(StatusCode::GATEWAY_TIMEOUT, ANSWER_LOST, detail.to_owned())
}

/// Any other status.
pub(crate) fn refused(status: StatusCode, code: &str, detail: String) -> Problem {
    problem(status, code, detail)
}

fn problem(status: StatusCode, code: &str, detail: String) -> Problem {
    Problem {
        title: status.canonical_reason().unwrap_or("Refused").to_owned(),
        status: status.as_u16(),
        detail,
        code: code.to_owned(),
        diagnosis: None,
    }
}
