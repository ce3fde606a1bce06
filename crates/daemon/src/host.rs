//! The configuration at start: read, checked on this host, and refused whole when it is wrong, or, where the last good one says so,
//! replaced by that.

use std::path::PathBuf;

use holdfast_config::host::Claimed;
use holdfast_config::{Config, Diagnostic, OnBadConfig, Outcome, state_directory};
use holdfast_control::chain;
use holdfast_control::reload::LastGoodInUse;

use crate::failure::Failure;
use crate::options::Options;
use crate::state::last_good::LastGood;

/// What the daemon starts with.
#[derive(Debug)]
pub(crate) struct Start {
    /// The configuration.
    pub(crate) config: Config,
    /// Its text, to be kept as the last good one.
    pub(crate) good: LastGood,
    /// Why it is not the file's, where it is not.
    pub(crate) instead: Option<LastGoodInUse>,
    /// Whether it is for a worker in the place of one that died.
    pub(crate) succeeds: bool,
    warnings: Vec<Diagnostic>,
    complaints: Vec<String>,
}

impl Start {
    /// Says in the log, which begins after the configuration was read, what there is to say of it.
    pub(crate) fn say(&self) {
        for warning in &self.warnings {
            tracing::warn!(code = %warning.code, path = warning.path, "{}", warning.message);
        }
        for complaint in &self.complaints {
            tracing::error!("{complaint}");
        }
    }
}

/// The configuration. Nothing is logged yet: [`Start::say`] does. Who `succeeds` a worker that died, or asks for one whether that could
/// be, finds that one's addresses, and what others have made of them meanwhile: that keeps nobody from going on.
///
/// # Errors
/// The file can't be read (exit 1), or something is wrong with it (exit 78, with every problem), and there is no last good one that says
/// `daemon.on_bad_config: last_good`.
pub(crate) fn load(options: &Options, succeeds: bool) -> Result<Start, Failure> {
    let claimed = if succeeds { Claimed::Everything } else { Claimed::Nothing };
    let node = options.node.as_deref();
    let found = holdfast_host::check_again(&options.config, node, claimed.clone())
        .map_err(|error| Failure::new("start", error));
    let failure = match found.and_then(usable) {
        Ok((config, outcome)) => {
            let good = LastGood::of(outcome.source);
            return Ok(Start {
                config: fitted(config, options),
                good,
                instead: None,
                succeeds,
                warnings: outcome.diagnostics,
                complaints: Vec::new(),
            });
        }
        Err(failure) => failure,
    };
    let (good, config) = match last_good(options, claimed) {
        Ok(Some(found)) => found,
        Ok(None) => return Err(failure),
        Err(why) => {
            // The file's own problems are what is to be put right; this one only says why there is no way round them.
            return Err(match failure {
                Failure::Host(sentence) => Failure::Host(format!("{sentence}; {why}")),
                Failure::Configuration(report) => {
                    Failure::Configuration(format!("{report}holdfastd: {why}\n"))
                }
            });
        }
    };
    let why = failure.to_string();
    let complaints = vec![
        format!(
            "the configuration is not usable: the daemon works with the last good one of {} (`daemon.on_bad_config`)",
            good.at
        ),
        format!("what is wrong with the configuration:\n{why}"),
    ];
    let instead = Some(LastGoodInUse { of: good.at, error: first_line(&why) });
    let (config, warnings) = (fitted(config, options), Vec::new());
    Ok(Start { config, good, instead, succeeds, warnings, complaints })
}

/// The configuration, when nothing is wrong with it.
fn usable(mut outcome: Outcome) -> Result<(Config, Outcome), Failure> {
    let Some(config) = outcome.config.take() else {
        return Err(Failure::Configuration(outcome.render(false)));
    };
    match config.missing_secret() {
        Some(missing) => Err(Failure::Host(missing)),
        None => Ok((config, outcome)),
    }
}

/// With what the command line says in its place.
fn fitted(mut config: Config, options: &Options) -> Config {
    if let Some(socket) = &options.socket {
        config.daemon.control_socket.clone_from(socket);
    }
    if let Some(state) = &options.state {
        config.daemon.state.clone_from(state);
    }
    config
}

/// The last good configuration, where there is one that is good on this host now and wants to be used; why it can't be looked at.
fn last_good(options: &Options, claimed: Claimed) -> Result<Option<(LastGood, Config)>, String> {
    let folder = options.state.clone().unwrap_or_else(|| state_of(options));
    let good = LastGood::read(&folder)
        .map_err(|error| format!("the last good configuration can't be read: {error}"))?;
    let Some(good) = good else { return Ok(None) };
    let node = options.node.as_deref();
    let outcome = holdfast_host::check_files(good.files(), node, Some(claimed));
    let outcome = outcome.map_err(|error| {
        format!("the last good configuration can't be checked: {}", chain(&error))
    })?;
    let Ok((config, _)) = usable(outcome) else { return Ok(None) };
    Ok((config.daemon.on_bad_config == OnBadConfig::LastGood).then_some((good, config)))
}

/// The state directory, as far as a configuration that is not usable says.
fn state_of(options: &Options) -> PathBuf {
    let text = std::fs::read(&options.config).unwrap_or_default();
    state_directory(&text)
}

/// What a status has room for.
fn first_line(text: &str) -> String {
    text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().trim().to_owned()
}
