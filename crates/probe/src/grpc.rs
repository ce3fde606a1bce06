//! The grpc check: gRPC's health protocol (grpc.health.v1, `Health/Check`) over HTTP/2.
//!
//! Of Protocol Buffers it needs a message with one text and a message with one number; of gRPC one frame each way and the status
//! in the trailers, or in the head when nothing else comes.

use std::net::SocketAddr;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{HeaderMap, Request, Response, Uri};

use holdfast_config::GrpcCheck;

use crate::deadline::Deadline;
use crate::finding::{Finding, excerpt};
use crate::http::{Version, exchange};
use crate::place::Place;
use crate::talk::{Broken, Stream, judged};
use crate::tls::{self, Offer};

const PATH: &str = "/grpc.health.v1.Health/Check";
/// The answer is a frame of 5 bytes and a message of 2; more is not of this protocol.
const ANSWER_LIMIT: usize = 1024;
/// The names of `grpc-status` (gRPC's `statuscodes.md`).
const STATUSES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

pub(crate) async fn run(place: &Place<'_>, grpc: &GrpcCheck, deadline: Deadline<'_>) -> Finding {
    let what = match grpc.service.as_str() {
        "" => format!("grpc {}", place.address),
        service => format!("grpc {} {service}", place.address),
    };
    match asked(place, grpc, &what, deadline).await {
        Ok(finding) | Err(finding) => finding,
    }
}

async fn asked(
    place: &Place<'_>,
    grpc: &GrpcCheck,
    what: &str,
    deadline: Deadline<'_>,
) -> Result<Finding, Finding> {
    let request = request(place, grpc)
        .map_err(|error| Finding::ours(format!("{what}: not a request: {error}")))?;
    let (means, deadline) = tls::any_means(grpc.tls.as_ref(), Offer::Http, deadline).await;
    let stream = place.connect(deadline).await?;
    let (stream, note): (Box<dyn Stream>, _) = match &means {
        None => (stream, String::new()),
        Some(means) => {
            let host = grpc.host.as_deref().map(crate::http::without_port);
            let secured = tls::secure(stream, place, means, host, deadline).await?;
            if !secured.is_http2 {
                let why = Broken::Refused("it does not speak HTTP/2".to_owned());
                return Err(why.finding(what));
            }
            (Box::new(secured.stream), secured.note)
        }
    };
    let talk =
        exchange(stream, Version::Http2, request, async |answer| Ok(judge(answer).await? + &note));
    Ok(judged(what, deadline, talk).await)
}

fn request(
    place: &Place<'_>,
    grpc: &GrpcCheck,
) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
    let own = SocketAddr::new(place.address.ip(), place.address.port()).to_string();
    let scheme = if grpc.tls.is_some() { "https" } else { "http" };
    let host = grpc.host.as_deref().unwrap_or(&own);
    Request::post(Uri::builder().scheme(scheme).authority(host).path_and_query(PATH).build()?)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("user-agent", crate::http::USER_AGENT)
        .body(Full::new(frame(&grpc.service).into()))
}

/// A frame with a `HealthCheckRequest` for `service`.
fn frame(service: &str) -> Vec<u8> {
    let mut message = vec![];
    if !service.is_empty() {
        // Field 1, a text; of at most 255 bytes, whose length takes two bytes of seven bits.
        message.push(0x0a);
        let (low, high) = (service.len() & 0x7f, service.len() >> 7);
        let byte = |bits: usize| u8::try_from(bits).unwrap_or_default();
        if high == 0 {
            message.push(byte(low));
        } else {
            message.extend([byte(low) | 0x80, byte(high)]);
        }
        message.extend_from_slice(service.as_bytes());
    }
    let length = u32::try_from(message.len()).unwrap_or_default().to_be_bytes();
    [&[0][..], &length, &message].concat()
}

async fn judge(answer: Response<Incoming>) -> Result<String, Broken> {
    let (head, mut body) = answer.into_parts();
    if head.status != 200 {
        return Err(Broken::Foreign(format!(
            "the answer is not gRPC's: HTTP status {}",
            head.status.as_u16()
        )));
    }
    // An error comes without a body and has its status in the head.
    status(&head.headers)?;
    let mut bytes = vec![];
    let mut trailers = HeaderMap::new();
    while let Some(next) = body.frame().await {
        let next = next.map_err(|error| crate::http::broken(&error))?;
        let next = match next.into_data() {
            Ok(data) if bytes.len() + data.len() > ANSWER_LIMIT => {
                return Err(Broken::Foreign(format!(
                    "the answer has more than {ANSWER_LIMIT} bytes"
                )));
            }
            Ok(data) => {
                bytes.extend_from_slice(&data);
                continue;
            }
            Err(next) => next,
        };
        if let Ok(last) = next.into_trailers() {
            trailers = last;
        }
    }
    status(&trailers)?;
    match serving(&bytes) {
        Some(1) => Ok("SERVING".to_owned()),
        Some(2) => Err(Broken::Refused("NOT_SERVING".to_owned())),
        Some(3) => Err(Broken::Refused("SERVICE_UNKNOWN".to_owned())),
        Some(0) => Err(Broken::Refused("UNKNOWN".to_owned())),
        _ => Err(Broken::Foreign("the answer is no HealthCheckResponse".to_owned())),
    }
}

/// Whether the status in `headers`, when there is one, is OK.
fn status(headers: &HeaderMap) -> Result<(), Broken> {
    let Some(status) = headers.get("grpc-status") else { return Ok(()) };
    if status.as_bytes() == b"0" {
        return Ok(());
    }
    let number = status.to_str().ok().and_then(|text| text.parse::<usize>().ok());
    let name = number.and_then(|number| STATUSES.get(number)).copied();
    let name = name.map_or_else(|| excerpt(status.as_bytes()), ToOwned::to_owned);
    let words = headers.get("grpc-message").map(|words| format!(", {}", excerpt(words.as_bytes())));
    Err(Broken::Refused(format!("gRPC status {name}{}", words.unwrap_or_default())))
}

/// The status in a frame with a `HealthCheckResponse`; an absent field is 0.
fn serving(bytes: &[u8]) -> Option<u8> {
    let (head, message) = bytes.split_at_checked(5)?;
    let (compressed, length) = head.split_first()?;
    let length = length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    if *compressed != 0 || length != message.len() {
        return None;
    }
    match message {
        [] => Some(0),
        [0x08, status] if *status < 0x80 => Some(*status),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn frames_are_those_of_grpc() {
        assert_eq!(frame(""), [0, 0, 0, 0, 0]);
        assert_eq!(frame("ab"), [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        assert_eq!(frame(&"x".repeat(200))[..9], [0, 0, 0, 0, 203, 0x0a, 0xc8, 1, b'x']);
        assert_eq!(serving(&[0, 0, 0, 0, 2, 8, 1]), Some(1));
        assert_eq!(serving(&[0, 0, 0, 0, 0]), Some(0));
        for bytes in [
            &[][..],
            &[0, 0, 0, 0],
            &[1, 0, 0, 0, 2, 8, 1],
            &[0, 0, 0, 0, 3, 8, 1],
            &[0, 0, 0, 0, 2, 9, 1],
        ] {
            assert_eq!(serving(bytes), None, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_bring_it_down(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _status = serving(&bytes);
        }
    }
}
