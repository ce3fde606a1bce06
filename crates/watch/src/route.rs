//! Whether there is a route to somewhere.

use std::time::Duration;

use holdfast_net::{Heard, RouteEvents, RouteLister, RouteMonitorError};
use ipnet::IpNet;
use thiserror::Error;
use tokio::time::{Instant, sleep_until};

use crate::{Reading, Report};
use holdfast_probe::Readable;

/// After a listing, so many times its length passes before the next one: a host with a million routes that all change is not
/// kept busy by this.
const PAUSE: u32 = 4;
/// The routes are listed this often although nothing was heard.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// Watches the routes to one destination.
#[derive(Debug)]
pub struct RouteWatcher {
    to: IpNet,
    interface: Option<String>,
    events: Readable<RouteEvents>,
    /// None while it is away, listing.
    lister: Option<RouteLister>,
    /// The routes may be others than those that were listed last.
    changed: bool,
    not_before: Instant,
    told: Option<Option<IpNet>>,
}

/// Why routes can't be watched.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RouteError {
    /// The kernel refused.
    #[error(transparent)]
    Kernel(#[from] RouteMonitorError),
    /// The reactor has no place.
    #[error("wait for changes of routes: {0}")]
    Reactor(std::io::Error),
    /// A listing was given up: the daemon is stopping.
    #[error("list routes: the daemon is stopping")]
    Stopping,
}

impl RouteWatcher {
    /// Begins to watch the routes that are `to` or cover it; those by `interface` alone when one is named, which need not exist.
    /// Needs a tokio runtime.
    ///
    /// # Errors
    /// The kernel answers no route netlink, or the process has no file descriptor left.
    pub fn open(to: IpNet, interface: Option<&str>) -> Result<Self, RouteError> {
        let events = Readable::new(RouteEvents::open(to)?).map_err(RouteError::Reactor)?;
        Ok(Self {
            to,
            interface: interface.map(str::to_owned),
            events,
            lister: Some(RouteLister::open(to, interface)?),
            changed: true,
            not_before: Instant::now(),
            told: None,
        })
    }

    /// Whether there is a route, when that or the route's prefix is something else than before; the first at once.
    ///
    /// # Errors
    /// The kernel does not go on telling, or does not list its routes.
    pub async fn next(&mut self) -> Result<Report, RouteError> {
        loop {
            while !self.changed {
                self.listen().await?;
            }
            sleep_until(self.not_before).await;
            let found = self.list().await?;
            if self.told != Some(found) {
                self.told = Some(found);
                return Ok(self.report(found));
            }
        }
    }

    /// Waits for something to hear, and takes it in.
    async fn listen(&mut self) -> Result<(), RouteError> {
        let look_again = self.not_before + LOOK_AGAIN;
        let heard = tokio::select! {
            heard = self.events.follow(|events| {
                let heard = events.follow();
                let more = heard.as_ref().is_ok_and(|heard| heard.more);
                (heard, more)
            }) => heard,
            () = sleep_until(look_again) => {
                self.changed = true;
                return Ok(());
            }
        };
        let Heard { changed, .. } = heard.map_err(RouteError::Reactor)??;
        self.changed |= changed;
        Ok(())
    }

    async fn list(&mut self) -> Result<Option<IpNet>, RouteError> {
        // Changes from here on are heard of later.
        self.changed = false;
        let mut lister = match self.lister.take() {
            Some(lister) => lister,
            // A listing was given up on the way.
            None => RouteLister::open(self.to, self.interface.as_deref())?,
        };
        let started = Instant::now();
        let listing = tokio::task::spawn_blocking(move || {
            let found = lister.list();
            (lister, found)
        });
        let (lister, found) = listing.await.map_err(|_no_thread| RouteError::Stopping)?;
        self.lister = Some(lister);
        self.not_before = Instant::now() + started.elapsed() * PAUSE;
        Ok(found?)
    }

    fn report(&self, found: Option<IpNet>) -> Report {
        let by = self.interface.as_ref().map(|name| format!(" by {name}")).unwrap_or_default();
        let to = self.to;
        match found {
            Some(net) if net == to => {
                Report::new(Reading::Up, format!("there is a route to {to}{by}"))
            }
            Some(net) => Report::new(
                Reading::Up,
                format!("there is a route to {net}{by}, which covers {to}"),
            ),
            None => Report::new(Reading::Down, format!("there is no route to {to}{by}")),
        }
    }
}
