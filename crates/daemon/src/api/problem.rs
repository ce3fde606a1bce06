//! Refusals (RFC 9457): every one says what was wrong and has a code for programs.

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use holdfast_control::Problem;

/// A [`Problem`] on its way out.
#[derive(Debug)]
pub(crate) struct Refusal(pub(crate) Problem);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self.0).unwrap_or_default();
        (status, [(CONTENT_TYPE, "application/problem+json")], body).into_response()
    }
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

fn problem(status: StatusCode, code: &str, detail: String) -> Problem {
    Problem {
        title: status.canonical_reason().unwrap_or("Refused").to_owned(),
        status: status.as_u16(),
        detail,
        code: code.to_owned(),
    }
}
