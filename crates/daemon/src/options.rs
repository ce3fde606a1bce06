//! The daemon's command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use holdfast_telemetry::log::Format;

use crate::supervisor::Supervision;

/// The Holdfast director: VRRP elects the active node, IPVS forwards, health checks withdraw what fails.
///
/// Exit codes: 0 stopped as told, 1 could not start, 2 usage, 78 invalid configuration.
#[derive(Debug, Parser)]
#[command(name = "holdfastd", version, max_term_width = 100)]
pub(crate) struct Options {
    /// The configuration.
    #[arg(long, default_value = "/etc/holdfast/holdfast.yaml")]
    pub(crate) config: PathBuf,
    /// This node's name, whose `per_node` values apply, where the file has no `node`; by default the short host name.
    #[arg(long)]
    pub(crate) node: Option<String>,
    /// The control socket, in place of the configuration's.
    #[arg(long)]
    pub(crate) socket: Option<PathBuf>,
    /// The state directory, in place of the configuration's: a broken configuration can't say where the last good one is.
    #[arg(long)]
    pub(crate) state: Option<PathBuf>,
    /// How lines of the log look.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) log_format: LogFormat,
    /// What is logged: a level (`info`), or a list such as `info,holdfast_probe=debug`.
    #[arg(long, default_value = "info")]
    pub(crate) log: String,
    #[command(flatten)]
    pub(crate) supervision: Supervision,
}

/// How lines of the log look.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

impl From<LogFormat> for Format {
    fn from(format: LogFormat) -> Self {
        match format {
            LogFormat::Text => Self::Text,
            LogFormat::Json => Self::Json,
        }
    }
}
