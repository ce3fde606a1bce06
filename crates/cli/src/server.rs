//! The verbs of `holdfast server`, and waiting for what they started.

use std::time::Duration;

use holdfast_control::{
    AddServer, Change, Client, Drain, RequestError, Server, Service, SetWeight, Why, chain,
};
use tokio::time::{Instant, sleep};

use crate::args;
use crate::failure::Failure;
use crate::nodes::{self, Failed};
use crate::output::{Answer, to_answer};
use crate::render;
use crate::whom::{Unmeant, meant, meant_or_kept};

/// How often the state is looked at while waiting.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

pub(crate) async fn run(client: &Client, verb: args::Server) -> Result<Answer, Failure> {
    if let args::Server::List { service } = &verb {
        return match service {
            Some(service) => to_answer(&client.service(service).await?, render::service),
            None => to_answer(&client.services().await?, |services: &Vec<Service>| {
                services.iter().map(render::service).collect::<Vec<_>>().join("\n")
            }),
        };
    }
    if verb.why().is_some_and(|why| why.all_nodes) {
        return nodes::everywhere(client, verb).await;
    }
    match carry_out(client, &verb).await {
        Ok(change) => to_answer(&change, render::change),
        Err(Unfinished::NotDone(Failed::Usage(sentence))) => Err(Failure::Usage(sentence)),
        Err(Unfinished::NotDone(
            Failed::Refused(_, sentence) | Failed::Asking(sentence) | Failed::Silent(_, sentence),
        )) => Err(Failure::Failed(sentence)),
        Err(Unfinished::Waiting { why, late: true, .. }) => Err(Failure::TimedOut(why)),
        Err(Unfinished::Waiting { why, .. }) => Err(Failure::Failed(why)),
    }
}

/// Why a command is not at its end.
#[derive(Debug)]
pub(crate) enum Unfinished {
    /// It was not carried out.
    NotDone(Failed),
    /// It was, and what was waited for has not come.
    Waiting {
        /// What was changed.
        change: Box<Change>,
        /// What has come instead.
        why: String,
        /// Whether it may come yet.
        late: bool,
    },
}

impl<E: Into<Failed>> From<E> for Unfinished {
    fn from(error: E) -> Self {
        Self::NotDone(error.into())
    }
}

/// Carries out `verb`, which changes something, on the node of `client`, and waits for what it says.
pub(crate) async fn carry_out(client: &Client, verb: &args::Server) -> Result<Change, Unfinished> {
    match verb {
        args::Server::Add { service, address, name, weight, ttl, why, wait } => {
            let args::Why { reason, ephemeral, .. } = why.clone();
            let ttl_ms = ttl.map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX));
            let (address, name, weight) = (address.clone(), name.clone(), *weight);
            let server = AddServer { address, name, weight, ttl_ms, reason, ephemeral };
            let change = client.add_server(service, &server).await?;
            settled(client, change, *wait, "up", |now| now.is_some_and(|it| it.state == "up")).await
        }
        args::Server::Drain { server, drain } => {
            let (service, name) = &meant(client, server).await?;
            let change = client.drain_server(service, name, &request(drain)).await?;
            let drained = |now: Option<&Server>| now.is_some_and(|it| it.state == "drained");
            settled(client, change, drain.wait, "drained", drained).await
        }
        args::Server::Ready { server, why } => {
            let (service, name) = &meant(client, server).await?;
            Ok(client.ready_server(service, name, &spoken(why.clone())).await?)
        }
        args::Server::Maint { server, why } => {
            let (service, name) = &meant(client, server).await?;
            Ok(client.maintain_server(service, name, &spoken(why.clone())).await?)
        }
        args::Server::Weight { service, rest, why } => {
            let mut rest = rest.clone();
            let word = rest.pop().unwrap_or_default();
            let server = args::ServerName::new(service.clone(), rest.pop());
            // Where a word is missing, the last one is no weight.
            server.parts().map_err(Failed::Usage)?;
            let weight = weight(&word, why.clone()).map_err(Failed::Usage)?;
            let (service, name) = &meant(client, &server).await?;
            Ok(client.weigh_server(service, name, &weight).await?)
        }
        args::Server::Rm { server, now, drain } => {
            let (service, name) = &match meant_or_kept(client, server).await {
                Err(Unmeant::Nobody(service, address)) => {
                    return Ok(gone_already(service, address));
                }
                found => found?,
            };
            let change = client.remove_server(service, name, *now, &request(drain)).await?;
            settled(client, change, drain.wait, "removed", |now| now.is_none()).await
        }
        args::Server::List { .. } => Err(Failed::Usage("a list changes nothing".to_owned()).into()),
    }
}

/// What there is to say of a removal where nobody has the address: it is as it was asked for, as with a name (docs/runtime.md).
fn gone_already(service: String, address: String) -> Change {
    let note = Some(format!(
        "service `{service}` has no server at {address}, and nothing was removed; should the address be a slip, \
         `holdfast server list {service}` has them all"
    ));
    Change { changed: false, service, server: address, now: None, note }
}

fn request(options: &args::DrainOptions) -> Drain {
    let milliseconds = |timeout: Duration| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
    let args::Why { reason, ephemeral, .. } = &options.why;
    let (reason, ephemeral) = (reason.clone(), *ephemeral);
    Drain { timeout_ms: options.timeout.map(milliseconds), reason, ephemeral }
}

fn spoken(args::Why { reason, ephemeral, .. }: args::Why) -> Why {
    Why { reason, ephemeral }
}

/// `5`, or a share as `50%`.
fn weight(word: &str, why: args::Why) -> Result<SetWeight, String> {
    let wrong = |_not_a_number| format!("{word:?} is no weight: say a number, or a share as `50%`");
    let args::Why { reason, ephemeral, .. } = why;
    match word.strip_suffix('%') {
        Some(percent) => {
            let percent = Some(percent.parse().map_err(wrong)?);
            Ok(SetWeight { weight: None, percent, reason, ephemeral })
        }
        None => {
            let weight = Some(word.parse().map_err(wrong)?);
            Ok(SetWeight { weight, percent: None, reason, ephemeral })
        }
    }
}

/// The change, after `wait` at most until it is `done`, told from the server as it is then. A server that vanishes meanwhile and
/// was not to be removed is a failure.
async fn settled(
    client: &Client,
    mut change: Change,
    wait: Option<Duration>,
    goal: &str,
    done: impl Fn(Option<&Server>) -> bool,
) -> Result<Change, Unfinished> {
    let Some(wait) = wait else { return Ok(change) };
    let deadline = Instant::now() + wait;
    let waiting = |change, why, late| Unfinished::Waiting { change: Box::new(change), why, late };
    loop {
        match find(client, &change).await {
            Ok(now) => change.now = now,
            Err(error) => return Err(waiting(change, chain(&error), false)),
        }
        if done(change.now.as_ref()) {
            return Ok(change);
        }
        let (service, name) = (&change.service, &change.server);
        let Some(server) = &change.now else {
            let why = format!("{service}/{name} is not {goal}: it was removed meanwhile");
            return Err(waiting(change, why, false));
        };
        if server.admin == "ready" && goal != "up" {
            let why = format!("{service}/{name} is not {goal}: it was taken back meanwhile");
            return Err(waiting(change, why, false));
        }
        if Instant::now() >= deadline {
            let why = format!(
                "{service}/{name} is not {goal} after {wait:?}, but {}: {}",
                server.state, server.reason.sentence
            );
            return Err(waiting(change, why, true));
        }
        sleep(LOOK_INTERVAL).await;
    }
}

async fn find(client: &Client, change: &Change) -> Result<Option<Server>, RequestError> {
    let service = client.service(&change.service).await?;
    Ok(service.servers.into_iter().find(|server| server.name == change.server))
}

#[cfg(test)]
mod tests {
    use holdfast_config::Name;

    use super::*;

    /// The client can't use the configuration's type, so it has the rule a second time.
    #[test]
    fn the_client_takes_exactly_the_names_of_the_configuration() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let client = Client::new("/nonexistent/control.sock");
        let lengths = [0, 1, 62, 63, 64].map(|length| "a".repeat(length));
        let characters = (0..=255_u8).map(char::from);
        let names = characters.flat_map(|c| [format!("{c}"), format!("a{c}"), format!("a{c}b")]);
        for name in names.chain(lengths) {
            let refused = matches!(
                runtime.block_on(client.service(&name)),
                Err(RequestError::Name(refused)) if refused == name
            );
            assert_eq!(refused, Name::try_from(name.clone()).is_err(), "{name:?}");
        }
    }
}
