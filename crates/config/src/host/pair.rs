//! The certificates of the pair, as the host has them.

use super::{Claimed, Facts};
use crate::code::Code;
use crate::diagnostic::{Problem, Problems, Spot};
use crate::model::{Config, Pair};
use crate::path::Path;

/// What is wrong with a file of the pair: a sentence that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PairFault {
    /// The certificate, or what it says.
    Certificate(String),
    /// The private key.
    Key(String),
    /// The authorities.
    Authorities(String),
    /// The certificate is good, but not now.
    NotNow(String),
    /// The service manager gives the key to the daemon alone.
    Elsewhere,
}

/// The pair that this node is part of, and this node's name: what its files have to be for.
pub(super) fn question(config: &Config) -> Option<(Pair, String)> {
    let pair = config.daemon.pair.as_ref()?;
    let member = pair.nodes.contains_key(&config.node);
    member.then(|| (pair.clone(), config.node.clone()))
}

/// Reports what is wrong with the files, and a node that has no part in the pair.
pub(super) fn check(config: &Config, facts: &Facts, problems: &mut Problems) {
    let Some(pair) = &config.daemon.pair else { return };
    let at = Path::of(&["daemon", "pair"]);
    if pair.peers(&config.node).next().is_none() {
        let node = &config.node;
        let message = match pair.nodes.contains_key(node) {
            true => format!("node `{node}` is alone in `nodes`"),
            false => format!("`nodes` does not name this node, `{node}`"),
        };
        problems.push(
            Problem::new(Code::NoPair, message)
                .at(Spot::Key(at.key("nodes")), "")
                .help("nothing is compared, and `--all-nodes` reaches nobody else"),
        );
    }
    // Who goes on in a dead worker's place keeps the addresses, whatever has become of the files meanwhile.
    let bad = match facts.claimed {
        Claimed::Everything => Code::PairFileLater,
        Claimed::Nothing | Claimed::These(_) => Code::BadPairFile,
    };
    for fault in &facts.pair {
        let (code, key, why) = match fault {
            PairFault::Certificate(why) => (bad, "certificate", why.as_str()),
            PairFault::Key(why) => (bad, pair.key_name(), why.as_str()),
            PairFault::Authorities(why) => (bad, "ca", why.as_str()),
            PairFault::NotNow(why) => (Code::PairCertificateTime, "certificate", why.as_str()),
            PairFault::Elsewhere => (
                Code::CredentialElsewhere,
                pair.key_name(),
                "the service manager gives the key of the pair to the daemon",
            ),
        };
        let mut problem = Problem::new(code, why).at(Spot::Value(at.key(key)), "");
        if code == Code::BadPairFile {
            problem = problem.help("docs/pair.md makes certificates; `--offline` skips this check");
        }
        problems.push(problem);
    }
}
