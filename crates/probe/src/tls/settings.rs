//! What rustls is told, made once for all checks that say the same, and made again when a file has changed.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use holdfast_config::Tls;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::time::timeout;

use crate::finding::is_own_shortage;
use crate::pem;
use crate::readers::Readers;

/// So many different settings are kept; one more, and all are made anew.
const KEPT: usize = 256;
/// A file is looked at again after so long.
const FRESH: Duration = Duration::from_secs(10);
/// The run that looks waits so long for what it sees; then it takes what was known, and the next one has what is seen.
const LOOK: Duration = Duration::from_millis(100);

/// Which protocols are offered (ALPN, RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Offer {
    /// None is named.
    Nothing,
    /// HTTP/2 and HTTP/1.1.
    Http,
}

/// The files of so many settings are read at once, those included that a dead file server keeps. A run that knows none yet waits
/// for a place; one whose settings are not there by its timeout is inconclusive.
const READS_AT_ONCE: usize = 16;

static READERS: Readers<Key, Result<Arc<ClientConfig>, String>> = Readers::new(READS_AT_ONCE);

/// What makes settings the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
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

/// What is known. It is held for no longer than it takes to look something up.
static ALL: Mutex<BTreeMap<Key, Made>> = Mutex::new(BTreeMap::new());

/// The system's authorities, read once.
static AUTHORITIES: OnceLock<Arc<RootCertStore>> = OnceLock::new();

/// The settings for `tls`. Those that are known are given while their files are looked at again: a file server that is dead takes nothing
/// away, and a file that is found changed or gone counts from then on.
///
/// # Errors
/// A file can't be read or has not what it should: a sentence.
pub(super) async fn of(tls: &Tls, offer: Offer) -> Result<Arc<ClientConfig>, String> {
    let key = Key { verify: tls.verify, ca: tls.ca.clone(), identity: tls.identity.clone(), offer };
    let known = match all().get(&key) {
        Some(made) if made.is_fresh() => return Ok(Arc::clone(&made.settings)),
        known => known.map(|made| Arc::clone(&made.settings)),
    };
    if !key.is_read() {
        return key.look();
    }
    let is_looked_at = READERS.is_reading(&key);
    let asked = key.clone();
    let look = READERS.read(&key, move || asked.look());
    let stopping = || Err("the daemon is stopping".to_owned());
    match known {
        None => look.await.unwrap_or_else(stopping),
        Some(settings) if is_looked_at => Ok(settings),
        Some(settings) => match timeout(LOOK, look).await {
            Ok(seen) => seen.unwrap_or_else(stopping),
            Err(_elapsed) => Ok(settings),
        },
    }
}

fn all() -> MutexGuard<'static, BTreeMap<Key, Made>> {
    ALL.lock().unwrap_or_else(PoisonError::into_inner)
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

impl Made {
    /// Whether it is taken as it is: it comes from no file, or they were looked at just now.
    fn is_fresh(&self) -> bool {
        self.files.is_empty() || self.looked.elapsed() < FRESH
    }
}

impl Key {
    fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.ca.iter().chain(self.identity.iter().flat_map(|(certificate, key)| [certificate, key]))
    }

    /// Whether files have to be read to make it.
    fn is_read(&self) -> bool {
        self.files().next().is_some() || self.verify && AUTHORITIES.get().is_none()
    }

    /// Makes it, or finds that what was made holds still, and keeps it. One that can't be made is known no longer. Blocks.
    fn look(self) -> Result<Arc<ClientConfig>, String> {
        let known = all().get(&self).map(|made| (Arc::clone(&made.settings), made.files.clone()));
        if let Some((settings, files)) = known
            && are_still_so(&files)
        {
            if let Some(made) = all().get_mut(&self) {
                made.looked = Instant::now();
            }
            return Ok(settings);
        }
        let made = self.make();
        let mut all = all();
        match made {
            Ok(made) => {
                if all.len() >= KEPT && !all.contains_key(&self) {
                    all.clear();
                }
                let settings = Arc::clone(&made.settings);
                all.insert(self, made);
                Ok(settings)
            }
            Err(why) => {
                all.remove(&self);
                Err(why)
            }
        }
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

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use holdfast_config::{CheckKind, Environment, Talk, parse};
    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn authority() -> String {
        let key = KeyPair::generate().unwrap();
        CertificateParams::new(vec![]).unwrap().self_signed(&key).unwrap().pem()
    }

    /// Lets what is known of `path` be old.
    fn age(path: &Path) {
        let mut all = all();
        let (_, made) = all.iter_mut().find(|(key, _)| key.ca.as_deref() == Some(path)).unwrap();
        made.looked = Instant::now().checked_sub(FRESH).unwrap();
    }

    #[tokio::test]
    async fn what_is_known_is_taken_while_its_file_does_not_come_and_no_longer_when_it_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        fs::write(&path, authority()).unwrap();
        let text = format!(
            "services: {{s: {{listen: tcp 192.0.2.1:80, forward: nat, check: {{tls: {{ca: {}}}}}}}}}",
            path.display()
        );
        let config = parse("test", &text, &Environment::new("lb1")).config.unwrap();
        let kind = &config.services.values().next().unwrap().checks[0].kind;
        let CheckKind::Network(check) = kind else { panic!("{kind:?}") };
        let Talk::Tls(tls) = &check.talk else { panic!("{check:?}") };
        let of = async || timeout(PATIENCE, of(tls, Offer::Nothing)).await.unwrap();
        let first = of().await.unwrap();
        age(&path);
        assert!(Arc::ptr_eq(&of().await.unwrap(), &first), "nothing has changed");
        // A dead file server.
        fs::remove_file(&path).unwrap();
        mkfifo(&path, Mode::from_bits_truncate(0o600)).unwrap();
        age(&path);
        for _ in 0..3 {
            assert!(Arc::ptr_eq(&of().await.unwrap(), &first));
        }
        // It answers again.
        let mut writer = fs::OpenOptions::new().write(true).open(&path).unwrap();
        writer.write_all(authority().as_bytes()).unwrap();
        drop(writer);
        let mut pace = tokio::time::interval(Duration::from_millis(10));
        let all = async {
            while Arc::ptr_eq(&of().await.unwrap(), &first) {
                pace.tick().await;
            }
        };
        timeout(PATIENCE, all).await.unwrap();
        fs::remove_file(&path).unwrap();
        age(&path);
        // What is known is used while the file is looked at.
        let why = async {
            loop {
                match of().await {
                    Err(why) => break why,
                    Ok(_) => pace.tick().await,
                };
            }
        };
        let why = timeout(PATIENCE, why).await.unwrap();
        assert!(why.contains("no such file or directory (ENOENT)"), "{why}");
    }
}
