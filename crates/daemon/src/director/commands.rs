//! Commands of the control API, from their words to the engine and back.

use std::time::Duration;

use holdfast_config::{Name, RealServer};
use holdfast_control::{self as control, AddServer, Change, Problem};
use holdfast_engine::{Admin, CommandError, Drain, Origin, Pool, Server};

use super::Director;
use crate::api::{Command, bad_request, conflict, no_service, not_found};

impl Director {
    /// Carries out `command` and answers with the server as it is then.
    pub(super) fn command(&mut self, command: Command) -> Result<Change, Problem> {
        let now = holdfast_net::now();
        let mut cancelled = None;
        let (service, server, done) = match command {
            Command::Add { service, server } => {
                let service = service_name(&service)?;
                let weight = server.weight;
                let server = self.new_server(&service, &server)?;
                let name = server.name.clone();
                if self.is_being_removed(&service, &name) {
                    cancelled = Some("its removal was cancelled");
                }
                let done = self.engine.add_server(now, &service, server, weight);
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
        Ok(self.change(&service, &server, changed, cancelled))
    }

    fn new_server(&self, service: &Name, server: &AddServer) -> Result<RealServer, Problem> {
        let Some(pool) = self.engine.pools().get(service) else {
            return Err(no_service(service.as_str()));
        };
        // The engine says what is there already and what that means: the same server again is no mistake.
        let mut service = pool.service().clone();
        service.real_servers.clear();
        RealServer::new(
            server.name.as_deref(),
            &server.address,
            server.weight,
            &service,
            &self.config,
        )
        .map_err(|problems| {
            let sentences: Vec<String> =
                problems.iter().map(|problem| problem.message.clone()).collect();
            bad_request("bad_server", sentences.join("; "))
        })
    }

    fn known(&self, service: &Name, server: &Name) -> Option<(&Pool, &Server)> {
        let pool = self.engine.pools().get(service)?;
        Some((pool, pool.servers().get(server)?))
    }

    fn is_being_removed(&self, service: &Name, server: &Name) -> bool {
        let known = self.known(service, server);
        known.is_some_and(|(_, server)| removes(server.admin()))
    }

    fn change(
        &self,
        service: &Name,
        server: &Name,
        changed: bool,
        done: Option<&'static str>,
    ) -> Change {
        let known = self.known(service, server);
        let in_file =
            self.config.services.get(service).and_then(|service| service.real_servers.get(server));
        let notes = done.map(str::to_owned).into_iter().chain(notes(known, in_file));
        let note = notes.collect::<Vec<_>>().join("; ");
        Change {
            changed,
            service: service.to_string(),
            server: server.to_string(),
            now: known.map(|(pool, server)| self.server_status(pool, server)),
            note: (!note.is_empty()).then_some(note),
        }
    }
}

const fn removes(admin: Admin) -> bool {
    matches!(admin, Admin::Drain(Drain { then_remove: true, .. }))
}

/// What an operator should know of a server as it is now: what of it does not outlive the daemon, and what a drain does not do.
fn notes(known: Option<(&Pool, &Server)>, in_file: Option<&RealServer>) -> Vec<String> {
    let mut notes = Vec::new();
    let removed = known.is_none_or(|(_, server)| removes(server.admin()));
    if let Some((pool, server)) = known {
        let weight = server.definition().weight;
        let of_file = in_file.map(|server| server.weight).filter(|of_file| *of_file != weight);
        if let Some(of_file) = of_file.filter(|_| !removed) {
            notes.push(format!(
                "its weight is {of_file} in the configuration's file, and again when the daemon starts"
            ));
        }
        let draining = matches!(server.admin(), Admin::Drain(Drain { drained: false, .. }));
        if draining && pool.service().persistence.is_some() {
            let remembered = "the service has persistence: the kernel goes on sending new connections of clients that it \
                              remembers here, unless net.ipv4.vs.expire_quiescent_template is 1";
            notes.push(remembered.to_owned());
        }
    }
    let fate = match known {
        _ if removed => in_file.map(
            |_| "it is in the configuration's file: it comes back when the daemon starts again",
        ),
        Some((_, server)) if in_file.is_none() && server.origin() != Origin::Config => Some(
            "it is not in the configuration's file: the daemon drains and removes it when it starts again",
        ),
        Some((_, server)) if server.is_out_of_service() => {
            Some("the drain is forgotten when the daemon stops: the server would be ready again")
        }
        Some(_) | None => None,
    };
    notes.extend(fate.map(str::to_owned));
    if let Some((_, server)) = known
        && server.is_out_of_service()
        && !removed
    {
        notes.push("`holdfast server ready` takes it back".to_owned());
    }
    notes
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
        CommandError::TooMany(_) => conflict("too_many_servers", detail),
        error => bad_request("refused", error.to_string()),
    }
}
