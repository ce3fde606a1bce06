//! The ICMP check: an echo request and its reply.

use holdfast_health::Code;
use holdfast_net::{Echo, EchoWay, ReachError, ReachStep};

use crate::deadline::Deadline;
use crate::finding::{Finding, describe, is_own_shortage};
use crate::place::Place;
use crate::readable::Readable;
use crate::transcript;

pub(crate) async fn run(place: &Place<'_>, deadline: Deadline<'_>) -> Finding {
    let address = place.address.ip();
    let what = format!("ping {address}");
    let way = EchoWay {
        interface: place.way.device.as_deref(),
        source: place.way.source,
        mark: place.way.mark,
    };
    let echo = match Echo::send(address, way) {
        Ok(echo) => echo,
        Err(error) if is_ours(&error) => return Finding::ours(format!("{what}: {error}")),
        Err(error) => return Finding::fail(Code::L4CON, format!("{what}: {error}")),
    };
    let echo = match Readable::new(echo) {
        Ok(echo) => echo,
        Err(error) => return Finding::ours(format!("{what}: {}", describe(&error))),
    };
    transcript::note(|| "sent an echo request".to_owned());
    match deadline.within(echo.read(Echo::look)).await {
        Some(Ok(())) => {
            transcript::note(|| "its reply came".to_owned());
            Finding::pass(Code::L4OK, format!("{what}: it answers"))
        }
        Some(Err(error)) if is_own_shortage(&error) => {
            Finding::ours(format!("{what}: {}", describe(&error)))
        }
        Some(Err(error)) => Finding::fail(Code::L4CON, format!("{what}: {}", describe(&error))),
        None => {
            Finding::fail(Code::L4TOUT, format!("{what}: no answer within {:?}", deadline.timeout))
        }
    }
}

/// Whether the request could not be made for a reason of our own: the check's interface or source is not there, a capability is
/// missing.
fn is_ours(error: &ReachError) -> bool {
    let unopened = matches!(
        error,
        ReachError::Interface(_) | ReachError::Refused { step: ReachStep::Open, .. }
    );
    unopened || error.is_own_shortage()
}
