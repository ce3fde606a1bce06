//! `-L` and `-S`.

use std::fs;

use ipvs_ctl::client::ClientError;
use ipvs_ctl::rules::connections::{self, CONNECTIONS_FILE, Connection};
use ipvs_ctl::rules::save::{self, Detail};
use ipvs_ctl::rules::{
    Command, KernelDaemon, KernelDestination, KernelService, List, ListKind, daemons_query,
    destinations_query, listing, service_query, services_query,
};

use super::execute::Session;
use super::stream::Streams;
use super::terms::{Asked, told};
use super::{code, json};
use crate::args::Output;

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
        let file = connections_file(streams)?;
        connections::title(list.persistent_conn, streams.out());
        for line in file.lines() {
            if let Some(connection) = Connection::read(line) {
                let (numeric, engine) = (list.numeric, list.persistent_conn);
                let names = &mut self.names;
                connections::line(&connection, numeric, engine, names, streams.out());
                streams.ease()?;
            }
        }
        Ok(())
    }

    /// `-S`.
    ///
    /// # Errors
    /// Something could not be read: the exit code, the reason having been said.
    pub(super) fn save(&mut self, numeric: bool, streams: &mut Streams) -> Result<(), u8> {
        self.rules(numeric, Detail::Ipvsadm, streams)
    }

    /// `save --full`: also what `-S` leaves out, in numbers, because a name may mean something else tomorrow.
    ///
    /// # Errors
    /// Something could not be read: the exit code, the reason having been said.
    pub(super) fn save_all(mut self, streams: &mut Streams) -> Result<(), u8> {
        let settings = self.client.timeouts().and_then(|timeouts| Ok((timeouts, self.daemons()?)));
        let (timeouts, daemons) =
            settings.map_err(|error| self.unlisted(Asked::Listing, &error, streams))?;
        save::timeouts(&timeouts, streams.out());
        self.rules(true, Detail::Full, streams)?;
        for daemon in daemons {
            save::daemon(&daemon, streams.out());
        }
        Ok(())
    }

    fn rules(&mut self, numeric: bool, detail: Detail, streams: &mut Streams) -> Result<(), u8> {
        for service in self.services(false, streams)? {
            let destinations = self.destinations(&service, false, streams)?;
            let names = &mut self.names;
            save::service(&service, &destinations, numeric, detail, names, streams.out());
            streams.ease()?;
        }
        Ok(())
    }
}

/// The kernel's connections, as it writes them.
pub(super) fn connections_file(streams: &Streams) -> Result<String, u8> {
    fs::read(CONNECTIONS_FILE).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).map_err(
        |_unreadable| {
            streams.error_line(format!("cannot open file {CONNECTIONS_FILE}").as_bytes());
            code::FAILED
        },
    )
}
