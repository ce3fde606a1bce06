//! Events as they happen: server-sent events (the HTML standard, §9.2), which browsers and `curl -N` read.
//!
//! ```text
//! id: 7
//! event: server.down
//! data: {"number":7,"at_ms":1767225599113,"kind":"server.down",…}
//! ```
//! An event `lost` says how many were not kept any more. A line with a colon comes where nothing has happened for a while. A stream ends
//! after five minutes; a reader comes again with the number that it had last (`Last-Event-ID`), as browsers do by themselves.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::LazyLock;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use holdfast_control::EventPage;
use hyper::body::Frame;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::server::STREAM_TIMEOUT;
use crate::events::Events;

/// So many streams at once; a further one is refused.
pub(crate) const STREAMS_MAX: usize = 16;

/// After so long without an event a line tells that the stream still is one.
const HEARTBEAT: Duration = Duration::from_secs(15);

static PLACES: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(STREAMS_MAX)));

/// What the next part of the stream is made of.
type Next = Pin<Box<dyn Future<Output = EventPage> + Send>>;

/// The events of the daemon as the body of an answer.
struct Stream {
    events: Events,
    next: Next,
    end: Instant,
    _place: OwnedSemaphorePermit,
}

/// A stream of the events after number `since`; none where there are too many already.
pub(super) fn stream(events: Events, since: u64) -> Option<Response> {
    let place = Arc::clone(&PLACES).try_acquire_owned().ok()?;
    let next = next(events.clone(), since);
    let end = Instant::now() + STREAM_TIMEOUT;
    let body = Body::new(Stream { events, next, end, _place: place });
    let head = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-store")];
    Some((head, body).into_response())
}

fn next(events: Events, since: u64) -> Next {
    Box::pin(async move { events.wait_after(since, HEARTBEAT).await })
}

impl hyper::body::Body for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let page = ready!(self.next.as_mut().poll(context));
        if Instant::now() >= self.end {
            return Poll::Ready(None);
        }
        self.next = next(self.events.clone(), page.last);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(text(&page))))))
    }
}

/// A page as the standard writes it.
fn text(page: &EventPage) -> String {
    let mut text = String::new();
    // Writing to a String can't fail, here and below.
    if page.lost > 0 {
        let _infallible = write!(text, "event: lost\ndata: {{\"lost\":{}}}\n\n", page.lost);
    }
    for event in &page.events {
        // JSON has no line's end in it.
        let Ok(json) = serde_json::to_string(event) else { continue };
        let (number, kind) = (event.number, &event.kind);
        let _infallible = write!(text, "id: {number}\nevent: {kind}\ndata: {json}\n\n");
    }
    if text.is_empty() {
        text.push_str(":\n\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use holdfast_control::Event;

    use super::*;

    #[test]
    fn events_are_written_as_the_standard_has_them() {
        let event = Event {
            number: 7,
            kind: "server.down".into(),
            subject: "web/web1".into(),
            text: "two\nlines".into(),
            ..Event::default()
        };
        let page = EventPage { events: vec![event], lost: 3, last: 7 };
        assert_eq!(
            text(&page),
            "event: lost\ndata: {\"lost\":3}\n\nid: 7\nevent: server.down\ndata: \
             {\"number\":7,\"at_ms\":0,\"kind\":\"server.down\",\"subject\":\"web/web1\",\"text\":\"two\\nlines\"}\n\n"
        );
        assert_eq!(text(&EventPage::default()), ":\n\n");
    }
}
