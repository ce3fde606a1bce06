//! Secrets that are not in the configuration: where they are, and their way into it.

use std::collections::BTreeSet;
use std::fmt;

use super::{Facts, at};
use crate::code::Code;
use crate::diagnostic::{Problem, Problems, Spot};
use crate::model::{Config, Password, SecretFrom};
use crate::source::Source;

/// What became of a secret's place.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// The first line.
    Read(String),
    /// It can't be read: why.
    Unreadable(String),
    /// Nobody here can have it: the service manager gives it to the daemon.
    Elsewhere,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(_) => f.write_str("Read(…)"),
            Self::Unreadable(why) => write!(f, "Unreadable({why:?})"),
            Self::Elsewhere => f.write_str("Elsewhere"),
        }
    }
}

/// The places of all secrets.
pub(super) fn places(config: &Config) -> BTreeSet<SecretFrom> {
    config.instances.values().filter_map(|instance| instance.password_from.clone()).collect()
}

/// Reports what can't be read, and what is no password.
pub(super) fn check(config: &Config, source: &Source, facts: &Facts, problems: &mut Problems) {
    for instance in config.instances.values() {
        let Some(from) = &instance.password_from else { continue };
        let (code, why) = match facts.secrets.get(from) {
            None => continue,
            Some(Secret::Read(text)) if Password::new(text).is_some() => continue,
            Some(Secret::Read(text)) => (Code::NoSecret, Password::fault(text)),
            Some(Secret::Unreadable(why)) => (Code::NoSecret, why.clone()),
            Some(Secret::Elsewhere) => {
                (Code::CredentialElsewhere, "the service manager gives it to the daemon".to_owned())
            }
        };
        let key = match from {
            SecretFrom::File(_) => "password_file",
            SecretFrom::Credential(_) => "password_credential",
        };
        let path = at(config, instance, Some(source), "authentication").key(key);
        let message = format!("the password of instance `{}` in {from}: {why}", instance.name);
        problems.push(Problem::new(code, message).at(Spot::Value(path), ""));
    }
}

impl Config {
    /// Puts the secrets in that are not in the text, as far as they were found.
    pub fn fill_secrets(&mut self, facts: &Facts) {
        for instance in self.instances.values_mut() {
            let Some(from) = &instance.password_from else { continue };
            if let Some(Secret::Read(text)) = facts.secrets.get(from) {
                instance.password = Password::new(text);
            }
        }
    }

    /// A secret that the configuration needs and has not, as a sentence: where [`Self::fill_secrets`] has not found it.
    pub fn missing_secret(&self) -> Option<String> {
        let mut instances = self.instances.values();
        instances.find_map(|instance| {
            let from = instance.password_from.as_ref().filter(|_| instance.password.is_none())?;
            Some(format!(
                "the password of instance `{}` is in {from}, which was not given to the daemon: `LoadCredential=` of the unit names it",
                instance.name
            ))
        })
    }
}
