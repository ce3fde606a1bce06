//! `holdfast check-run`: the checks of a server once, with what was sent, what came, and how long it took.
//!
//! The daemon makes the runs where one answers, so that they go the way that its checks go. Where none does, or a file is named, they
//! are made here, as the configuration's file has them.

use holdfast_config::{Config, Name};
use holdfast_control::{CheckReason, CheckRun, Client, RequestError, Trial, TrialStep, chain};
use holdfast_host::trial;
use holdfast_probe::Probe;

use crate::args;
use crate::failure::Failure;
use crate::output::{Answer, to_answer};
use crate::whom::{Unmeant, meant, picked};

pub(crate) async fn run(client: &Client, what: &args::CheckRun) -> Result<Answer, Failure> {
    let run = match &what.config {
        Some(file) => here(what, file).await?,
        None => match by_daemon(client, what).await {
            Err(Unmeant::Request(RequestError::NotRunning { .. })) => {
                here(what, args::CONFIG.as_ref()).await?
            }
            answer => answer?,
        },
    };
    let answer = to_answer(&run, render)?;
    if run.passes() { Ok(answer) } else { Err(Failure::Failing(answer)) }
}

/// Has the daemon make the runs.
async fn by_daemon(client: &Client, what: &args::CheckRun) -> Result<CheckRun, Unmeant> {
    let (service, server) = meant(client, &what.server).await?;
    Ok(client.check_run(&service, &server).await?)
}

/// Makes the runs in this process.
async fn here(what: &args::CheckRun, file: &std::path::Path) -> Result<CheckRun, Failure> {
    let (service, word) = what.server.parts().map_err(Failure::Usage)?;
    let outcome = holdfast_host::check(file, what.node.as_deref(), false)
        .map_err(|error| Failure::Failed(format!("no daemon answers: {}", chain(&error))))?;
    let Some(config) = &outcome.config else {
        use std::io::Write as _;
        // Nobody is left to tell when standard error is closed.
        drop(std::io::stderr().write_all(outcome.render(false).as_bytes()));
        return Err(Failure::InvalidConfiguration);
    };
    let name = |text: &str| Name::try_from(text.to_owned()).ok();
    let known = name(service).and_then(|name| config.services.get(&name));
    let known = known
        .ok_or_else(|| Failure::Failed(format!("{} has no service `{service}`", file.display())))?;
    let servers = known.real_servers.values().map(|one| (one.name.as_str(), Some(one.address)));
    let real = match picked(service, word, servers) {
        Ok((_, server)) => name(&server).and_then(|name| known.real_servers.get(&name)),
        Err(Unmeant::Nobody(..)) => None,
        Err(other) => return Err(other.into()),
    };
    let real = real.ok_or_else(|| {
        Failure::Failed(format!("service `{service}` in {} has no server `{word}`", file.display()))
    })?;
    let mut trials = Vec::new();
    for check in known.checks_of(real).0 {
        trials.push(tried(config, check, service, real).await);
    }
    holdfast_probe::leave_no_control_groups();
    Ok(CheckRun {
        service: service.to_owned(),
        server: real.name.to_string(),
        address: real.address.to_string(),
        by: "holdfast".to_owned(),
        trials,
    })
}

async fn tried(
    config: &Config,
    check: &holdfast_config::Check,
    service: &str,
    server: &holdfast_config::RealServer,
) -> Trial {
    match Probe::of(&check.kind, service, server, &config.daemon.script_user) {
        Some(probe) => trial(check, &probe).await,
        None => Trial {
            kind: check.kind.name().to_owned(),
            target: check.kind.name().to_owned(),
            verdict: "inconclusive".to_owned(),
            reason: CheckReason {
                code: "SOCKERR".to_owned(),
                sentence: "only a daemon that runs has BFD sessions".to_owned(),
            },
            took_us: 0,
            timeout_ms: 0,
            weight: None,
            percent: None,
            wish: None,
            steps: vec![],
        },
    }
}

/// The runs for people.
fn render(run: &CheckRun) -> String {
    let CheckRun { service, server, address, by, trials } = run;
    let by = if by == "daemon" { "the daemon" } else { "this command: no daemon was asked" };
    let mut text = format!("{service}/{server} ({address}), run by {by}\n");
    if trials.is_empty() {
        text.push_str("  no check: the server counts as up\n");
    }
    for trial in trials {
        let Trial { target, verdict, reason, took_us, .. } = trial;
        let took = milliseconds(*took_us);
        text.push_str(&format!(
            "\n{target}\n  {verdict} after {took}: {} {}\n",
            reason.code, reason.sentence
        ));
        let weight = trial.weight.map(|weight| format!("weight {weight}"));
        let percent = trial.percent.map(|percent| format!("{percent}% of the weight"));
        let said: Vec<String> =
            [weight, percent, trial.wish.clone()].into_iter().flatten().collect();
        if !said.is_empty() {
            text.push_str(&format!("  asks for {}\n", said.join(", ")));
        }
        for step in &trial.steps {
            text.push_str(&lines(step));
        }
    }
    text
}

/// A step, line by line where what was said has lines.
fn lines(step: &TrialStep) -> String {
    let TrialStep { at_us, kind, length, text } = step;
    let (sign, what) = match kind.as_str() {
        "sent" => (">", format!("sent {length} bytes")),
        "received" => ("<", format!("received {length} bytes")),
        _ => return format!("  {:>10}  {text}\n", milliseconds(*at_us)),
    };
    let mut all = format!("  {:>10}  {what}\n", milliseconds(*at_us));
    // The text has `\n` as two characters: a line's end stays visible.
    for line in text.split_inclusive("\\n") {
        all.push_str(&format!("              {sign} {line}\n"));
    }
    all
}

fn milliseconds(micros: u64) -> String {
    format!("{}.{:03} ms", micros / 1000, micros % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(kind: &str, text: &str) -> TrialStep {
        TrialStep { at_us: 1234, kind: kind.into(), length: 30, text: text.into() }
    }

    #[test]
    fn what_was_sent_and_what_came_stand_line_by_line() {
        let run = CheckRun {
            service: "web".into(),
            server: "web1".into(),
            address: "10.0.0.11:80".into(),
            by: "daemon".into(),
            trials: vec![Trial {
                kind: "http".into(),
                target: "http http://10.0.0.11:80/health".into(),
                verdict: "pass".into(),
                reason: CheckReason { code: "L7OK".into(), sentence: "200 OK".into() },
                took_us: 2045,
                timeout_ms: 1000,
                weight: None,
                percent: Some(75),
                wish: Some("drain".into()),
                steps: vec![
                    step("note", "connected from 10.0.0.1:4711 to 10.0.0.11:80"),
                    step("sent", "GET /health HTTP/1.1\\r\\nhost: a\\r\\n"),
                    step("received", "HTTP/1.1 200 OK\\r\\n"),
                ],
            }],
        };
        assert_eq!(
            render(&run),
            "web/web1 (10.0.0.11:80), run by the daemon

http http://10.0.0.11:80/health
  pass after 2.045 ms: L7OK 200 OK
  asks for 75% of the weight, drain
    1.234 ms  connected from 10.0.0.1:4711 to 10.0.0.11:80
    1.234 ms  sent 30 bytes
              > GET /health HTTP/1.1\\r\\n
              > host: a\\r\\n
    1.234 ms  received 30 bytes
              < HTTP/1.1 200 OK\\r\\n
"
        );
        assert!(run.passes());
    }

    #[test]
    fn without_a_daemon_too_a_server_is_known_by_its_name_and_by_its_address() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("holdfast.yaml");
        let text = "services:\n  web:\n    listen: tcp 192.0.2.10:80\n    forward: nat\n    real_servers: {web1: 192.0.2.11:80, a: 192.0.2.12:80, b: 192.0.2.12:81}\n";
        std::fs::write(&file, text).unwrap();
        let client = Client::new(folder.path().join("control.sock"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let found = |word: &str| {
            let server = args::ServerName::new("web".to_owned(), Some(word.to_owned()));
            let (config, node) = (Some(file.clone()), Some("lb1".to_owned()));
            runtime.block_on(run(&client, &args::CheckRun { server, config, node }))
        };
        for word in ["web1", "192.0.2.11:80", "192.0.2.11"] {
            let answer = found(word).unwrap();
            assert_eq!(answer.json["server"], "web1", "{word}");
        }
        for (word, said) in [
            ("192.0.2.99", "has no server `192.0.2.99`"),
            ("192.0.2.12", "several servers of service `web` have 192.0.2.12"),
        ] {
            let failure = found(word).unwrap_err();
            assert!(failure.sentence().is_some_and(|it| it.contains(said)), "{failure:?}");
        }
    }
}
