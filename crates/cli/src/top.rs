//! `holdfast top`: what `status` shows, at work: it is drawn anew every second.

mod screen;
mod view;

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use holdfast_control::{Client, Status, chain};
use holdfast_net::terminal;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::args::{Output, Top};
use crate::failure::Failure;
use crate::output::Answer;
use screen::{Screen, screen};
use view::View;

/// The other screen of the terminal, without a cursor; and back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
/// To the upper left corner; and everything behind the cursor away.
const HOME: &str = "\x1b[H";
const CLEAR_LINE: &str = "\x1b[K\r\n";
const CLEAR_REST: &str = "\x1b[J";

/// Shows it until somebody ends it, or once. A daemon that does not answer is asked again.
pub(crate) async fn run(client: &Client, top: &Top, output: Output) -> Result<Answer, Failure> {
    if top.once {
        let status = client.status().await?;
        let view = View::of(&status, top.sort);
        return Ok(Answer {
            table: screen(&Screen { view: Some(&view), problem: None, size: None }),
            json: said(None, Some(&view)),
        });
    }
    let drawn = output == Output::Table && io::stdout().is_terminal();
    let listen =
        |kind| signal(kind).map_err(|error| Failure::Failed(format!("listen to signals: {error}")));
    let mut ends = [
        listen(SignalKind::interrupt())?,
        listen(SignalKind::terminate())?,
        listen(SignalKind::hangup())?,
    ];
    let mut resized = listen(SignalKind::window_change())?;
    if drawn {
        say(ENTER)?;
    }
    let result = show(client, top, output, drawn, &mut ends, &mut resized).await;
    if drawn {
        say(LEAVE)?;
    }
    result?;
    Ok(Answer { table: String::new(), json: serde_json::Value::Null })
}

/// What was asked last, and since when nobody answers.
struct Seen {
    status: Option<Status>,
    problem: Option<String>,
    at: Instant,
}

async fn show(
    client: &Client,
    top: &Top,
    output: Output,
    drawn: bool,
    ends: &mut [Signal; 3],
    resized: &mut Signal,
) -> Result<(), Failure> {
    let [interrupt, terminate, hangup] = ends;
    let mut seen = Seen { status: None, problem: None, at: Instant::now() };
    let mut due = tokio::time::interval(top.interval);
    due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let asked = tokio::select! {
            _ = due.tick() => true,
            _ = resized.recv() => false,
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
            _ = hangup.recv() => return Ok(()),
        };
        if asked {
            // A daemon that hangs must not take the way out with it.
            let answer = tokio::select! {
                answer = client.status() => answer,
                _ = interrupt.recv() => return Ok(()),
                _ = terminate.recv() => return Ok(()),
                _ = hangup.recv() => return Ok(()),
            };
            match answer {
                Ok(status) => {
                    seen = Seen { status: Some(status), problem: None, at: Instant::now() }
                }
                Err(error) => seen.problem = Some(chain(&error)),
            }
        } else if !drawn {
            continue;
        }
        if !write(&seen, top, output, drawn)? {
            return Ok(());
        }
    }
}

/// Writes what was seen; false when nobody reads it any more.
fn write(seen: &Seen, top: &Top, output: Output, drawn: bool) -> Result<bool, Failure> {
    let view = seen.status.as_ref().map(|status| View::of(status, top.sort));
    let text = if output == Output::Json {
        let problem = seen.problem.as_deref();
        let view = view.filter(|_| problem.is_none());
        format!("{}\n", said(problem, view.as_ref()))
    } else {
        let age = seen.at.elapsed();
        let problem = seen.problem.as_deref().map(|problem| told(problem, view.is_some(), age));
        let size = if drawn { terminal::size(&io::stdout()) } else { None };
        let whole = screen(&Screen { view: view.as_ref(), problem: problem.as_deref(), size });
        if drawn {
            let lines: String = whole.lines().map(|line| format!("{line}{CLEAR_LINE}")).collect();
            format!("{HOME}{}{CLEAR_REST}", lines.trim_end_matches("\r\n"))
        } else {
            format!("{whole}\n")
        }
    };
    match io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::Failed(format!("write the screen: {error}"))),
    }
}

/// What `-o json` prints each time.
fn said(problem: Option<&str>, view: Option<&View>) -> serde_json::Value {
    serde_json::json!({ "problem": problem, "view": view })
}

/// That nobody answers, and how old what is shown is.
fn told(problem: &str, shown: bool, age: Duration) -> String {
    if shown {
        format!("{problem}; what is shown is {} s old", age.as_secs())
    } else {
        problem.to_owned()
    }
}

fn say(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| Failure::Failed(format!("write the screen: {error}")))
}
