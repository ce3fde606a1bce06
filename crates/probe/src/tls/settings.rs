//! What rustls is told, made once for all checks that say the same, and made again when a file has changed.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::{Duration, Instant};

use holdfast_config::Tls;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::sync::{Mutex, Semaphore};

use crate::finding::is_own_shortage;
use crate::pem;

/// So many different settings are kept; one more, and all are made anew.
const KEPT: usize = 256;
/// A file is looked at again after so long.
const FRESH: Duration = Duration::from_secs(10);

/// Which protocols are offered (ALPN, RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Offer {
    /// None is named.
    Nothing,
    /// HTTP/2 and HTTP/1.1.
    Http,
}

/// The files of so many settings are read at once, those included that a dead file server keeps. A run that needs more is inconclusive.
const READS_AT_ONCE: usize = 16;

static PLACES: Semaphore = Semaphore::const_new(READS_AT_ONCE);

/// What makes settings the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    verify: bool,
    ca: Option<PathBuf>,
    identity: Option<(PathBuf, PathBuf)>,
    offer: Offer,
}

#[derive(Debug)]
struct Made {
    settings: Arc<ClientConfig>,
    files: Vec<Stamp>,
    looked: Instant,
}

/// A file as it was when it was read.
type Stamp = (PathBuf, Option<(u64, i64, i64, u64)>);

static ALL: LazyLock<Mutex<HashMap<Key, Made>>> = LazyLock::new(Mutex::default);

/// The system's authorities, read once.
static AUTHORITIES: OnceLock<Arc<RootCertStore>> = OnceLock::new();

/// The settings for `tls`.
///
/// # Errors
/// A file can't be read or has not what it should: a sentence.
pub(super) async fn of(tls: &Tls, offer: Offer) -> Result<Arc<ClientConfig>, String> {
    let key = Key { verify: tls.verify, ca: tls.ca.clone(), identity: tls.identity.clone(), offer };
    // Whoever needs the same waits for the first to make it.
    let mut all = ALL.lock().await;
    if let Some(made) = all.get(&key).filter(|made| made.looked.elapsed() < FRESH) {
        return Ok(Arc::clone(&made.settings));
    }
    // A file server may be dead: a thread that is stuck keeps its place.
    let place = PLACES.try_acquire().map_err(|_none| {
        format!("its files can't be read: {READS_AT_ONCE} others are being read already")
    })?;
    let (asked, known) = (key.clone(), all.get(&key).map(|made| made.files.clone()));
    let made = tokio::task::spawn_blocking(move || {
        let _place = place;
        match known.is_some_and(|files| are_still_so(&files)) {
            true => Ok(None),
            false => asked.make().map(Some),
        }
    });
    let made = made.await.map_err(|_stopping| "the daemon is stopping".to_owned())??;
    let made = match (made, all.get_mut(&key)) {
        (Some(made), _) => made,
        (None, Some(made)) => {
            made.looked = Instant::now();
            return Ok(Arc::clone(&made.settings));
        }
        (None, None) => return Err("its files were not read".to_owned()),
    };
    if all.len() >= KEPT && !all.contains_key(&key) {
        all.clear();
    }
    let settings = Arc::clone(&made.settings);
    all.insert(key, made);
    Ok(settings)
}

/// Whether the file at `path` has authorities. Blocks.
///
/// # Errors
/// Why not.
pub(crate) fn examine_authorities(path: &Path) -> Result<(), String> {
    pem::authorities(path).map(drop)
}

/// Whether the files are a certificate and its key. Blocks.
///
/// # Errors
/// Why not.
pub(crate) fn examine_identity(certificate: &Path, key: &Path) -> Result<(), String> {
    let identity = Some((certificate.to_owned(), key.to_owned()));
    Key { verify: false, ca: None, identity, offer: Offer::Nothing }.make().map(drop)
}

/// Whether no file is another one than it was. Blocks.
fn are_still_so(files: &[Stamp]) -> bool {
    files.iter().all(|(path, then)| stamp(path).1 == *then)
}

fn stamp(path: &Path) -> Stamp {
    let now = fs::metadata(path).ok();
    (path.to_owned(), now.map(|now| (now.ino(), now.mtime(), now.mtime_nsec(), now.size())))
}

impl Key {
    fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.ca.iter().chain(self.identity.iter().flat_map(|(certificate, key)| [certificate, key]))
    }

    fn make(&self) -> Result<Made, String> {
        // Before they are read: what changes meanwhile is seen the next time.
        let files = self.files().map(|path| stamp(path)).collect();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let builder =
            builder.dangerous().with_custom_certificate_verifier(self.verifier(&provider)?);
        let mut settings = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = pem::certificates(certificate)?;
                let private = pem::private_key(key)?;
                builder.with_client_auth_cert(chain, private).map_err(|error| {
                    format!(
                        "{} and {} don't go together: {error}",
                        certificate.display(),
                        key.display()
                    )
                })?
            }
        };
        settings.resumption = Resumption::disabled();
        if self.offer == Offer::Http {
            settings.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        }
        Ok(Made { settings: Arc::new(settings), files, looked: Instant::now() })
    }

    fn verifier(
        &self,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ServerCertVerifier>, String> {
        if !self.verify {
            return Ok(Arc::new(Unverified(provider.signature_verification_algorithms)));
        }
        let roots = match &self.ca {
            Some(path) => Arc::new(pem::authorities(path)?),
            None => authorities()?,
        };
        let built =
            WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider)).build();
        built
            .map(|verifier| verifier as Arc<dyn ServerCertVerifier>)
            .map_err(|error| error.to_string())
    }
}

/// The authorities that this host trusts.
fn authorities() -> Result<Arc<RootCertStore>, String> {
    if let Some(known) = AUTHORITIES.get() {
        return Ok(Arc::clone(known));
    }
    let found = rustls_native_certs::load_native_certs();
    // A list that is short of some only because this host was short of something is not kept.
    let short = found.errors.iter().find(|error| {
        matches!(&error.kind, rustls_native_certs::ErrorKind::Io { inner, .. } if is_own_shortage(inner))
    });
    if let Some(error) = short {
        return Err(format!("read the authorities of this host: {error}"));
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map_or_else(String::new, |error| format!(" ({error})"));
        return Err(format!(
            "this host trusts no authority{why}: install ca-certificates, or name a file with `ca`"
        ));
    }
    Ok(Arc::clone(AUTHORITIES.get_or_init(|| Arc::new(roots))))
}

/// Takes any certificate, as `verify: false` says; that the server has its key is proved nevertheless.
#[derive(Debug)]
struct Unverified(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _between: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
