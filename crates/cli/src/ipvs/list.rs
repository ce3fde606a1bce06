//! `-L` and `-S`.

use std::fs::File;
use std::io::{BufRead as _, BufReader};

use ipvs_ctl::client::ClientError;
use ipvs_ctl::rules::connections::{self, CONNECTIONS_FILE, Connection};
use ipvs_ctl::rules::save::{self, Detail};
use ipvs_ctl::rules::{
    Command, KernelDaemon, KernelDestination, KernelService, List, ListKind, daemons_query,
    destinations_query, listing, lossless, service_query, services_query,
};

use super::execute::Session;
use super::file::{RULES_MAX, TOLD_MAX};
use super::stream::Streams;
use super::terms::{Asked, told};
use super::{code, json};
use crate::args::Output;

/// How many bytes of the kernel's connections are read at once.
const PIECE: usize = 64 << 10;

impl Session<'_> {
    /// `-L`.
    ///
    /// # Errors
    /// Something could not be read: the exit code, the reason having been said.
    pub(super) fn list(&mut self, list: &List, streams: &mut Streams) -> Result<(), u8> {
        if self.output == Output::Json {
            return json::list(self, list, streams);
        }
        match list.kind {
            ListKind::All => {
                listing::header(&self.info, streams.out());
                self.tables(list, streams)
            }
            ListKind::Service(_) => self.tables(list, streams),
            ListKind::Connections => self.connections(list, streams),
            ListKind::Timeouts => {
                let timeouts =
                    self.client.timeouts().map_err(|error| self.unsaid(&error, streams))?;
                listing::timeouts(&timeouts, streams.out());
                Ok(())
            }
            ListKind::Daemons => {
                for daemon in self.daemons().map_err(|error| self.unsaid(&error, streams))? {
                    listing::daemon(&daemon, streams.out());
                }
                Ok(())
            }
        }
    }

    /// Where ipvsadm fails without a word.
    pub(super) fn unsaid(&self, error: &ClientError, streams: &Streams) -> u8 {
        self.add(&told(error), streams);
        code::FAILED
    }

    fn tables(&mut self, list: &List, streams: &mut Streams) -> Result<(), u8> {
        let services = self.listed(list, streams)?;
        listing::title(list, streams.out());
        for service in services {
            let destinations = self.destinations(&service, list.nosort, streams)?;
            let names = &mut self.names;
            listing::service(&service, &destinations, list, names, streams.out());
            streams.ease()?;
        }
        Ok(())
    }

    /// The services that `-L` is about, in its order.
    pub(super) fn listed(
        &mut self,
        list: &List,
        streams: &Streams,
    ) -> Result<Vec<KernelService>, u8> {
        match list.kind {
            ListKind::Service(key) => {
                let answers = self.client.ask_messages(service_query(&key)).map_err(|error| {
                    self.unlisted(Asked::Command(&Command::List(*list)), &error, streams)
                })?;
                Ok(answers.iter().filter_map(KernelService::read).collect())
            }
            ListKind::All | ListKind::Connections | ListKind::Timeouts | ListKind::Daemons => {
                self.services(list.nosort, streams)
            }
        }
    }

    fn services(&mut self, nosort: bool, streams: &Streams) -> Result<Vec<KernelService>, u8> {
        let answers = self
            .client
            .dump_with(&services_query(), KernelService::read_dumped)
            .map_err(|error| self.unlisted(Asked::Listing, &error, streams))?;
        let services = answers.into_iter().flatten().collect();
        Ok(listing::sorted_services(services, nosort))
    }

    pub(super) fn destinations(
        &mut self,
        service: &KernelService,
        nosort: bool,
        streams: &Streams,
    ) -> Result<Vec<KernelDestination>, u8> {
        let read = |bytes: &[u8]| KernelDestination::read_dumped(bytes, service.family);
        let answers = self
            .client
            .dump_with(&destinations_query(service), read)
            .map_err(|error| self.unlisted(Asked::Listing, &error, streams))?;
        Ok(listing::sorted_destinations(answers.into_iter().flatten().collect(), nosort))
    }

    pub(super) fn daemons(&mut self) -> Result<Vec<KernelDaemon>, ClientError> {
        let answers = self.client.dump_with(&daemons_query(), KernelDaemon::read_dumped)?;
        Ok(answers.into_iter().flatten().collect())
    }

    fn connections(&mut self, list: &List, streams: &mut Streams) -> Result<(), u8> {
        let (numeric, engine) = (list.numeric, list.persistent_conn);
        let file = open_connections(streams)?;
        connections::title(engine, streams.out());
        each_connection(file, streams, |connection, streams| {
            connections::line(connection, numeric, engine, &mut self.names, streams.out());
            streams.ease()
        })
    }

    /// `-S`.
    ///
    /// # Errors
    /// Something could not be read: the exit code, the reason having been said.
    pub(super) fn save(&mut self, numeric: bool, streams: &mut Streams) -> Result<(), u8> {
        for service in self.services(false, streams)? {
            let destinations = self.destinations(&service, false, streams)?;
            let (names, detail) = (&mut self.names, Detail::Ipvsadm);
            save::service(&service, &destinations, numeric, detail, names, streams.out());
            streams.ease()?;
        }
        Ok(())
    }

    /// `save --full`: also what `-S` leaves out, in numbers, because a name may mean something else tomorrow.
    ///
    /// # Errors
    /// Something could not be read, or lines that `restore` takes can't say it: the exit code, the reason having been said.
    pub(super) fn save_all(mut self, streams: &mut Streams) -> Result<(), u8> {
        let settings = self.client.timeouts().and_then(|timeouts| Ok((timeouts, self.daemons()?)));
        let (timeouts, daemons) =
            settings.map_err(|error| self.unlisted(Asked::Listing, &error, streams))?;
        let (mut losses, mut rules) = (Losses::default(), 1 + daemons.len());
        losses.tell(lossless::timeouts(&timeouts, streams.out()), streams);
        for service in self.services(false, streams)? {
            let destinations = self.destinations(&service, false, streams)?;
            rules += 1 + destinations.len();
            losses.tell(lossless::service(&service, &destinations, streams.out()), streams);
            streams.ease()?;
        }
        for daemon in daemons {
            losses.tell(lossless::daemon(&daemon, streams.out()), streams);
        }
        if rules > RULES_MAX {
            let sentence = format!("{rules} rules, more than {RULES_MAX}: restore won't take them");
            losses.tell(Some(sentence), streams);
        }
        losses.end(streams)
    }
}

/// What a full save could not say.
#[derive(Debug, Default)]
struct Losses(usize);

impl Losses {
    /// Tells them, the first ones one by one.
    fn tell(&mut self, losses: impl IntoIterator<Item = String>, streams: &Streams) {
        for loss in losses {
            self.0 += 1;
            if self.0 <= TOLD_MAX {
                streams.complain(&loss);
            }
        }
    }

    /// Says how many there were.
    ///
    /// # Errors
    /// There were some: the exit code.
    fn end(self, streams: &Streams) -> Result<(), u8> {
        let Self(losses) = self;
        if losses == 0 {
            return Ok(());
        }
        if losses > TOLD_MAX {
            streams.complain(&format!("and {} more", losses - TOLD_MAX));
        }
        let advice = "the rest was saved; restore removes a service or server that is left out";
        streams.complain(&format!("not everything can be saved: {losses} differences; {advice}"));
        Err(code::FAILED)
    }
}

/// The kernel's connections, as it writes them.
///
/// # Errors
/// They can't be read: the exit code.
pub(super) fn open_connections(streams: &Streams) -> Result<BufReader<File>, u8> {
    let file = File::open(CONNECTIONS_FILE).map_err(|_unreadable| {
        streams.error_line(format!("cannot open file {CONNECTIONS_FILE}").as_bytes());
        code::FAILED
    })?;
    Ok(BufReader::with_capacity(PIECE, file))
}

/// Calls `each` with the connections of `file`, one after the other: there may be millions.
///
/// # Errors
/// `each` said no: the exit code.
pub(super) fn each_connection(
    mut file: BufReader<File>,
    streams: &mut Streams,
    mut each: impl FnMut(&Connection, &mut Streams) -> Result<(), u8>,
) -> Result<(), u8> {
    let mut line = Vec::new();
    while file.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        let text = String::from_utf8_lossy(line.trim_ascii_end());
        if let Some(connection) = Connection::read(&text) {
            each(&connection, streams)?;
        }
        line.clear();
    }
    Ok(())
}
