//! What this node needs to speak with the others: who they are, and TLS's settings for either side.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use holdfast_config::Pair;
use holdfast_config::host::PairFault;
use holdfast_host::pair::{self, Identity};
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor};
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig};

use super::sentence;

/// Everything about the pair that a reload may change.
#[derive(Debug)]
pub(crate) struct Link {
    /// The other nodes, by name, and where each listens.
    pub(super) peers: BTreeMap<String, SocketAddr>,
    pub(super) server: Arc<ServerConfig>,
    pub(super) client: Arc<ClientConfig>,
    pub(super) interval: Duration,
    /// What it was made of.
    of: Made,
}

/// What makes two links the same.
#[derive(Debug, PartialEq, Eq)]
struct Made {
    pair: Pair,
    node: String,
    chain: Vec<CertificateDer<'static>>,
    roots: Vec<TrustAnchor<'static>>,
}

impl Link {
    /// Reads the files. Blocks.
    ///
    /// # Errors
    /// One is not what it should be: a sentence.
    pub(super) fn open(pair: &Pair, node: &str) -> Result<Self, String> {
        let identity = pair::identity(pair, node).map_err(|faults| sentence(&faults, &pair.key))?;
        if let Some(PairFault::NotNow(why)) = identity.fault(pair, node) {
            tracing::warn!(why, "the other nodes will not believe this one");
        }
        let peers = pair.peers(node).map(|(name, at)| (name.to_owned(), at)).collect();
        let of = Made {
            pair: pair.clone(),
            node: node.to_owned(),
            chain: identity.chain.clone(),
            roots: identity.roots.roots.clone(),
        };
        let (server, client) = settings(identity)
            .map_err(|error| format!("prepare TLS between nodes (`daemon.pair`): {error}"))?;
        let (server, client) = (Arc::new(server), Arc::new(client));
        Ok(Self { peers, server, client, interval: pair.interval, of })
    }

    /// Whether `other` says the same with the same certificates: a certificate that stays has the key that it had.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.of == other.of
    }

    /// The node whose certificate this is; none when it is of no other node of the pair.
    pub(super) fn node_of(&self, certificate: &CertificateDer<'_>) -> Option<&str> {
        let parsed = ParsedCertificate::try_from(certificate).ok()?;
        let is_of = |name: &&String| {
            ServerName::try_from(name.as_str())
                .is_ok_and(|name| rustls::client::verify_server_name(&parsed, &name).is_ok())
        };
        self.peers.keys().find(is_of).map(String::as_str)
    }
}

/// TLS 1.3 alone, a certificate on either side, and no sessions that outlive a connection: who is refused now was not let in before.
fn settings(identity: Identity) -> Result<(ServerConfig, ClientConfig), String> {
    let provider = pair::provider();
    let Identity { chain, key, roots } = identity;
    let words = |error: rustls::Error| error.to_string();
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider));
    let verifier = verifier.build().map_err(|error| error.to_string())?;
    let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13])
        .map_err(words)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain.clone(), key.clone_key())
        .map_err(words)?;
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(words)?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .map_err(words)?;
    client.resumption = Resumption::disabled();
    Ok((server, client))
}
