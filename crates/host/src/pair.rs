//! The certificates of the pair (`daemon.pair`): read, and judged as the other nodes will judge them.
//!
//! A file that is missing, that others could have written or, of the key, read, or that does not fit the others, is refused. A
//! certificate that is good but not now (expired) is not: the pair is a convenience, and no director stops for it.

use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use holdfast_config::Pair;
use holdfast_config::host::PairFault;
use holdfast_probe::pem;
use holdfast_probe::trust::{self, Distrust};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, Error, RootCertStore};

use crate::secret;

/// Who this node is to the others, and whom it believes.
pub struct Identity {
    /// Its certificate, and those between it and an authority.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its private key.
    pub key: PrivateKeyDer<'static>,
    /// The authorities that issue the nodes' certificates.
    pub roots: Arc<RootCertStore>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(…)")
    }
}

/// The cryptography of TLS between nodes.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// Reads the files of `pair`, and judges them as the other nodes will judge those of the node `name`. Blocks.
///
/// # Errors
/// Everything that is wrong with them but the time.
pub fn identity(pair: &Pair, name: &str) -> Result<Identity, Vec<PairFault>> {
    let mut faults = Vec::new();
    let chain = trusted(&pair.certificate).and_then(|()| pem::certificates(&pair.certificate));
    let chain = chain.map_err(|why| faults.push(PairFault::Certificate(why))).ok();
    let roots = trusted(&pair.ca).and_then(|()| pem::authorities(&pair.ca));
    let roots = roots.map_err(|why| faults.push(PairFault::Authorities(why))).ok();
    let key = match secret::file(&pair.key) {
        None => Err(PairFault::Elsewhere),
        Some(path) => trusted(&path)
            .and_then(|()| unread(&path))
            .and_then(|()| pem::private_key(&path))
            .map_err(PairFault::Key),
    };
    let key = key.map_err(|fault| faults.push(fault)).ok();
    let (Some(chain), Some(key), Some(roots)) = (chain, key, roots) else { return Err(faults) };
    let identity = Identity { chain, key, roots: Arc::new(roots) };
    match identity.fault(pair, name) {
        None | Some(PairFault::NotNow(_)) => Ok(identity),
        Some(fault) => Err(vec![fault]),
    }
}

/// Everything that is wrong with the files of `pair` for the node `name`. What this user may not read, the daemon may: that is no
/// finding.
pub(crate) fn faults(pair: &Pair, name: &str) -> Vec<PairFault> {
    let hidden = |path: &Path| {
        fs::File::open(path)
            .is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
    };
    let key = secret::file(&pair.key);
    let mut files = [&pair.certificate, &pair.ca].into_iter().chain(&key);
    if !nix::unistd::geteuid().is_root() && files.any(|path| hidden(path)) {
        return Vec::new();
    }
    match identity(pair, name) {
        Ok(identity) => identity.fault(pair, name).into_iter().collect(),
        Err(faults) => faults,
    }
}

impl Identity {
    /// What the other nodes would have against the certificate, now.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "rustls has more words than matter here, and gets new ones"
    )]
    pub fn fault(&self, pair: &Pair, name: &str) -> Option<PairFault> {
        let (file, ca) = (pair.certificate.display(), pair.ca.display());
        let whole = CertifiedKey::from_der(self.chain.clone(), self.key.clone_key(), &provider());
        if let Err(error) = whole {
            let why = format!("{file} and the key in {} don't go together: {error}", pair.key);
            return Some(PairFault::Key(why));
        }
        let error = self.verified(name).err()?;
        let why = match &error {
            Error::InvalidCertificate(
                CertificateError::Expired | CertificateError::ExpiredContext { .. },
            ) => {
                return Some(PairFault::NotNow(format!(
                    "the certificate in {file} has expired: the other nodes refuse it"
                )));
            }
            Error::InvalidCertificate(
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
            ) => {
                return Some(PairFault::NotNow(format!(
                    "the certificate in {file} is not valid yet, by this host's clock: the other nodes may refuse it"
                )));
            }
            Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            ) => format!(
                "the certificate in {file} is not of node `{name}`: its subjectAltName has to have `DNS:{name}`"
            ),
            Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature,
            ) => format!("the certificate in {file} was not issued by an authority of {ca}"),
            other => format!("the certificate in {file} can't be one of a node: {other}"),
        };
        Some(PairFault::Certificate(why))
    }

    /// Whether the certificate is good on either side of a connection.
    fn verified(&self, name: &str) -> Result<(), Error> {
        let Some((own, between)) = self.chain.split_first() else {
            return Err(Error::NoCertificatesPresented);
        };
        let of = ServerName::try_from(name.to_owned())
            .map_err(|_no_host| Error::General(format!("`{name}` is no name of a host")))?;
        let general = |error: &dyn fmt::Display| Error::General(error.to_string());
        let roots = Arc::clone(&self.roots);
        let server = WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), provider());
        let server = server.build().map_err(|error| general(&error))?;
        server.verify_server_cert(own, between, &of, &[], UnixTime::now())?;
        let client = WebPkiClientVerifier::builder_with_provider(roots, provider());
        let client = client.build().map_err(|error| general(&error))?;
        client.verify_client_cert(own, between, UnixTime::now()).map(drop)
    }
}

/// Whether nobody else could have written the file, or put another in its place.
fn trusted(path: &Path) -> Result<(), String> {
    match trust::examine_file(path) {
        // Its name and the kernel's words come when it is read.
        Ok(()) | Err(Distrust::Unreadable { .. }) => Ok(()),
        Err(distrust) => Err(distrust.to_string()),
    }
}

/// Whether others can't read the key: those who are neither its owner nor of its group.
fn unread(path: &Path) -> Result<(), String> {
    let Ok(metadata) = fs::metadata(path) else { return Ok(()) };
    match metadata.permissions().mode() & 0o7777 {
        mode if mode & 0o007 == 0 => Ok(()),
        mode => Err(format!(
            "everybody can read the key in {} (mode {mode:04o}): `chmod 0600` it, and make another if others have seen it",
            path.display()
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::chown;

    use holdfast_config::{Environment, parse};
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
    use tempfile::TempDir;

    use super::*;

    /// A folder with an authority, and what it issues.
    struct Authority {
        folder: TempDir,
        issuer: Issuer<'static, KeyPair>,
    }

    impl Authority {
        fn new() -> Self {
            let mut parameters = CertificateParams::new(vec![]).unwrap();
            parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let key = KeyPair::generate().unwrap();
            let folder = tempfile::tempdir_in("/tmp").unwrap();
            let pem = parameters.self_signed(&key).unwrap().pem();
            fs::write(folder.path().join("ca.pem"), pem).unwrap();
            Self { folder, issuer: Issuer::new(parameters, key) }
        }

        /// Puts a certificate of these names into the folder, which ends in that year.
        fn issue(&self, names: &[&str], until: i32) {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            let mut parameters = CertificateParams::new(names).unwrap();
            parameters.not_before = date_time_ymd(2020, 1, 1);
            parameters.not_after = date_time_ymd(until, 1, 1);
            let key = KeyPair::generate().unwrap();
            let pem = parameters.signed_by(&key, &self.issuer).unwrap().pem();
            self.put("node.pem", &pem, 0o644);
            self.put("node.key", &key.serialize_pem(), 0o600);
        }

        fn put(&self, name: &str, text: &str, mode: u32) {
            let path = self.folder.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }

        fn pair(&self) -> Pair {
            let folder = self.folder.path().display();
            let text = format!(
                "daemon: {{pair: {{nodes: {{lb1: 192.0.2.2, lb2: 192.0.2.3}}, certificate: {folder}/node.pem, key: {folder}/node.key, ca: {folder}/ca.pem}}}}\nservices: {{}}\n"
            );
            let config = parse("f", &text, &Environment::new("lb1")).config.unwrap();
            config.daemon.pair.unwrap()
        }

        fn found(&self) -> Vec<PairFault> {
            faults(&self.pair(), "lb1")
        }
    }

    #[test]
    fn a_certificate_of_the_node_by_the_authority_is_taken() {
        let authority = Authority::new();
        authority.issue(&["lb1"], 2100);
        assert_eq!(authority.found(), []);
        assert_eq!(format!("{:?}", identity(&authority.pair(), "lb1").unwrap()), "Identity(…)");
    }

    #[test]
    fn what_the_other_nodes_would_refuse_is_refused_here_with_what_to_do() {
        let authority = Authority::new();
        let said = |found: Vec<PairFault>| match found.as_slice() {
            [PairFault::Certificate(why) | PairFault::Key(why) | PairFault::Authorities(why)] => {
                why.clone()
            }
            other => panic!("{other:?}"),
        };
        authority.issue(&["lb2"], 2100);
        assert!(said(authority.found()).contains("has to have `DNS:lb1`"));
        let other = Authority::new();
        other.issue(&["lb1"], 2100);
        for file in ["node.pem", "node.key"] {
            let from = other.folder.path().join(file);
            fs::copy(from, authority.folder.path().join(file)).unwrap();
        }
        assert!(said(authority.found()).contains("was not issued by an authority of"));
        authority.issue(&["lb1"], 2100);
        authority.put("node.key", &KeyPair::generate().unwrap().serialize_pem(), 0o600);
        assert!(said(authority.found()).contains("don't go together"));
        authority.put("node.key", "no key\n", 0o600);
        assert!(said(authority.found()).contains("has no private key in PEM"));
        authority.issue(&["lb1"], 2100);
        fs::remove_file(authority.folder.path().join("ca.pem")).unwrap();
        assert!(said(authority.found()).contains("ca.pem"));
    }

    #[test]
    fn files_that_others_can_write_and_a_key_that_others_can_read_are_refused() {
        assert!(nix::unistd::geteuid().is_root(), "this test gives files away: run it as root");
        let authority = Authority::new();
        authority.issue(&["lb1"], 2100);
        let mode = |name: &str, mode| {
            let path = authority.folder.path().join(name);
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        for (name, wrong, right) in
            [("node.pem", 0o666, 0o644), ("ca.pem", 0o664, 0o644), ("node.key", 0o644, 0o640)]
        {
            mode(name, wrong);
            assert_eq!(authority.found().len(), 1, "{name} {wrong:o}");
            mode(name, right);
            assert_eq!(authority.found(), [], "{name} {right:o}");
        }
        chown(authority.folder.path().join("node.key"), Some(1234), None).unwrap();
        assert!(matches!(authority.found().as_slice(), [PairFault::Key(_)]), "somebody else's");
    }

    #[test]
    fn one_that_has_expired_is_a_warning_and_holds_nothing_up() {
        let authority = Authority::new();
        authority.issue(&["lb1"], 2021);
        let found = authority.found();
        let [PairFault::NotNow(why)] = found.as_slice() else { panic!("{found:?}") };
        assert!(why.contains("has expired"), "{why}");
        assert!(identity(&authority.pair(), "lb1").is_ok());
    }
}
