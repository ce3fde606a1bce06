//! Commands of the control API, from their words to the engine and back.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::Duration;

use holdfast_config::{Name, RealServer};
use holdfast_control::{self as control, AddServer, Change, Problem, SetWeight};
use holdfast_engine::overlay::{Facets, Key};
use holdfast_engine::{
    self as engine, Admin, CommandError, Order, Origin, Pool, Presence, Server, WeightChange,
};

use super::Director;
use super::runtime::{Answer, Done, LEASE_RANGE, base};
use crate::api::{Command, bad_request, conflict, no_service, not_found};

/// The longest reason that is kept: it stands in a line of `status`.
const REASON_MAX: usize = 200;

/// What is said of a removal that was taken back.
const CANCELLED: &str = "its removal was cancelled";

/// What is said of a removal of what is removed already.
const REMOVED: &str = "it was removed before (`holdfast diff`)";

/// What is said of a change that could not be.
const FORGOTTEN: &str = "it was in no pool, but kept for one: that is forgotten";

/// What the answer to a command waits for.
enum Until {
    /// That what it has changed of these is on the disk.
    Written(Vec<Key>),
    /// That what was changed before is: it has changed nothing, and may ask for that.
    Settled,
    /// Nothing: what it has said ends with the daemon.
    Nothing,
}

/// A command as it was carried out.
struct Carried {
    service: Name,
    server: Name,
    /// What of the server it was about.
    facets: Facets,
    order: Order,
    ephemeral: bool,
    done: Result<engine::Change, CommandError>,
}

impl Director {
    /// Carries out `command` of the user `who`, keeps what it has changed, and answers with the server as it is then.
    pub(super) fn command(&mut self, command: Command, who: Option<String>, answer: Answer) {
        let refused = match self.carry_out_command(command, who) {
            Ok((change, Until::Written(keys))) => {
                return self.runtime.answer(&keys, change, answer);
            }
            Ok((change, Until::Settled)) => return self.runtime.answer_settled(change, answer),
            Ok((change, Until::Nothing)) => Ok(change),
            Err(problem) => Err(problem),
        };
        // A requester that has gone away needs no answer.
        drop(answer.send(refused));
    }

    /// The answer, and what that waits for.
    fn carry_out_command(
        &mut self,
        command: Command,
        who: Option<String>,
    ) -> Result<(Change, Until), Problem> {
        let forgets = matches!(command, Command::Remove { .. } | Command::RemoveNow { .. });
        let address = |director: &Self, (service, server): &(Name, Name)| {
            director.known(service, server).map(|(_, server)| server.definition().address)
        };
        // What is removed at once is gone afterwards.
        let named = command.names();
        let before = named.as_ref().and_then(|key| address(self, key));
        let cancels =
            named.is_some_and(|(service, server)| self.is_being_removed(&service, &server));
        let Carried { service, server, facets, order, ephemeral, done } =
            self.apply(command, who, cancels)?;
        let key = (service, server);
        let changed = match done {
            Ok(change) => change.changed,
            // It is in no pool, but among what is kept.
            Err(error @ (CommandError::NoServer { .. } | CommandError::NoService(_)))
                if forgets =>
            {
                let forgotten = self.runtime.forget_dormant(&key.0, &key.1);
                if let Some((_, address)) = forgotten.first() {
                    let change =
                        self.change(&key, Some(*address), true, Some(FORGOTTEN.into()), false);
                    return Ok((change, Until::Written(forgotten)));
                }
                if matches!(error, CommandError::NoService(_)) {
                    return Err(problem(error));
                }
                // What was asked for is so already; the answer says why, since it may be a slip.
                let note = Some(self.not_there(&key));
                return Ok((self.change(&key, None, false, note, false), Until::Settled));
            }
            Err(error) => return Err(problem(error)),
        };
        let unchanged = if ephemeral { Until::Nothing } else { Until::Settled };
        let Some(address) = address(self, &key).or(before) else {
            return Ok((self.change(&key, None, changed, None, ephemeral), unchanged));
        };
        let at = (key.0.clone(), address);
        let done = Done { key: &at, server: &key.1, facets, order: &order, ephemeral, changed };
        let kept = self.runtime.note(&done, &self.engine, &self.config);
        // A drain cancels no removal.
        let cancelled = facets.presence && facets.admin && !forgets;
        let cancelled = cancelled.then_some(Cow::Borrowed(CANCELLED));
        let until = if kept { Until::Written(vec![at]) } else { unchanged };
        Ok((self.change(&key, Some(address), changed || kept, cancelled, ephemeral), until))
    }

    /// Has the engine do what `command` says; `cancels` when its server is being removed.
    fn apply(
        &mut self,
        command: Command,
        who: Option<String>,
        cancels: bool,
    ) -> Result<Carried, Problem> {
        let now = holdfast_net::now();
        let order = |reason| Ok(Order { who, reason: checked_reason(reason)? });
        let returns = if cancels { Facets::ALL } else { Facets::ADMIN };
        Ok(match command {
            Command::Add { service, server } => {
                let service = service_name(&service)?;
                let AddServer { weight, ephemeral, .. } = server;
                let lease = lease(server.ttl_ms)?;
                let order = order(server.reason.clone())?;
                let (server, origin) = self.new_server(&service, &server)?;
                let name = server.name.clone();
                let cancels = self.is_being_removed(&service, &name);
                let origin = (origin, order.clone());
                let done = self.engine.return_server(now, &service, server, weight, origin);
                let done = done.map(|change| {
                    let leased = self.engine.set_lease(now, &service, &name, lease);
                    engine::Change { changed: change.changed || leased }
                });
                let weighs = cancels || weight.is_some();
                let facets = Facets { presence: true, admin: cancels, weight: weighs };
                Carried { service, server: name, facets, order, ephemeral, done }
            }
            Command::Drain { service, server, drain } => {
                let (service, server) = names(&service, &server)?;
                let (timeout, order) = (timeout(&drain), order(drain.reason)?);
                let done = self.engine.drain_server(now, &service, &server, timeout, order.clone());
                let ephemeral = drain.ephemeral;
                Carried { service, server, facets: Facets::ADMIN, order, ephemeral, done }
            }
            Command::Ready { service, server, why } => {
                let (service, server) = names(&service, &server)?;
                let order = order(why.reason)?;
                let done = self.engine.ready_server(now, &service, &server, order.clone());
                let ephemeral = why.ephemeral;
                Carried { service, server, facets: returns, order, ephemeral, done }
            }
            Command::Maint { service, server, why } => {
                let (service, server) = names(&service, &server)?;
                let order = order(why.reason)?;
                let done = self.engine.maintain_server(now, &service, &server, order.clone());
                let ephemeral = why.ephemeral;
                Carried { service, server, facets: returns, order, ephemeral, done }
            }
            Command::Weight { service, server, weight } => {
                let (service, server) = names(&service, &server)?;
                let (to, ephemeral) = (weight_change(&weight)?, weight.ephemeral);
                let order = order(weight.reason)?;
                let done = self.engine.weigh_server(&service, &server, to, order.clone());
                Carried { service, server, facets: Facets::WEIGHT, order, ephemeral, done }
            }
            Command::Remove { service, server, drain } => {
                let (service, server) = names(&service, &server)?;
                let (timeout, order) = (timeout(&drain), order(drain.reason)?);
                let done =
                    self.engine.remove_server(now, &service, &server, timeout, order.clone());
                let ephemeral = drain.ephemeral;
                Carried { service, server, facets: Facets::ALL, order, ephemeral, done }
            }
            Command::RemoveNow { service, server, drain } => {
                let (service, server) = names(&service, &server)?;
                let order = order(drain.reason)?;
                let done = self.engine.remove_server_now(&service, &server, order.clone());
                let ephemeral = drain.ephemeral;
                Carried { service, server, facets: Facets::ALL, order, ephemeral, done }
            }
        })
    }

    /// The server that is to be added, and where it comes from then. One that the file or discovery have at this address, and that a command
    /// has removed, is theirs again, as they have it.
    fn new_server(
        &self,
        service: &Name,
        server: &AddServer,
    ) -> Result<(RealServer, Origin), Problem> {
        let Some(pool) = self.engine.pools().get(service) else {
            return Err(no_service(service.as_str()));
        };
        let mut new = self.server_of(pool, server)?;
        if let Some(there) = pool.at(new.address) {
            if server.name.is_none() && removes(there.admin()) {
                new.name = there.definition().name.clone();
            }
            return Ok((new, Origin::Runtime));
        }
        let Some(base) = base(&self.engine, &self.config, service, new.address) else {
            return Ok((new, Origin::Runtime));
        };
        if server.name.is_some() && new.name != base.name {
            let sentence = format!(
                "`{}` was removed from service `{service}` by a command and has {}: add it without a name, or by that one",
                base.name, base.address
            );
            return Err(conflict("address_taken", sentence));
        }
        let in_file = self.config.services.get(service);
        let in_file = in_file
            .is_some_and(|one| one.real_servers.get(&base.name).is_some_and(|own| **own == *base));
        let origin = if in_file { Origin::Config } else { Origin::Discovered };
        let mut back = base.clone();
        back.weight = server.weight.unwrap_or(base.weight);
        Ok((back, origin))
    }

    fn server_of(&self, pool: &Pool, server: &AddServer) -> Result<RealServer, Problem> {
        // The pool's service has no servers: the engine says what is there already and what that means, and the same server again is no
        // mistake.
        RealServer::new(
            server.name.as_deref(),
            &server.address,
            server.weight,
            pool.service(),
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

    /// Why there is nothing to remove.
    fn not_there(&self, (service, server): &(Name, Name)) -> Cow<'static, str> {
        if self.runtime.has_removed(service, server) {
            return REMOVED.into();
        }
        format!(
            "service `{service}` has no server `{server}`, and nothing was removed; should the name be a slip, `holdfast server list {service}` has them all"
        )
        .into()
    }

    fn is_being_removed(&self, service: &Name, server: &Name) -> bool {
        let known = self.known(service, server);
        known.is_some_and(|(_, server)| removes(server.admin()))
    }

    /// The answer about a server that is called so and has `address`, where that is known: the file may give its name to another one.
    fn change(
        &self,
        (service, server): &(Name, Name),
        address: Option<SocketAddr>,
        changed: bool,
        done: Option<Cow<'static, str>>,
        ephemeral: bool,
    ) -> Change {
        let known = self.known(service, server);
        let of_file = self.config.services.get(service).map(|service| &service.real_servers);
        let in_file = of_file.and_then(|servers| match address {
            Some(address) => servers.values().find(|one| one.address == address),
            None => servers.get(server),
        });
        let in_file = in_file.map(AsRef::as_ref);
        let remembers = self.config.remembers_clients_of_drained_servers();
        let notes = done
            .map(Cow::into_owned)
            .into_iter()
            .chain(notes(known, in_file, remembers, ephemeral));
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

impl Command {
    /// The service and the server that it names; none of one that is added.
    fn names(&self) -> Option<(Name, Name)> {
        let (service, server) = match self {
            Self::Add { .. } => return None,
            Self::Drain { service, server, .. }
            | Self::Ready { service, server, .. }
            | Self::Maint { service, server, .. }
            | Self::Weight { service, server, .. }
            | Self::Remove { service, server, .. }
            | Self::RemoveNow { service, server, .. } => (service, server),
        };
        Some((Name::try_from(service.clone()).ok()?, Name::try_from(server.clone()).ok()?))
    }
}

fn removes(admin: &Admin) -> bool {
    matches!(admin, Admin::Drain(drain) if drain.then_remove)
}

/// What an operator should know of a server as it is now: what of it is not as the file says, and what a drain does not do.
fn notes(
    known: Option<(&Pool, &Server)>,
    in_file: Option<&RealServer>,
    remembers: bool,
    ephemeral: bool,
) -> Vec<String> {
    let mut notes = Vec::new();
    let removed = known.is_none_or(|(_, server)| removes(server.admin()));
    if let Some((pool, server)) = known {
        let weight = server.definition().weight;
        notes.extend(rounded(pool, server));
        let of_file = in_file.map(|server| server.weight).filter(|of_file| *of_file != weight);
        if let Some(of_file) = of_file.filter(|_| !removed) {
            notes.push(format!("its weight is {of_file} in the configuration's file"));
        }
        let serves = |one: &Server| matches!(pool.presence(one), Presence::Weight(1..));
        let is_taken_out = server.is_out_of_service() || weight == 0 || server.share() == 0;
        if is_taken_out && !pool.servers().values().any(serves) {
            notes.push("no server of the service takes new connections now".to_owned());
        }
        let draining = matches!(server.admin(), Admin::Drain(drain) if !drain.drained);
        if draining && remembers && pool.service().persistence.is_some() {
            let remembered = "the service has persistence: the kernel goes on sending new connections of clients that it \
                              remembers here, since `ipvs.sysctls` has expire_quiescent_template 0";
            notes.push(remembered.to_owned());
        }
    }
    let fate = match (known, in_file) {
        _ if ephemeral => Some("it ends with the daemon (`--ephemeral`)"),
        (_, Some(_)) if removed => {
            Some("it is in the configuration's file, and stays removed until it is added again")
        }
        (Some((_, server)), None) if !removed && server.origin() == Origin::Runtime => {
            Some("it is not in the configuration's file: `holdfast export` prints one that has it")
        }
        _ => None,
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

fn lease(ttl_ms: Option<u64>) -> Result<Option<Duration>, Problem> {
    let Some(lease) = ttl_ms.map(Duration::from_millis) else { return Ok(None) };
    let (least, greatest) = LEASE_RANGE;
    if (least..=greatest).contains(&lease) {
        return Ok(Some(lease));
    }
    let sentence = format!("a lease is {least:?} to {} days", greatest.as_secs() / 86400);
    Err(bad_request("bad_lease", sentence))
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
