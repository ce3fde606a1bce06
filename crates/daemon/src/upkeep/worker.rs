//! The upkeep thread's loop.

use std::sync::Arc;
use std::time::Duration;

use holdfast_config::{Config, OnStop};
use holdfast_control::{self as control, chain};
use holdfast_net::now;
use holdfast_time::Instant;

use super::View;
use super::board::Board;
use super::census::{self, Census};
use super::daemons::Daemons;
use super::sysctls::Settings;
use crate::events::Events;
use crate::vrrp::VrrpRemote;

/// Connections are not counted more often, however often somebody asks.
const CENSUS_PACE: Duration = Duration::from_secs(10);

/// What the thread owns.
#[derive(Debug)]
pub(super) struct Worker {
    board: Board,
    config: Arc<Config>,
    settings: Settings,
    daemons: Option<Daemons>,
    census: Option<(Instant, Census)>,
    events: Events,
}

impl Worker {
    pub(super) const fn new(
        board: Board,
        config: Arc<Config>,
        settings: Settings,
        daemons: Option<Daemons>,
        events: Events,
    ) -> Self {
        Self { board, config, settings, daemons, census: None, events }
    }

    /// Works until it is told to end. What `ipvs.on_stop` keeps stays as it is then.
    pub(super) fn run(mut self, vrrp: &VrrpRemote) {
        let mut look_at = now();
        loop {
            let caught_up = self.daemons.as_ref().and_then(Daemons::deadline);
            let news = self.board.wait(caught_up.map_or(look_at, |at| at.min(look_at)));
            let is_new = news.config.is_some();
            if let Some(config) = news.config {
                self.reconfigure(config);
            }
            let due = is_new || look_at <= now();
            // Whether it has listened until now is looked at now, not told from the last look.
            let listened = caught_up.is_some_and(|at| at <= now());
            if due {
                // What a daemon needs of them is there before it begins.
                self.settings.look();
                look_at = now() + self.config.ipvs.poll;
            }
            if due || news.states || news.is_over || listened {
                self.look_at_daemons();
            }
            self.tell_drift();
            for (instance, caught_up) in self.daemons.iter_mut().flat_map(Daemons::news) {
                vrrp.caught_up(instance, caught_up);
            }
            for question in news.questions {
                // Whoever asked may have gone.
                drop(question.send(self.view()));
            }
            if news.is_over {
                return self.end();
            }
        }
    }

    fn reconfigure(&mut self, config: Arc<Config>) {
        self.board.forget_others(&config);
        self.settings.reconfigure(&config);
        self.daemons = match self.daemons.take() {
            Some(daemons) => daemons.reconfigure(&config),
            None => Daemons::open(&config).unwrap_or_else(|error| {
                tracing::error!(
                    error = chain(&error),
                    "connections are not synchronised: it is tried again at every `ipvs.poll`"
                );
                None
            }),
        };
        self.config = config;
    }

    fn end(self) {
        match self.config.ipvs.on_stop {
            OnStop::Keep => {}
            OnStop::Drain | OnStop::Remove => {
                if let Some(daemons) = self.daemons {
                    daemons.end();
                }
                self.settings.give_back();
            }
        }
    }

    fn look_at_daemons(&mut self) {
        let states = self.board.states();
        if self.daemons.is_none() {
            // Nothing where nothing is wanted. What a reload could not open was said then.
            self.daemons = Daemons::open(&self.config).ok().flatten();
        }
        if let Some(daemons) = &mut self.daemons {
            daemons.look(&states);
        }
    }

    fn tell_drift(&mut self) {
        let of_daemons = self.daemons.iter_mut().flat_map(Daemons::take_drift);
        for news in self.settings.take_news().into_iter().chain(of_daemons) {
            self.events.tell(news);
        }
    }

    fn view(&mut self) -> View {
        let sync = self.daemons.as_ref().map(Daemons::view);
        let sync = sync.map(|view| control::ConnectionSync { connections: self.count(), ..view });
        View { sync, sysctls: self.settings.view() }
    }

    /// The connections by origin, counted now if the last count is old.
    fn count(&mut self) -> Option<control::SyncedConnections> {
        let at = now();
        if self.census.is_none_or(|(counted, _)| at.saturating_since(counted) >= CENSUS_PACE) {
            match census::take() {
                Ok(census) => self.census = Some((at, census)),
                Err(error) => tracing::debug!(%error, "connections could not be counted by origin"),
            }
        }
        let (counted, Census { looked_at, of_sync, complete }) = self.census?;
        let s_ago = at.saturating_since(counted).as_secs();
        Some(control::SyncedConnections { looked_at, of_sync, complete, s_ago })
    }
}
