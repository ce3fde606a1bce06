//! The other directors, and how this one speaks with them (`daemon.pair`).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::SecretFrom;

/// The API between nodes: over TCP, with a certificate on either side (`daemon.pair`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pair {
    /// Where each node's API is, by the node's name, this node among them (`nodes`); 1 to 16. A node's certificate bears its name.
    pub nodes: BTreeMap<String, SocketAddr>,
    /// Where this node listens, when that is not its address in [`Self::nodes`] (`listen`).
    pub listen: Option<SocketAddr>,
    /// The PEM file with this node's certificate, and those between it and the authority (`certificate`).
    pub certificate: PathBuf,
    /// Where its private key is, in PEM (`key`, `key_credential`).
    pub key: SecretFrom,
    /// The PEM file of the authorities that issue the nodes' certificates (`ca`). No other is believed.
    pub ca: PathBuf,
    /// How often the other nodes are asked for their fingerprints (`interval`).
    pub interval: Duration,
}

impl Pair {
    /// Which key says where the private key is.
    pub(crate) const fn key_name(&self) -> &'static str {
        match self.key {
            SecretFrom::File(_) => "key",
            SecretFrom::Credential(_) => "key_credential",
        }
    }

    /// Where the node that is called `node` listens; none when it is not among [`Self::nodes`].
    pub fn listens(&self, node: &str) -> Option<SocketAddr> {
        let own = self.nodes.get(node)?;
        Some(self.listen.unwrap_or(*own))
    }

    /// The nodes other than `node`, each with where its API is, by name. None where `node` is not among them: it could not prove who
    /// it is.
    pub fn peers<'a>(&'a self, node: &'a str) -> impl Iterator<Item = (&'a str, SocketAddr)> {
        let member = self.nodes.contains_key(node);
        let others = self.nodes.iter().filter(move |(name, _)| member && *name != node);
        others.map(|(name, address)| (name.as_str(), *address))
    }
}
