//! What a server's checks say of its weight and of whether it wants new connections, put together.
//!
//! It is made anew of what each check has said last, so a check that is gone leaves nothing behind, nor does one whose command died.

use holdfast_config::Name;
use holdfast_health::{Asked, Event, Feedback, Wish};
use holdfast_time::Instant;

use crate::checking::CheckId;
use crate::engine::Engine;
use crate::report::Report;
use crate::weight::{SHARE_MAX, WHOLE, reported};

/// What the checks of a server say of its weight; by default nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Advice {
    /// The weights that checks report in place of the configured one.
    weights: Vec<u32>,
    /// What an agent asks for, in percent of it.
    percent: Option<u32>,
    wish: Option<Wish>,
}

/// Nothing: what most servers' checks say.
pub(crate) static SILENT: Advice = Advice { weights: Vec::new(), percent: None, wish: None };

impl Advice {
    /// What several checks say together: the weights of all, the least percentage, the strongest wish.
    pub(crate) fn of(feedback: impl Iterator<Item = Feedback>) -> Self {
        let mut advice = Self::default();
        for Feedback { weight, wish } in feedback {
            match weight {
                Some(Asked::Weight(weight)) => advice.weights.push(weight),
                Some(Asked::Percent(percent)) => {
                    let percent = percent.min(SHARE_MAX);
                    advice.percent = Some(advice.percent.map_or(percent, |one| one.min(percent)));
                }
                None => {}
            }
            advice.wish = advice.wish.max(wish);
        }
        advice
    }

    /// Whether nothing has been said.
    pub const fn is_silent(&self) -> bool {
        self.weights.is_empty() && self.percent.is_none() && self.wish.is_none()
    }

    /// The weight in place of the `configured` one: that and the sum of (reported − configured) over the checks that report one.
    pub fn weight(&self, configured: u32) -> u32 {
        reported(configured, self.weights.iter().copied())
    }

    /// How much of the weight agents ask for, in percent: 0 to [`SHARE_MAX`].
    pub fn percent(&self) -> u32 {
        self.percent.unwrap_or(WHOLE)
    }

    /// Whether agents want new connections for the server.
    pub fn wish(&self) -> Wish {
        self.wish.unwrap_or(Wish::Ready)
    }
}

impl Engine {
    /// A check's run has said this of its server's weight, which holds from now on whatever `rise` and `fall` are. To be told before
    /// [`Self::check_finished`]. A check that is gone is ignored.
    pub fn check_advises(&mut self, now: Instant, id: CheckId, feedback: Feedback) {
        let Some(running) = self.checks.get_mut(&id) else { return };
        let known = running.feedback.then(feedback);
        if running.feedback == known {
            return;
        }
        running.feedback = known;
        let owners: Vec<(Name, Name)> =
            running.owners().map(|(service, server)| (service.clone(), server.clone())).collect();
        for (service, server) in owners {
            self.take_advice(&service, &server, now);
        }
    }

    /// Something has happened to what a check looks at: it runs now.
    pub fn prompt(&mut self, now: Instant, id: CheckId) {
        self.step_check(id, now, |checker| checker.handle(now, Event::Prompt));
    }

    /// Whether a check is in the books.
    pub fn has_check(&self, id: CheckId) -> bool {
        self.checks.contains_key(&id)
    }

    /// Puts together what the checks of a server say of its weight.
    pub(crate) fn take_advice(&mut self, service: &Name, server: &Name, now: Instant) {
        let pool = self.pools.get_mut(service);
        let Some(known) = pool.and_then(|pool| pool.servers.get_mut(server)) else { return };
        let checks = known.checks.iter().filter_map(|id| self.checks.get(id));
        let advice = Advice::of(checks.map(|running| running.feedback));
        if *known.advice() == advice {
            return;
        }
        let from = known.advice().wish();
        let to = advice.wish();
        known.advice = (!advice.is_silent()).then(|| Box::new(advice));
        if from != to {
            if to == Wish::Ready {
                self.begin_ramp(service, server, now);
            }
            let (service, server) = (service.clone(), server.clone());
            self.report(Report::Wishes { service, server, from, to });
        }
        self.reconcile_service(service);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weight(weight: Asked) -> Feedback {
        Feedback { weight: Some(weight), wish: None }
    }

    fn wish(wish: Wish) -> Feedback {
        Feedback { weight: None, wish: Some(wish) }
    }

    #[test]
    fn checks_that_say_nothing_change_nothing() {
        let advice = Advice::of([Feedback::NONE, Feedback::NONE].into_iter());
        assert!(advice.is_silent());
        assert_eq!((advice.weight(7), advice.percent(), advice.wish()), (7, 100, Wish::Ready));
    }

    #[test]
    fn of_several_agents_the_one_that_wants_less_is_heard() {
        let said = [
            weight(Asked::Percent(50)),
            weight(Asked::Percent(20)),
            wish(Wish::Ready),
            wish(Wish::Drain),
        ];
        let advice = Advice::of(said.into_iter());
        assert_eq!((advice.percent(), advice.wish()), (20, Wish::Drain));
        let more = [wish(Wish::Maint), wish(Wish::Drain)];
        assert_eq!(Advice::of(more.into_iter()).wish(), Wish::Maint);
        assert_eq!(Advice::of([weight(Asked::Percent(9999))].into_iter()).percent(), SHARE_MAX);
    }

    #[test]
    fn reported_weights_are_added_up_by_their_differences() {
        let said = [weight(Asked::Weight(10)), weight(Asked::Weight(3))];
        assert_eq!(Advice::of(said.into_iter()).weight(5), 8);
        assert_eq!(Advice::of(said.into_iter().take(1)).weight(5), 10);
    }
}
