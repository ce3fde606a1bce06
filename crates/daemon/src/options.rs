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
    /// What is logged: a level (`info`), or a list such as `info,holdfast_probe=debug`; `holdfast log level` changes it later.
    #[arg(long, default_value = "info")]
    pub(crate) log: String,
    #[command(flatten)]
    pub(crate) supervision: Supervision,
}

/// How lines of the log look.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum LogFormat {
    /// `time=… level=info msg="…" key=value` on standard error.
    #[default]
    Logfmt,
    /// A JSON object a line on standard error.
    Json,
    /// systemd's journal, each field by itself.
    Journald,
}

impl From<LogFormat> for Format {
    fn from(format: LogFormat) -> Self {
        match format {
            LogFormat::Logfmt => Self::Logfmt,
            LogFormat::Json => Self::Json,
            LogFormat::Journald => Self::Journald,
        }
    }
}
