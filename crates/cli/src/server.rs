//! The verbs of `holdfast server`, and waiting for what they started.

use std::time::Duration;

use holdfast_control::{AddServer, Change, Client, Drain, RequestError, Server, Service};
use tokio::time::{Instant, sleep};

use crate::args;
use crate::failure::Failure;
use crate::output::{Answer, to_answer};
use crate::render;

/// How often the state is looked at while waiting.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

pub(crate) async fn run(client: &Client, verb: args::Server) -> Result<Answer, Failure> {
    match verb {
        args::Server::Add { service, address, name, weight, wait } => {
            let change = client.add_server(&service, &AddServer { address, name, weight }).await?;
            settled(client, change, wait, "up", |server| server.state == "up").await
        }
        args::Server::Drain { server, drain } => {
            let (service, name) = server.parts().map_err(Failure::Usage)?;
            let change = client.drain_server(service, name, &request(&drain)).await?;
            settled(client, change, drain.wait, "drained", |server| server.state == "drained").await
        }
        args::Server::Ready { server } => {
            let (service, name) = server.parts().map_err(Failure::Usage)?;
            let change = client.ready_server(service, name).await?;
            to_answer(&change, render::change)
        }
        args::Server::Rm { server, now, drain } => {
            let (service, name) = server.parts().map_err(Failure::Usage)?;
            let request = request(&drain);
            let change = client.remove_server(service, name, (!now).then_some(&request)).await?;
            settled(client, change, drain.wait, "removed", |_| false).await
        }
        args::Server::List { service: Some(service) } => {
            to_answer(&client.service(&service).await?, render::service)
        }
        args::Server::List { service: None } => {
            to_answer(&client.services().await?, |services: &Vec<Service>| {
                services.iter().map(render::service).collect::<Vec<_>>().join("\n")
            })
        }
    }
}

fn request(options: &args::DrainOptions) -> Drain {
    let milliseconds = |timeout: Duration| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
    Drain { timeout_ms: options.timeout.map(milliseconds) }
}

/// The change, after `wait` at most until the server is gone or `done` with.
async fn settled(
    client: &Client,
    mut change: Change,
    wait: Option<Duration>,
    goal: &str,
    done: impl Fn(&Server) -> bool,
) -> Result<Answer, Failure> {
    let Some(wait) = wait else { return to_answer(&change, render::change) };
    let deadline = Instant::now() + wait;
    loop {
        change.now = find(client, &change).await?;
        let Some(server) = change.now.as_ref().filter(|server| !done(server)) else {
            return to_answer(&change, render::change);
        };
        if Instant::now() >= deadline {
            return Err(Failure::TimedOut(format!(
                "{}/{} is not {goal} after {wait:?}, but {}: {}",
                change.service, change.server, server.state, server.reason.sentence
            )));
        }
        sleep(LOOK_INTERVAL).await;
    }
}

async fn find(client: &Client, change: &Change) -> Result<Option<Server>, RequestError> {
    let service = client.service(&change.service).await?;
    Ok(service.servers.into_iter().find(|server| server.name == change.server))
}
