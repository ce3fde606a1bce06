//! TLS: the handshake as a check of its own and as a part of others, and what is said of the server's certificate.
//!
//! No session is resumed, so each run sees the certificate that the server has now.

mod certificate;
pub(crate) mod settings;

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use holdfast_config::Tls;
use holdfast_health::Code;
use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::deadline::Deadline;
use crate::finding::{Finding, describe, is_own_shortage};
use crate::place::Place;
use crate::talk::Stream;
use crate::transcript;

pub(crate) use settings::Offer;

const DAY: i64 = 24 * 3600;

/// What a passing sentence says of a certificate begins so.
const NOTE: &str = "; its certificate ";

/// What a run's sentence says of the server's certificate, where it ends soon or has ended: `its certificate ends in 9 days, on 2026-12-05`.
pub fn certificate_warning(sentence: &str) -> Option<&str> {
    let at = sentence.find(NOTE)?;
    let rest = sentence.get(at + "; ".len()..)?;
    // After the first of several paths the others are counted.
    rest.split(", and ").next()
}

/// A connection under TLS.
pub(crate) struct Secured<S> {
    /// The connection.
    pub(crate) stream: TlsStream<S>,
    /// Whether the server has chosen HTTP/2.
    pub(crate) is_http2: bool,
    /// What there is to say of its certificate, to follow a passing sentence; mostly nothing.
    pub(crate) note: String,
}

/// What a handshake is made with: the options, and what has been read of the files that they name, or why it was not.
pub(crate) struct Means<'a> {
    tls: &'a Tls,
    settings: Result<Arc<ClientConfig>, String>,
}

/// What a handshake with the options `tls` takes, to be asked for before anything is asked of a server, and the deadline of what follows. The
/// server has no part in this: the time that it takes is none of the server's.
pub(crate) async fn means<'a, 'd>(
    tls: &'a Tls,
    offer: Offer,
    deadline: Deadline<'d>,
) -> (Means<'a>, Deadline<'d>) {
    let settings = deadline.within(settings::of(tls, offer)).await.unwrap_or_else(|| {
        Err(format!("the check's own files were not read within {:?}", deadline.timeout))
    });
    (Means { tls, settings }, deadline.anew())
}

/// The same where there may be no TLS.
pub(crate) async fn any_means<'a, 'd>(
    options: Option<&'a Tls>,
    offer: Offer,
    deadline: Deadline<'d>,
) -> (Option<Means<'a>>, Deadline<'d>) {
    let Some(tls) = options else { return (None, deadline) };
    let (means, deadline) = Box::pin(means(tls, offer, deadline)).await;
    (Some(means), deadline)
}

/// The check `tls`: a handshake.
pub(crate) async fn run(place: &Place<'_>, tls: &Tls, deadline: Deadline<'_>) -> Finding {
    let (means, deadline) = means(tls, Offer::Nothing, deadline).await;
    let stream = match place.connect(deadline).await {
        Ok(stream) => stream,
        Err(finding) => return finding,
    };
    match secure(stream, place, &means, None, deadline).await {
        Ok(secured) => {
            let (_, connection) = secured.stream.get_ref();
            let version = match connection.protocol_version() {
                Some(rustls::ProtocolVersion::TLSv1_2) => "TLS 1.2",
                _ => "TLS 1.3",
            };
            let sentence = format!("handshake with {}: {version}{}", place.address, secured.note);
            Finding::pass(Code::L6OK, sentence)
        }
        Err(finding) => finding,
    }
}

/// Makes a handshake over `stream`. `host` is the name that the protocol above has for the server; the check's own name goes
/// before it.
///
/// # Errors
/// What the run found instead.
pub(crate) async fn secure<S: Stream>(
    stream: S,
    place: &Place<'_>,
    Means { tls, settings }: &Means<'_>,
    host: Option<&str>,
    deadline: Deadline<'_>,
) -> Result<Secured<S>, Finding> {
    let what = format!("handshake with {}", place.address);
    let settings = settings.as_ref().map(Arc::clone);
    let settings = settings.map_err(|why| Finding::ours(format!("{what}: {why}")))?;
    let made = deadline.within(async {
        let name = server_name(place, tls, host);
        let connected = TlsConnector::from(settings).connect(name, stream).await;
        connected.map_err(|error| failed(&what, &error))
    });
    let late = || {
        Finding::fail(
            Code::L6TOUT,
            format!("{what}: connected, but not done within {:?}", deadline.timeout),
        )
    };
    let stream = made.await.ok_or_else(late)??;
    let (_, connection) = stream.get_ref();
    let leaf = connection.peer_certificates().and_then(<[_]>::first);
    let end = leaf.and_then(|leaf| certificate::not_after(leaf));
    let is_http2 = connection.alpn_protocol() == Some(b"h2");
    let note = end.and_then(|end| ending(end, now(), tls.warn_days)).unwrap_or_default();
    transcript::note(|| described(connection, end));
    Ok(Secured { stream, is_http2, note })
}

/// What was agreed, in words: `TLS 1.3, TLS13_AES_128_GCM_SHA256, h2, the certificate ends on 2027-01-15`.
fn described(connection: &rustls::ClientConnection, end: Option<i64>) -> String {
    let version = connection.protocol_version().map(|version| format!("{version:?}"));
    let suite = connection.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite()));
    let protocol = connection.alpn_protocol().map(|name| name.escape_ascii().to_string());
    let end = end.map(|end| format!("the certificate ends on {}", certificate::date(end)));
    [version, suite, protocol, end].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// The name to ask for: the check's, the protocol's, or the address (which is never sent, but must be in the certificate).
fn server_name(place: &Place<'_>, tls: &Tls, host: Option<&str>) -> ServerName<'static> {
    let named =
        tls.name.as_deref().or(host).and_then(|name| ServerName::try_from(name.to_owned()).ok());
    named.unwrap_or_else(|| ServerName::from(place.address.ip()))
}

/// What a handshake that was not made says of the server.
fn failed(what: &str, error: &io::Error) -> Finding {
    if is_own_shortage(error) {
        return Finding::ours(format!("{what}: {}", describe(error)));
    }
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let why = match inner {
        Some(rustls::Error::InvalidCertificate(fault)) => {
            let words = match *fault == CertificateError::UnknownIssuer {
                true => {
                    ", no authority that is trusted has signed it; `ca` names a file with its own"
                }
                false => "",
            };
            format!("the server's certificate: {fault}{words}")
        }
        Some(rustls::Error::InvalidMessage(fault)) => {
            format!("connected, but what it says is no TLS: {fault:?}")
        }
        Some(rustls::Error::AlertReceived(alert)) => format!("the server refuses it: {alert:?}"),
        Some(other) => format!("connected, but {other}"),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            "connected, but closed before it was done".to_owned()
        }
        None => format!("connected, but {}", describe(error)),
    };
    Finding::fail(Code::L6RSP, format!("{what}: {why}"))
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// What to say of a certificate that ends at `end`, seen at `now`, both in seconds since 1970.
fn ending(end: i64, now: i64, warn_days: u32) -> Option<String> {
    let left = end.saturating_sub(now);
    let date = certificate::date(end);
    if left < 0 {
        return Some(format!("{NOTE}ended on {date}"));
    }
    let warned = left < i64::from(warn_days) * DAY;
    let in_time = match left / DAY {
        0 => "within a day".to_owned(),
        1 => "in a day".to_owned(),
        days => format!("in {days} days"),
    };
    warned.then(|| format!("{NOTE}ends {in_time}, on {date}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_warned_of_from_the_day_on() {
        let end = 1_800_000_000;
        assert_eq!(ending(end, end - 14 * DAY, 14), None);
        let note = ending(end, end - 14 * DAY + 1, 14).unwrap();
        assert_eq!(note, "; its certificate ends in 13 days, on 2027-01-15");
        assert_eq!(
            ending(end, end - 5, 14).unwrap(),
            "; its certificate ends within a day, on 2027-01-15"
        );
        assert_eq!(ending(end, end - 5, 0), None);
        assert_eq!(ending(end, end + 1, 0).unwrap(), "; its certificate ended on 2027-01-15");
        assert_eq!(ending(i64::MAX, i64::MIN, u32::MAX), None);
    }

    #[test]
    fn the_warning_is_found_in_a_sentence() {
        let said = "GET https://10.0.0.11:443/: 200 OK";
        assert_eq!(certificate_warning(said), None);
        for (end, more) in [(1_800_000_000, ""), (1_800_000_000, ", and 2 paths more"), (0, "")] {
            let note = ending(end, 1_799_000_000, 14).unwrap();
            let said = format!("{said}{note}{more}");
            assert_eq!(certificate_warning(&said), Some(note.trim_start_matches("; ")), "{said}");
        }
    }
}
