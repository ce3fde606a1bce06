//! The configuration at start: read, checked on this host, and refused whole when it is wrong.

use holdfast_config::Config;

use crate::failure::Failure;
use crate::options::Options;

/// The configuration and its fingerprint, its warnings logged.
///
/// # Errors
/// The file can't be read (exit 1), or something is wrong with it (exit 78, with every problem).
pub(crate) fn load(options: &Options) -> Result<(Config, String), Failure> {
    let outcome = holdfast_host::check(&options.config, options.node.as_deref(), false)
        .map_err(|error| Failure::new("start", error))?;
    let report = outcome.render(false);
    let fingerprint = outcome.source.fingerprint();
    let warnings = outcome.diagnostics.clone();
    let Some(config) = outcome.config else { return Err(Failure::Configuration(report)) };
    for warning in warnings {
        tracing::warn!(code = %warning.code, path = warning.path, "{}", warning.message);
    }
    Ok((config, fingerprint))
}
