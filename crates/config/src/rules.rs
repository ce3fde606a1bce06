//! What must hold between the objects of a configuration. Each rule sees all that could be read, errors or not.

mod checks;
mod ipvs;
mod marks;
mod policy;
pub(crate) mod pool;
mod priorities;
mod services;
mod tracking;
mod transports;
mod vrrp;

use crate::diagnostic::Problems;
use crate::read::Document;
use crate::source::Source;

pub(crate) use self::vrrp::on_loopback;

/// Applies every rule.
pub(crate) fn check(document: &Document, source: &Source, problems: &mut Problems) {
    for view in &document.views {
        vrrp::check(view, source, problems);
    }
    tracking::check(document, source, problems);
    priorities::check(document, source, problems);
    services::check(document, problems);
    checks::check(document, source, problems);
    policy::check(document, problems);
    ipvs::check(document, source, problems);
}
