//! The checks `http` and `https`: requests over connections of their own, judged by the status of the answer, and by its body
//! where something is expected of it.
//!
//! Where the status is enough nothing but the answer's head is read ([`head`]); bodies and HTTP/2 are hyper's ([`mod@exchange`]).
//! It follows no redirect, asks for no compression and undoes none, and closes by a reset.

mod exchange;
mod head;

use std::fmt::Write as _;
use std::net::SocketAddr;

use holdfast_config::{Expect, HttpCheck};
use holdfast_health::Code;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::header::HeaderValue;
use hyper::{Request, Response, StatusCode, Uri, header};

use crate::deadline::Deadline;
use crate::finding::{Finding, excerpt};
use crate::place::Place;
use crate::talk::{Broken, Stream, judged};
use crate::tcp::{expected, is_as_expected};
use crate::tls::{self, Means, Offer};

use self::head::Head;

pub(crate) use exchange::{Version, broken, exchange};

/// An answer whose head is longer, in bytes, is not read on and fails.
pub const HEADER_LIMIT: usize = 16 * 1024;

/// So many bytes of a body are read, where something is expected of it; a longer one fails.
pub const BODY_LIMIT: usize = 256 * 1024;

pub(crate) const USER_AGENT: &str =
    concat!("holdfast/", env!("CARGO_PKG_VERSION"), " (health check)");

/// Asks for every path; all must pass.
pub(crate) async fn run(place: &Place<'_>, http: &HttpCheck, deadline: Deadline<'_>) -> Finding {
    let (means, deadline) = tls::any_means(http.tls.as_ref(), Offer::Http, deadline).await;
    let mut first: Option<Finding> = None;
    for path in &http.paths {
        let finding = Question { place, http, means: means.as_ref(), path }.ask(deadline).await;
        if finding.reason.code != Code::L7OK {
            return finding;
        }
        first.get_or_insert(finding);
    }
    let more = http.paths.len().saturating_sub(1);
    match first {
        Some(finding) if more == 0 => finding,
        Some(finding) => {
            let paths = if more == 1 { "path" } else { "paths" };
            Finding::pass(
                Code::L7OK,
                format!("{}, and {more} {paths} more", finding.reason.sentence),
            )
        }
        None => Finding::ours(format!("http {}: no path to ask for", place.address)),
    }
}

/// The first request's target as a URL, for people.
pub(crate) fn url(address: SocketAddr, http: &HttpCheck) -> String {
    let path = http.paths.first().map_or("", String::as_str);
    format!("{}://{address}{path}", scheme(http))
}

const fn scheme(http: &HttpCheck) -> &'static str {
    if http.tls.is_some() { "https" } else { "http" }
}

/// One request.
struct Question<'a> {
    place: &'a Place<'a>,
    http: &'a HttpCheck,
    means: Option<&'a Means<'a>>,
    path: &'a str,
}

impl Question<'_> {
    async fn ask(&self, deadline: Deadline<'_>) -> Finding {
        let what = format!(
            "{} {}://{}{}",
            self.http.method,
            scheme(self.http),
            self.place.address,
            self.path
        );
        match self.asked(&what, deadline).await {
            Ok(finding) | Err(finding) => finding,
        }
    }

    async fn asked(&self, what: &str, deadline: Deadline<'_>) -> Result<Finding, Finding> {
        let made = |version| {
            self.request(version)
                .map_err(|error| Finding::ours(format!("{what}: not a request: {error}")))
        };
        // Before any connection: what can't be asked is no fault of a server.
        let request = made(Version::Http1)?;
        let stream = self.place.connect(deadline).await?;
        let (stream, version, note): (Box<dyn Stream>, _, _) = match self.means {
            None => (stream, Version::Http1, String::new()),
            Some(means) => {
                let host = self.http.host.as_deref().map(without_port);
                let secured = tls::secure(stream, self.place, means, host, deadline).await?;
                let version = if secured.is_http2 { Version::Http2 } else { Version::Http1 };
                (Box::new(secured.stream), version, secured.note)
            }
        };
        let request = if version == Version::Http1 { request } else { made(version)? };
        if version == Version::Http1 && self.http.body.is_none() {
            let talk = async {
                let Head { status, location } = head::read(stream, &request).await?;
                Ok(self.passing(status, location.as_deref())? + &note)
            };
            return Ok(judged(what, deadline, talk).await);
        }
        let talk =
            exchange(stream, version, request, async |answer| self.judge(answer, &note).await);
        // What hyper has for a connection is many times what the other way needs, and a task is as great as the greatest.
        Ok(Box::pin(judged(what, deadline, talk)).await)
    }

    fn request(&self, version: Version) -> Result<Request<Empty<Bytes>>, hyper::http::Error> {
        // Not the address's own text: a zone (fe80::1%2) means nothing to the other side.
        let (ip, port) = (self.place.address.ip(), self.place.address.port());
        let own = SocketAddr::new(ip, port).to_string();
        let host = self.http.host.as_ref().unwrap_or(&own);
        let request = Request::builder().method(self.http.method);
        let request = match version {
            Version::Http1 => request.uri(self.path).header(header::HOST, host),
            // RFC 9113 §8.3.1: the host is in `:authority`.
            Version::Http2 => request.uri(
                Uri::builder()
                    .scheme(scheme(self.http))
                    .authority(host.as_str())
                    .path_and_query(self.path)
                    .build()?,
            ),
        };
        let is_own = |name: &str| self.http.headers.iter().any(|(header, _)| header == name);
        let mut request = request;
        for (name, value) in [("user-agent", USER_AGENT), ("accept", "*/*")] {
            if !is_own(name) {
                request = request.header(name, value);
            }
        }
        for (name, value) in &self.http.headers {
            request = request.header(name, value);
        }
        if version == Version::Http1 {
            request = request.header(header::CONNECTION, "close");
        }
        request.body(Empty::new())
    }

    /// What is said of a status, if it is one of those that pass; `location` is the header of that name.
    fn passing(&self, status: StatusCode, location: Option<&[u8]>) -> Result<String, Broken> {
        let mut said = named(status);
        let ranges = &self.http.expect;
        if !ranges.iter().any(|(low, high)| (*low..=*high).contains(&status.as_u16())) {
            if let Some(to) = location.filter(|_| status.is_redirection()) {
                said = format!("{said} to {}", excerpt(to));
            }
            said.push_str(", expected ");
            for (index, (low, high)) in ranges.iter().enumerate() {
                let separator = if index == 0 { "" } else { ", " };
                // Writing to a String cannot fail.
                let _infallible = match low == high {
                    true => write!(said, "{separator}{low}"),
                    false => write!(said, "{separator}{low}-{high}"),
                };
            }
            return Err(Broken::Refused(said));
        }
        Ok(said)
    }

    /// Judges the status and, where something is expected of it, the body. What is said of the status comes first.
    async fn judge(&self, answer: Response<Incoming>, note: &str) -> Result<String, Broken> {
        let location = answer.headers().get(header::LOCATION).map(HeaderValue::as_bytes);
        let mut said = self.passing(answer.status(), location)?;
        if let Some(expect) = &self.http.body {
            let body = read(answer.into_body(), BODY_LIMIT).await?;
            crate::transcript::received(&body);
            if !is_as_expected(expect, &body) {
                return Err(Broken::Refused(format!(
                    "{said}, but its body is not as expected: {}; {}",
                    expected(expect),
                    found(expect, &body)
                )));
            }
            said.push_str(", with the expected body");
        }
        Ok(said + note)
    }
}

/// What a body is that is not as expected.
fn found(expect: &Expect, body: &[u8]) -> String {
    match expect {
        Expect::Sha256(_) => {
            let hash = ring::digest::digest(&ring::digest::SHA256, body);
            let digits = hash.as_ref().iter().map(|byte| format!("{byte:02x}"));
            format!("its SHA-256 is {}", digits.collect::<String>())
        }
        Expect::Contains(_) | Expect::Matches(_) if body.is_empty() => "it is empty".to_owned(),
        Expect::Contains(_) | Expect::Matches(_) => format!("it begins with {}", excerpt(body)),
    }
}

/// A status with its words: `200 OK`.
fn named(status: StatusCode) -> String {
    match status.canonical_reason() {
        Some(words) => format!("{} {words}", status.as_u16()),
        None => status.as_u16().to_string(),
    }
}

/// A host without the port behind it; brackets of IPv6 go, too.
pub(crate) fn without_port(host: &str) -> &str {
    if let Some(inner) = host.strip_prefix('[') {
        return inner.split(']').next().unwrap_or(inner);
    }
    host.split(':').next().unwrap_or(host)
}

/// A body of at most `limit` bytes.
async fn read(mut body: Incoming, limit: usize) -> Result<Vec<u8>, Broken> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| broken(&error))?;
        let data = frame.data_ref().map_or(&[][..], |data| data);
        if bytes.len() + data.len() > limit {
            return Err(Broken::Foreign(format!("the body has more than {limit} bytes")));
        }
        bytes.extend_from_slice(data);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_without_its_port() {
        for (host, bare) in [
            ("a.example", "a.example"),
            ("a.example:8080", "a.example"),
            ("[::1]:80", "::1"),
            ("[::1]", "::1"),
        ] {
            assert_eq!(without_port(host), bare);
        }
    }
}
