//! One POST to a web server, signed: a notification.
//!
//! It follows no redirect. The answer's status decides, its body is not read.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use holdfast_config::{Way, Webhook};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Request, StatusCode, header};
use ring::hmac;

use crate::deadline::Deadline;
use crate::finding::describe;
use crate::http::{Version, exchange};
use crate::place::Place;
use crate::talk::{Broken, Stream};
use crate::tls::{self, Offer};

/// A longer file is no key.
const SECRET_MAX: u64 = 4096;

const USER_AGENT: &str = concat!("holdfast/", env!("CARGO_PKG_VERSION"));

/// What became of a POST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Posted {
    /// The server took it: a status of 2xx.
    Taken,
    /// The server won't take it, now or later: a sentence.
    Refused(String),
    /// It may be taken another time: a sentence.
    Failed(String),
}

/// What is posted.
#[derive(Clone, Debug)]
pub struct Post<'a> {
    /// Where to.
    pub webhook: &'a Webhook,
    /// What kind of event it is (the header `Holdfast-Event`).
    pub event: &'a str,
    /// The same at each attempt, and at no other POST (the header `Holdfast-Delivery`).
    pub delivery: &'a str,
    /// JSON.
    pub body: Bytes,
}

impl Post<'_> {
    /// Sends it once. Needs a tokio runtime with IO and time.
    pub async fn send(&self, timeout: Duration) -> Posted {
        let deadline = Deadline::after(timeout);
        let what = format!("POST to {}", self.webhook.url.host);
        let late = || Posted::Failed(format!("{what}: no answer within {timeout:?}"));
        // Looking a name up has no end of its own.
        deadline.within(self.sent(&what, deadline)).await.unwrap_or_else(late)
    }

    async fn sent(&self, what: &str, deadline: Deadline<'_>) -> Posted {
        let failed = |why: String| Posted::Failed(format!("{what}: {why}"));
        let request = match self.request() {
            Ok(request) => request,
            Err(why) => return failed(why),
        };
        let url = &self.webhook.url;
        let addresses = match tokio::net::lookup_host((url.host.as_str(), url.port)).await {
            Ok(addresses) => addresses,
            Err(error) => return failed(format!("look up the host: {}", describe(&error))),
        };
        let mut last = failed("the host has no address".to_owned());
        for address in addresses {
            match self.send_to(address, request.clone(), deadline).await {
                Ok(status) if status.is_success() => return Posted::Taken,
                Ok(status) => return refused(what, status),
                Err(why) => last = failed(why),
            }
        }
        last
    }

    /// The status of the answer, or why there is none.
    async fn send_to(
        &self,
        address: SocketAddr,
        request: Request<Full<Bytes>>,
        deadline: Deadline<'_>,
    ) -> Result<StatusCode, String> {
        let way = Way::default();
        let place = Place::of(&way, address);
        let sentence = |finding: crate::finding::Finding| finding.reason.sentence.to_string();
        let options = self.webhook.tls.as_ref();
        let (means, deadline) = tls::any_means(options, Offer::Nothing, deadline).await;
        let stream = place.connect(deadline).await.map_err(sentence)?;
        let stream: Box<dyn Stream> = match &means {
            None => stream,
            Some(means) => {
                let host = Some(self.webhook.url.host.as_str());
                let secured = tls::secure(stream, &place, means, host, deadline);
                Box::new(secured.await.map_err(sentence)?.stream)
            }
        };
        let answered = exchange(stream, Version::Http1, request, async |answer| {
            Ok::<_, Broken>(answer.status())
        });
        answered.await.map_err(|broken| sentence(broken.finding("the answer")))
    }

    fn request(&self) -> Result<Request<Full<Bytes>>, String> {
        let Webhook { url, secret_file, tls, .. } = self.webhook;
        let usual = if tls.is_some() { 443 } else { 80 };
        let name =
            if url.host.contains(':') { format!("[{}]", url.host) } else { url.host.clone() };
        let host = if url.port == usual { name } else { format!("{name}:{}", url.port) };
        let mut request = Request::post(url.path.as_str())
            .header(header::HOST, host)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, USER_AGENT)
            .header(header::CONNECTION, "close")
            .header("holdfast-event", self.event)
            .header("holdfast-delivery", self.delivery);
        if let Some(path) = secret_file {
            let secret = secret(path).map_err(|error| {
                format!("read the key {}: {}", path.display(), describe(&error))
            })?;
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            request = request
                .header("holdfast-timestamp", now)
                .header("holdfast-signature", sign(&secret, now, &self.body));
        }
        request.body(Full::new(self.body.clone())).map_err(|error| error.to_string())
    }
}

fn refused(what: &str, status: StatusCode) -> Posted {
    let sentence = format!("{what}: the server answers {status}");
    let passing =
        [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS];
    if status.is_client_error() && !passing.contains(&status) {
        return Posted::Refused(sentence);
    }
    Posted::Failed(sentence)
}

/// The key in a file, without the end of its line.
fn secret(path: &Path) -> io::Result<Vec<u8>> {
    use std::io::Read as _;

    let mut key = Vec::new();
    std::fs::File::open(path)?.take(SECRET_MAX + 1).read_to_end(&mut key)?;
    if key.len() as u64 > SECRET_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it has more than 4096 bytes"));
    }
    while matches!(key.last(), Some(b'\n' | b'\r')) {
        key.pop();
    }
    if key.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is empty"));
    }
    Ok(key)
}

/// The signature of `body`, sent at `timestamp` (seconds since 1970): `sha256=` and HMAC-SHA256 (RFC 2104) of the timestamp, a point and the
/// body, in hexadecimal digits.
fn sign(secret: &[u8], timestamp: u64, body: &[u8]) -> String {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, secret));
    context.update(format!("{timestamp}.").as_bytes());
    context.update(body);
    let digits =
        context.sign().as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    format!("sha256={digits}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_the_one_that_openssl_makes() {
        // printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac key
        assert_eq!(sign(b"key", 1_700_000_000, br#"{"a":1}"#), EXPECTED);
    }

    const EXPECTED: &str =
        "sha256=a438e398bfafc57e4396bb7fc2304422f0f768e965d073ca313cb52e22e6ad03";

    #[test]
    fn a_key_is_a_line_and_neither_empty_nor_endless() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "secret\r\n").unwrap();
        assert_eq!(secret(file.path()).unwrap(), b"secret");
        std::fs::write(file.path(), "\n").unwrap();
        secret(file.path()).unwrap_err();
        std::fs::write(file.path(), vec![b'x'; 5000]).unwrap();
        secret(file.path()).unwrap_err();
    }

    #[test]
    fn what_would_be_refused_again_is_not_tried_again() {
        let of = |status| refused("POST", StatusCode::from_u16(status).unwrap());
        for status in [400, 401, 404, 410, 422] {
            assert!(matches!(of(status), Posted::Refused(_)), "{status}");
        }
        for status in [301, 408, 425, 429, 500, 503] {
            assert!(matches!(of(status), Posted::Failed(_)), "{status}");
        }
    }
}
