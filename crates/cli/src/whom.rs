//! Whom a command line means: a server is known by its name, by its address and port, and by its address alone where no other has it.

use std::net::{IpAddr, SocketAddr};

use holdfast_control::{Client, RequestError, chain};

use crate::args;
use crate::failure::Failure;
use crate::nodes::{ANSWER_LOST, Failed};

/// Why nobody is meant.
#[derive(Debug)]
pub(crate) enum Unmeant {
    /// The words make no sense.
    Usage(String),
    /// The service has no server of this address or name.
    Nobody(String, String),
    /// Several servers of the service have this address.
    Several(String, String),
    /// The daemon could not be asked.
    Request(RequestError),
}

impl Unmeant {
    /// Why, in a sentence.
    fn sentence(&self) -> String {
        match self {
            Self::Usage(sentence) => sentence.clone(),
            Self::Nobody(service, word) => format!("service `{service}` has no server at {word}"),
            Self::Several(service, word) => {
                format!("several servers of service `{service}` have {word}: say the port")
            }
            Self::Request(error) => chain(error),
        }
    }
}

impl From<RequestError> for Unmeant {
    fn from(error: RequestError) -> Self {
        Self::Request(error)
    }
}

impl From<Unmeant> for Failed {
    fn from(unmeant: Unmeant) -> Self {
        let sentence = unmeant.sentence();
        match unmeant {
            Unmeant::Usage(_) => Self::Usage(sentence),
            Unmeant::Nobody(..) => Self::Refused("no_such_server".to_owned(), sentence),
            Unmeant::Several(..) => Self::Refused("bad_server".to_owned(), sentence),
            Unmeant::Request(error) => match Self::from(error) {
                // The command itself was not sent: whether it was done is known.
                Self::Silent(code, _) => Self::Asking(match code.as_str() {
                    ANSWER_LOST => "the daemon ended before it answered which server that is: nothing was changed".to_owned(),
                    _ => format!("{sentence}; it was asked which server that is: nothing was changed"),
                }),
                known @ (Self::Refused(..) | Self::Asking(_) | Self::Usage(_)) => known,
            },
        }
    }
}

impl From<Unmeant> for Failure {
    fn from(unmeant: Unmeant) -> Self {
        match unmeant {
            Unmeant::Usage(sentence) => Self::Usage(sentence),
            Unmeant::Request(error) => error.into(),
            Unmeant::Nobody(..) | Unmeant::Several(..) => Self::Failed(unmeant.sentence()),
        }
    }
}

/// The names of the service and of the server of it that `server` means: that whose name it is, or the one that has the address. A word that
/// is no address is a name, whether it is there or not.
pub(crate) async fn meant(
    client: &Client,
    server: &args::ServerName,
) -> Result<(String, String), Unmeant> {
    let (service, word) = server.parts().map_err(Unmeant::Usage)?;
    if Place::of(word).is_none() {
        return Ok((service.to_owned(), word.to_owned()));
    }
    let servers = client.service(service).await?.servers;
    let known = servers.iter().map(|one| (one.name.as_str(), one.address.parse().ok()));
    picked(service, word, known)
}

/// As [`meant`], for a server of which there may be nothing but a change that the daemon keeps; its service may be gone, too. The service is
/// looked at once: it may go at any moment.
pub(crate) async fn meant_or_kept(
    client: &Client,
    server: &args::ServerName,
) -> Result<(String, String), Unmeant> {
    let (service, word) = server.parts().map_err(Unmeant::Usage)?;
    if Place::of(word).is_none() {
        return Ok((service.to_owned(), word.to_owned()));
    }
    let (there, no_service) = match client.service(service).await {
        Ok(found) => (found.servers, None),
        Err(RequestError::Refused(problem)) if problem.code == "no_such_service" => {
            (Vec::new(), Some(problem))
        }
        Err(error) => return Err(error.into()),
    };
    let known = there.iter().map(|one| (one.name.as_str(), one.address.parse().ok()));
    let nobody = match picked(service, word, known) {
        Err(nobody @ Unmeant::Nobody(..)) => nobody,
        found => return found,
    };
    // A name may be another server's by now, which has another address: it is not meant.
    let anothers = |name: &str| there.iter().any(|one| one.name == name);
    let changes = client.changes().await?.changes;
    let kept = changes.iter().filter(|one| one.service == service && !anothers(&one.server));
    let kept = kept.map(|one| (one.server.as_str(), one.address.parse().ok()));
    match picked(service, word, kept) {
        Err(Unmeant::Nobody(..)) => Err(match no_service {
            Some(problem) => Unmeant::Request(RequestError::Refused(problem)),
            None => nobody,
        }),
        found => found,
    }
}

/// The names of `service` and of the one of its `servers`, by name and address, that `word` means.
pub(crate) fn picked<'a>(
    service: &str,
    word: &str,
    servers: impl IntoIterator<Item = (&'a str, Option<SocketAddr>)>,
) -> Result<(String, String), Unmeant> {
    let place = Place::of(word);
    let mut found: Option<&str> = None;
    let mut several = false;
    for (name, address) in servers {
        if name == word {
            return Ok((service.to_owned(), name.to_owned()));
        }
        if place.zip(address).is_some_and(|(place, address)| place.is_of(address)) {
            // One server may have several changes.
            several |= found.is_some_and(|other| other != name);
            found.get_or_insert(name);
        }
    }
    let at = || place.map_or_else(|| word.to_owned(), |place| place.to_string());
    match found {
        Some(_) if several => Err(Unmeant::Several(service.to_owned(), at())),
        Some(name) => Ok((service.to_owned(), name.to_owned())),
        None => Err(Unmeant::Nobody(service.to_owned(), at())),
    }
}

/// Where a server is.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// At this address and port.
    Port(SocketAddr),
    /// At this address, whatever the port is.
    Host(IpAddr),
}

impl Place {
    /// What a word says, if it is an address: that of IPv6 may stand in brackets.
    fn of(word: &str) -> Option<Self> {
        if let Ok(address) = word.parse() {
            return Some(Self::Port(address));
        }
        let bare = word.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        bare.unwrap_or(word).parse().ok().map(Self::Host)
    }

    fn is_of(self, address: SocketAddr) -> bool {
        match self {
            Self::Port(wanted) => wanted == address,
            Self::Host(wanted) => wanted == address.ip(),
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Port(address) => address.fmt(f),
            Self::Host(address) => address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use holdfast_control::Problem;

    use super::*;

    const SERVERS: [(&str, &str); 7] = [
        ("web1", "10.0.0.11:80"),
        ("10.0.0.14-80", "10.0.0.14:80"),
        ("10.0.0.15", "10.0.0.16:80"),
        ("five", "10.0.0.15:80"),
        ("a", "10.0.0.17:80"),
        ("b", "10.0.0.17:8080"),
        ("six", "[2001:db8::11]:80"),
    ];

    fn pick(word: &str) -> Result<String, String> {
        let servers = SERVERS.map(|(name, address)| (name, address.parse().ok()));
        picked("web", word, servers).map(|(_, name)| name).map_err(|unmeant| unmeant.sentence())
    }

    #[test]
    fn a_server_is_known_by_its_name_and_by_its_address_with_and_without_the_port() {
        for (word, name) in [
            ("web1", "web1"),
            ("10.0.0.11:80", "web1"),
            ("10.0.0.11", "web1"),
            ("10.0.0.14", "10.0.0.14-80"),
            ("10.0.0.15", "10.0.0.15"),
            ("10.0.0.15:80", "five"),
            ("10.0.0.17:8080", "b"),
            ("[2001:db8::11]:80", "six"),
            ("[2001:db8::11]", "six"),
            ("2001:db8:0::11", "six"),
        ] {
            assert_eq!(pick(word).as_deref(), Ok(name), "{word}");
        }
        for (word, sentence) in [
            ("10.0.0.99", "service `web` has no server at 10.0.0.99"),
            ("10.0.0.11:81", "service `web` has no server at 10.0.0.11:81"),
            ("[2001:db8::99]", "service `web` has no server at 2001:db8::99"),
            ("10.0.0.17", "several servers of service `web` have 10.0.0.17: say the port"),
        ] {
            assert_eq!(pick(word).unwrap_err(), sentence, "{word}");
        }
    }

    #[test]
    fn a_server_with_two_changes_is_one() {
        let address: Option<SocketAddr> = "10.0.0.11:80".parse().ok();
        let changes = [("web1", address), ("web1", address)];
        assert_eq!(picked("web", "10.0.0.11", changes).unwrap().1, "web1");
    }

    /// The command itself was not sent then.
    #[test]
    fn a_look_up_whose_answer_is_lost_leaves_no_doubt() {
        let problem = |code: &str| Problem {
            code: code.to_owned(),
            detail: "why".to_owned(),
            title: "t".to_owned(),
            status: 504,
            diagnosis: None,
        };
        for error in [
            RequestError::Timeout(std::time::Duration::from_secs(10)),
            RequestError::Lost("closed".to_owned()),
            RequestError::Refused(problem("node_silent")),
            RequestError::Refused(problem("answer_lost")),
        ] {
            let Failed::Asking(why) = Failed::from(Unmeant::Request(error)) else { panic!() };
            assert!(why.ends_with("which server that is: nothing was changed"), "{why}");
            assert!(!why.contains("not known"), "{why}");
        }
        let refused = Failed::from(Unmeant::Request(RequestError::Refused(problem("not_allowed"))));
        assert_eq!(refused, Failed::Refused("not_allowed".to_owned(), "why".to_owned()));
    }
}
