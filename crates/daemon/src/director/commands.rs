//! Commands of the control API, from their words to the engine and back.

use std::time::Duration;

use holdfast_config::{Name, RealServer};
use holdfast_control::{self as control, AddServer, Change, Problem};
use holdfast_engine::{Admin, CommandError, Drain, Origin};

use super::Director;
use crate::api::{Command, bad_request, conflict, no_service, not_found};

impl Director {
    /// Carries out `command` and answers with the server as it is then.
    pub(super) fn command(&mut self, command: Command) -> Result<Change, Problem> {
        let now = holdfast_net::now();
        let (service, server, done) = match command {
            Command::Add { service, server } => {
                let service = service_name(&service)?;
                let server = self.new_server(&service, &server)?;
                let name = server.name.clone();
                let done = self.engine.add_server(now, &service, server);
                (service, name, done)
            }
            Command::Drain { service, server, drain } => {
                let (service, server) = names(&service, &server)?;
                let done = self.engine.drain_server(now, &service, &server, timeout(&drain));
                (service, server, done)
            }
            Command::Ready { service, server } => {
                let (service, server) = names(&service, &server)?;
                let done = self.engine.ready_server(now, &service, &server);
                (service, server, done)
            }
            Command::Remove { service, server, drain } => {
                let (service, server) = names(&service, &server)?;
                let done = self.engine.remove_server(now, &service, &server, timeout(&drain));
                (service, server, done)
            }
            Command::RemoveNow { service, server } => {
                let (service, server) = names(&service, &server)?;
                let done = self.engine.remove_server_now(&service, &server);
                (service, server, done)
            }
        };
        let changed = done.map_err(problem)?.changed;
        Ok(self.change(&service, &server, changed))
    }

    fn new_server(&self, service: &Name, server: &AddServer) -> Result<RealServer, Problem> {
        let Some(pool) = self.engine.pools().get(service) else {
            return Err(no_service(service.as_str()));
        };
        // The engine says what is there already and what that means: the same server again is no mistake.
        let mut service = pool.service().clone();
        service.real_servers.clear();
        RealServer::new(server.name.as_deref(), &server.address, server.weight, &service).map_err(
            |problems| {
                let sentences: Vec<String> =
                    problems.iter().map(|problem| problem.message.clone()).collect();
                bad_request("bad_server", sentences.join("; "))
            },
        )
    }

    fn change(&self, service: &Name, server: &Name, changed: bool) -> Change {
        let known = self
            .engine
            .pools()
            .get(service)
            .and_then(|pool| pool.servers().get(server).map(|server| (server, pool)));
        let in_file = self
            .config
            .services
            .get(service)
            .is_some_and(|service| service.real_servers.contains_key(server));
        let removed = known.is_none_or(|(server, _)| {
            matches!(server.admin(), Admin::Drain(Drain { then_remove: true, .. }))
        });
        let note = match &known {
            _ if removed => in_file.then_some(
                "it is in the configuration's file: it comes back when the daemon starts again",
            ),
            Some((server, _)) if server.origin() == Origin::Runtime => {
                Some("it is not in the configuration's file: the daemon forgets it when it stops")
            }
            Some((server, _)) if server.is_out_of_service() => Some(
                "the drain is forgotten when the daemon stops: the server would be ready again",
            ),
            Some(_) | None => None,
        };
        Change {
            changed,
            service: service.to_string(),
            server: server.to_string(),
            now: known.map(|(server, pool)| self.server_status(pool, server)),
            note: note.map(str::to_owned),
        }
    }
}

fn timeout(drain: &control::Drain) -> Option<Duration> {
    drain.timeout_ms.map(Duration::from_millis)
}

fn names(service: &str, server: &str) -> Result<(Name, Name), Problem> {
    let service = service_name(service)?;
    let name = Name::try_from(server.to_owned());
    let server = name.map_err(|_no_name| {
        not_found("no_such_server", format!("service `{service}` has no server `{server}`"))
    })?;
    Ok((service, server))
}

/// A text that is no name is the name of no service.
fn service_name(text: &str) -> Result<Name, Problem> {
    Name::try_from(text.to_owned()).map_err(|_no_name| no_service(text))
}

fn problem(error: CommandError) -> Problem {
    let detail = error.to_string();
    match error {
        CommandError::NoService(_) => not_found("no_such_service", detail),
        CommandError::NoServer { .. } => not_found("no_such_server", detail),
        CommandError::NameTaken { .. } => conflict("name_taken", detail),
        CommandError::AddressTaken { .. } => conflict("address_taken", detail),
        error => bad_request("refused", error.to_string()),
    }
}
