//! Why two nodes don't come to speak, in words.

use std::error::Error as StdError;
use std::io;

use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};

/// Why a connection ended, where TLS has to do with it or the network.
pub(super) fn why(error: &(dyn StdError + 'static)) -> String {
    tls(error).map_or_else(|| innermost(error), words)
}

/// Whether the other end refused this node in TLS's words, before it has read anything that this one said.
pub(super) fn is_refusal(error: &(dyn StdError + 'static)) -> bool {
    matches!(tls(error), Some(Error::AlertReceived(alert)) if *alert != AlertDescription::CloseNotify)
}

/// TLS's own error behind `error`.
fn tls<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<Error>() {
            return Some(found);
        }
        // An error of the standard library's has another inside that is not its source.
        let inside = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(found) = inside.and_then(|inside| inside.downcast_ref::<Error>()) {
            return Some(found);
        }
        next = error.source();
    }
    None
}

fn innermost(error: &(dyn StdError + 'static)) -> String {
    let mut last = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    let kind = last.downcast_ref::<io::Error>().map(io::Error::kind);
    if kind == Some(io::ErrorKind::UnexpectedEof) {
        return "the other end closed the connection in the middle".to_owned();
    }
    last.to_string()
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "rustls has more words than matter here, and gets new ones"
)]
fn words(error: &Error) -> String {
    match error {
        Error::NoCertificatesPresented => "it showed no certificate".to_owned(),
        Error::InvalidCertificate(fault) => certificate(fault),
        Error::InvalidMessage(_) | Error::InappropriateMessage { .. } => {
            "it does not speak TLS".to_owned()
        }
        Error::PeerIncompatible(
            PeerIncompatible::Tls13RequiredForQuic
            | PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::SupportedVersionsExtensionRequired,
        ) => "it does not speak TLS 1.3".to_owned(),
        Error::AlertReceived(alert) => alerted(*alert),
        other => other.to_string(),
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "rustls has more words than matter here, and gets new ones"
)]
fn certificate(fault: &CertificateError) -> String {
    match fault {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet, by this node's clock".to_owned()
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "its certificate was not issued by the authority that `daemon.pair.ca` has here"
                .to_owned()
        }
        CertificateError::NotValidForName => "its certificate bears another name".to_owned(),
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names = presented.join(", ");
            format!("its certificate is not of `{}`, but of {names}", expected.to_str())
        }
        other => format!("its certificate is not good: {other}"),
    }
}

/// What the other end said before it closed (RFC 8446 §6.2).
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "rustls has more words than matter here, and gets new ones"
)]
fn alerted(alert: AlertDescription) -> String {
    let why = match alert {
        AlertDescription::CertificateExpired => "it has expired, by that node's clock",
        AlertDescription::UnknownCA => {
            "it was not issued by the authority that `daemon.pair.ca` has there"
        }
        AlertDescription::CertificateRequired => "there was none",
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::AccessDenied
        | AlertDescription::DecryptError => "it is not good there: see that node's log",
        AlertDescription::ProtocolVersion => return "it does not speak TLS 1.3".to_owned(),
        other => return format!("it ended the handshake: {other:?}"),
    };
    format!("it refuses this node's certificate: {why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tls_says_is_found_behind_other_errors_and_said_in_words() {
        let wrapped = |error: Error| io::Error::new(io::ErrorKind::InvalidData, error);
        let said = why(&wrapped(Error::NoCertificatesPresented));
        assert_eq!(said, "it showed no certificate");
        let expired = Error::InvalidCertificate(CertificateError::Expired);
        assert_eq!(why(&wrapped(expired)), "its certificate has expired");
        let told = Error::AlertReceived(AlertDescription::UnknownCA);
        let said = why(&wrapped(told));
        assert!(
            said.starts_with("it refuses this node's certificate: it was not issued"),
            "{said}"
        );
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert_eq!(why(&refused), "connection refused");
    }
}
