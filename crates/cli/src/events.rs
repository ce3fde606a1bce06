//! What happened, and what happens: `holdfast events`.

use std::io::{self, Write};
use std::time::Duration;

use holdfast_control::{Client, Event, EventPage, RequestError};
use tokio::time::sleep;

use crate::args::{Events, Output};
use crate::failure::Failure;
use crate::output::{Answer, to_answer};
use crate::times::utc_ms;

/// How long one request waits for the next event.
const WAIT: Duration = Duration::from_secs(5);

/// The pause before a daemon that doesn't answer, or doesn't let us wait, is asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// The events that the daemon has; with `--follow` those that come as well, printed as they do, until the reader goes away.
pub(crate) async fn run(
    client: &Client,
    events: &Events,
    output: Output,
) -> Result<Answer, Failure> {
    let page = client.events(events.since, Duration::ZERO).await?;
    if events.follow {
        follow(client, page, output).await?;
        return Ok(Answer { table: String::new(), json: serde_json::Value::Null });
    }
    to_answer(&page, lines)
}

/// Prints page after page. A daemon that goes away is waited for: it may be restarting.
async fn follow(client: &Client, first: EventPage, output: Output) -> Result<(), Failure> {
    let mut page = first;
    let mut since = 0;
    let mut gone = false;
    loop {
        if !print(&page, output)? {
            return Ok(());
        }
        since = if page.last > 0 { page.last } else { since };
        let asked = tokio::time::Instant::now();
        page = match client.events(since, WAIT).await {
            Ok(page) => {
                gone = false;
                page
            }
            Err(
                RequestError::NotRunning { .. }
                | RequestError::Timeout(_)
                | RequestError::Answer(_),
            ) => {
                if !gone {
                    // Nobody is left to tell when standard error is closed.
                    drop(writeln!(
                        io::stderr(),
                        "holdfast: the daemon does not answer: waiting for it"
                    ));
                }
                gone = true;
                EventPage::default()
            }
            Err(error) => return Err(error.into()),
        };
        if page.events.is_empty() && asked.elapsed() < PAUSE {
            sleep(PAUSE).await;
        }
    }
}

/// Prints a page, one event a line; false when the reader has gone away.
fn print(page: &EventPage, output: Output) -> Result<bool, Failure> {
    let text = match output {
        Output::Table => lines(page),
        Output::Json => {
            let each = page.events.iter().map(serde_json::to_string);
            let each: Result<Vec<String>, _> = each.collect();
            let each = each.map_err(|error| Failure::Failed(error.to_string()))?;
            each.iter().map(|line| format!("{line}\n")).collect()
        }
    };
    let mut out = io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::Failed(format!("write the events: {error}"))),
    }
}

/// A page for people.
fn lines(page: &EventPage) -> String {
    let lost = match page.lost {
        0 => String::new(),
        lost => format!("({lost} earlier events are not kept any more)\n"),
    };
    page.events.iter().fold(lost, |text, event| text + &line(event))
}

fn line(event: &Event) -> String {
    let Event { at_ms, kind, subject, text, .. } = event;
    format!("{}  {kind:<18} {subject}  {text}\n", utc_ms(*at_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_a_line_and_what_is_lost_is_said() {
        let event = Event {
            number: 7,
            at_ms: 1_767_225_599_113,
            kind: "server.draining".into(),
            subject: "web/web2".into(),
            text: "drains by alice: kernel upgrade".into(),
            who: Some("alice".into()),
            reason: Some("kernel upgrade".into()),
        };
        let page = EventPage { events: vec![event], lost: 6, last: 7 };
        assert_eq!(
            lines(&page),
            "(6 earlier events are not kept any more)\n\
             2025-12-31T23:59:59.113Z  server.draining    web/web2  drains by alice: kernel upgrade\n"
        );
    }
}
