//! Commands of the control API, from their words to the engine and back.

use std::time::Duration;

use holdfast_config::{Name, RealServer};
use holdfast_control::{self as control, AddServer, Change, Problem, SetWeight};
use holdfast_engine::{
    Admin, CommandError, Drain, Order, Origin, Pool, Presence, Server, WeightChange,
};

use super::Director;
use crate::api::{Command, bad_request, conflict, no_service, not_found};

/// The longest reason that is kept: it stands in a line of `status`.
const REASON_MAX: usize = 200;

impl Director {
    /// Carries out `command` of the user `who` and answers with the server as it is then.
    pub(super) fn command(
        &mut self,
        command: Command,
        who: Option<String>,
    ) -> Result<Change, Problem> {
        let now = holdfast_net::now();
        let mut cancelled = None;
        let order = |reason| Ok(Order { who, reason: checked_reason(reason)? });
        let (service, server, done) = match command {
            Command::Add { service, server } => {
                let service = service_name(&service)?;
                let weight = server.weight;
                let server = self.new_server(&service, &server)?;
                let name = server.name.clone();
                if self.is_being_removed(&service, &name) {
                    cancelled = Some("its removal was cancelled");
                }
                let done = self.engine.add_server(now, &service, server, weight, order(None)?);
                (service, name, done)
            }
            Command::Drain { service, server, drain } => {
                let (service, server) = names(&service, &server)?;
                let (timeout, order) = (timeout(&drain), order(drain.reason)?);
                let done = self.engine.drain_server(now, &service, &server, timeout, order);
                (service, server, done)
            }
            Command::Ready { service, server, why } => {
                let (service, server) = names(&service, &server)?;
                let done = self.engine.ready_server(now, &service, &server, order(why.reason)?);
                (service, server, done)
            }
            Command::Maint { service, server, why } => {
                let (service, server) = names(&service, &server)?;
                if self.is_being_removed(&service, &server) {
                    cancelled = Some("its removal was cancelled");
                }
                let done = self.engine.maintain_server(now, &service, &server, order(why.reason)?);
                (service, server, done)
            }
            Command::Weight { service, server, weight } => {
                let (service, server) = names(&service, &server)?;
                let to = weight_change(&weight)?;
                let done = self.engine.weigh_server(&service, &server, to, order(weight.reason)?);
                (service, server, done)
            }
            Command::Remove { service, server, drain } => {
                let (service, server) = names(&service, &server)?;
                let (timeout, order) = (timeout(&drain), order(drain.reason)?);
                let done = self.engine.remove_server(now, &service, &server, timeout, order);
                (service, server, done)
            }
            Command::RemoveNow { service, server, drain } => {
                let (service, server) = names(&service, &server)?;
                let done = self.engine.remove_server_now(&service, &server, order(drain.reason)?);
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
        let remembers = self.config.remembers_clients_of_drained_servers();
        let notes = done.map(str::to_owned).into_iter().chain(notes(known, in_file, remembers));
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
fn notes(
    known: Option<(&Pool, &Server)>,
    in_file: Option<&RealServer>,
    remembers: bool,
) -> Vec<String> {
    let mut notes = Vec::new();
    let removed = known.is_none_or(|(_, server)| removes(server.admin()));
    if let Some((pool, server)) = known {
        let weight = server.definition().weight;
        notes.extend(rounded(pool, server));
        let of_file = in_file.map(|server| server.weight).filter(|of_file| *of_file != weight);
        if let Some(of_file) = of_file.filter(|_| !removed) {
            notes.push(format!(
                "its weight is {of_file} in the configuration's file, and again when the daemon starts"
            ));
        }
        let draining = matches!(server.admin(), Admin::Drain(Drain { drained: false, .. }));
        if draining && remembers && pool.service().persistence.is_some() {
            let remembered = "the service has persistence: the kernel goes on sending new connections of clients that it \
                              remembers here, since `ipvs.sysctls` has expire_quiescent_template 0";
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
            Some("it is forgotten when the daemon stops: the server would be ready again")
        }
        Some((_, server)) if server.share() != 100 => {
            Some("the share is forgotten when the daemon stops")
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

/// What became of a share that the kernel's whole numbers can't tell.
fn rounded(pool: &Pool, server: &Server) -> Option<String> {
    let (weight, share) = (u64::from(server.definition().weight), u64::from(server.share()));
    let scale = u64::from(pool.service().weight_scale());
    let exact = (weight * share * scale).is_multiple_of(100);
    match pool.presence(server) {
        Presence::Weight(kernel @ 1..) if !exact && server.ramp_percent().is_none() => {
            Some(format!(
                "{share}% of {weight} is no whole number: the kernel has {kernel}; weights of 100 or more leave room for shares"
            ))
        }
        Presence::Weight(_) | Presence::Absent => None,
    }
}

/// A reason that can stand in a line.
fn checked_reason(reason: Option<String>) -> Result<Option<String>, Problem> {
    let Some(text) = reason else { return Ok(None) };
    if text.chars().count() > REASON_MAX || text.contains(char::is_control) {
        let sentence =
            format!("a reason has at most {REASON_MAX} characters and stands in one line");
        return Err(bad_request("bad_reason", sentence));
    }
    Ok(Some(text).filter(|text| !text.trim().is_empty()))
}

fn weight_change(weight: &SetWeight) -> Result<WeightChange, Problem> {
    match (weight.weight, weight.percent) {
        (Some(weight), None) => Ok(WeightChange::To(weight)),
        (None, Some(percent)) => Ok(WeightChange::Share(percent)),
        (Some(_), Some(_)) | (None, None) => {
            Err(bad_request("bad_weight", "say either `weight` or `percent`".to_owned()))
        }
    }
}

fn timeout(drain: &control::Drain) -> Option<Duration> {
    drain.timeout_ms.map(Duration::from_millis)
}

pub(super) fn names(service: &str, server: &str) -> Result<(Name, Name), Problem> {
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
        CommandError::Leaving(_) => conflict("service_leaving", detail),
        CommandError::NameTaken { .. } => conflict("name_taken", detail),
        CommandError::AddressTaken { .. } => conflict("address_taken", detail),
        CommandError::TooMany(_) => conflict("too_many_servers", detail),
        CommandError::Weight { .. } | CommandError::Share(_) => bad_request("bad_weight", detail),
        error => bad_request("refused", error.to_string()),
    }
}
