//! The command line's grammar.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Sees and steers a Holdfast director.
///
/// Exit codes: 0 done, 1 failed, 2 usage, 3 timed out waiting, 4 something would change (`plan --exit-code`), 78 invalid configuration.
#[derive(Debug, Parser)]
#[command(name = "holdfast", version, max_term_width = 100)]
pub(crate) struct Arguments {
    /// The daemon's control socket.
    #[arg(
        long,
        global = true,
        env = "HOLDFAST_SOCKET",
        default_value = "/run/holdfast/control.sock"
    )]
    pub(crate) socket: PathBuf,
    /// How the answer is printed.
    #[arg(short, long, global = true, value_enum, default_value_t)]
    pub(crate) output: Output,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How the answer is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    #[default]
    Table,
    /// For programs; the fields are those of the control API.
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Finds every problem of a configuration, with line, column and help.
    Check(Check),
    /// Runs the checks of a real server once and shows what was sent, what came, and how long it took; it counts for nothing.
    ///
    /// The daemon runs them; where none answers, this command does, by the configuration's file. Exits with 1 when one does not pass.
    CheckRun(CheckRun),
    /// Converts a keepalived.conf: prints the configuration, and on standard error what became of each of its statements.
    ///
    /// Exits with 78 when the file is wrong: nothing is converted then, and every problem is told with its line and column.
    Import(Import),
    /// Explains a configuration key or the code of a problem.
    Explain {
        /// A key such as `vrrp.instances.NAME.vrid`, or a code such as `HF0101`.
        subject: String,
    },
    /// Who is active, what is down, why and since when.
    Status,
    /// The same at work, drawn anew every second: the busiest services and servers, with connections, packets and bytes a second.
    ///
    /// Ctrl-C ends it. Without a terminal one screen follows the other; with `-o json` an object a line.
    Top(Top),
    /// What happened: servers and their checks, commands, VRRP, what others changed in the kernel's table.
    Events(Events),
    /// What on this host would keep the daemon from working; exit code 1 where something would. It changes nothing.
    Doctor(Doctor),
    /// The daemon's log: what it says, changed while it runs.
    #[command(subcommand)]
    Log(Log),
    /// What a reload would change, with its impact, and what others have changed in the kernel.
    Plan(Plan),
    /// Has the daemon read its configuration again and apply what differs; refused whole when it is invalid (exit code 78).
    Reload,
    /// What commands have changed against the configuration's file, by whom, why and when.
    Diff(Diff),
    /// Prints a configuration that includes what commands have changed.
    Export,
    /// Services: list, show.
    #[command(subcommand)]
    Service(Service),
    /// Real servers: add, drain, maintain, take back, weigh, remove, list.
    #[command(subcommand)]
    Server(Server),
    /// VRRP instances.
    #[command(subcommand)]
    Vrrp(Vrrp),
    /// The kernel's IPVS table by ipvsadm's command line; `holdfast ipvs -h` lists it.
    #[command(disable_help_flag = true, override_help = crate::ipvs::help())]
    Ipvs {
        /// ipvsadm's words, and a few of ours.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "WORD")]
        words: Vec<OsString>,
    },
}

/// Where the configuration is by default.
pub(crate) const CONFIG: &str = "/etc/holdfast/holdfast.yaml";

#[derive(Debug, Args)]
pub(crate) struct CheckRun {
    #[command(flatten)]
    pub(crate) server: ServerName,
    /// Runs them in this process by this configuration's file, whether a daemon answers or not.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The node whose `per_node` values apply, where the file is read and has no `node`; by default the short host name.
    #[arg(long)]
    pub(crate) node: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The configuration's file; `-` reads standard input.
    #[arg(default_value = CONFIG)]
    pub(crate) file: PathBuf,
    /// The node whose `per_node` values apply, where the file has no `node`; by default the short host name.
    #[arg(long)]
    pub(crate) node: Option<String>,
    /// Leaves out what depends on this host: interfaces, users, commands.
    #[arg(long)]
    pub(crate) offline: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Import {
    /// keepalived's configuration, which may include others; `-` reads standard input.
    pub(crate) file: PathBuf,
    /// The node for which lines with `@ID` are kept: keepalived's `-i`, by default the short host name.
    #[arg(long)]
    pub(crate) id: Option<String>,
    /// Writes the configuration to a new file, readable by its owner alone, and the report to standard output.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) write: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Top {
    /// How often the daemon is asked; 100ms to 1h. Its own look at the kernel's counters is as often as `ipvs.poll` says.
    #[arg(long, value_parser = pace, default_value = "1s", value_name = "DURATION")]
    pub(crate) interval: Duration,
    /// What the busiest is told by.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) sort: Sort,
    /// Shows it once.
    #[arg(long)]
    pub(crate) once: bool,
}

/// What the busiest service and server is told by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sort {
    /// New connections a second.
    #[default]
    Connections,
    /// Connections that stand.
    Active,
    /// Packets a second, in both directions.
    Packets,
    /// Bytes a second, in both directions.
    Bytes,
    /// Nothing: the order of names.
    Name,
}

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// The configuration that the daemon has, or shall have.
    #[arg(default_value = "/etc/holdfast/holdfast.yaml")]
    pub(crate) file: PathBuf,
    /// The node whose `per_node` values apply, where the file has no `node`; by default the short host name.
    #[arg(long)]
    pub(crate) node: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Events {
    /// Goes on with what happens, as it does; with `-o json` an object a line.
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Only those after the event of this number.
    #[arg(long, default_value_t, value_name = "NUMBER")]
    pub(crate) since: u64,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Log {
    /// Shows what is logged, or has something else logged until the daemon ends.
    Level {
        /// A level (`error`, `warn`, `info`, `debug`, `trace`), or a list such as `info,holdfast_probe=debug`.
        filter: Option<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// A configuration's file in place of the daemon's own; `-` reads standard input.
    pub(crate) file: Option<PathBuf>,
    /// Exits with 4 when something would change or has drifted.
    #[arg(long)]
    pub(crate) exit_code: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Diff {
    /// Exits with 4 when there is a change.
    #[arg(long)]
    pub(crate) exit_code: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Service {
    /// Lists the services, a line each: whether they serve, and by how many servers.
    List,
    /// Shows a service with its servers, and what is wrong with it.
    Show {
        /// The service.
        service: String,
    },
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Server {
    /// Adds a real server to a service; it takes traffic after its first passed check.
    Add {
        /// The service.
        service: String,
        /// `ADDRESS:PORT`, `[ADDRESS]:PORT`, or an address alone where the service forwards to its own port.
        address: String,
        /// Its name [default: that of the server that the file has at this address; otherwise made from the address].
        #[arg(long)]
        name: Option<String>,
        /// Its weight [default: that of the server that the file has at this address, otherwise 1; a server that is there already keeps its own].
        #[arg(long)]
        weight: Option<u32>,
        /// A lease: without another `add` within so long it drains and is removed; 1s to 168h.
        #[arg(long, value_parser = duration, value_name = "DURATION")]
        ttl: Option<Duration>,
        #[command(flatten)]
        why: Why,
        /// Waits until it is up, so long at most; exits with 3 when it is not up by then.
        #[arg(long, value_parser = duration, value_name = "DURATION")]
        wait: Option<Duration>,
    },
    /// Gives a server no new connections and lets it finish those it has.
    Drain {
        #[command(flatten)]
        server: ServerName,
        #[command(flatten)]
        drain: DrainOptions,
    },
    /// Takes a server back that drains, has drained or is in maintenance.
    Ready {
        #[command(flatten)]
        server: ServerName,
        #[command(flatten)]
        why: Why,
    },
    /// Gives a server no new connections and checks it no more, until `ready`.
    Maint {
        #[command(flatten)]
        server: ServerName,
        #[command(flatten)]
        why: Why,
    },
    /// Gives a server another weight.
    Weight {
        /// The service, or `SERVICE/SERVER`.
        service: String,
        /// The server, unless it was named already, and the weight: a number in place of the configured one, or a share of it as
        /// `50%`.
        #[arg(required = true, num_args = 1..=2, value_name = "[SERVER] WEIGHT")]
        rest: Vec<String>,
        #[command(flatten)]
        why: Why,
    },
    /// Drains a server and removes it from its service.
    Rm {
        #[command(flatten)]
        server: ServerName,
        /// Removes it at once: the connections that it has are lost.
        #[arg(long, conflicts_with_all = ["timeout", "wait"])]
        now: bool,
        #[command(flatten)]
        drain: DrainOptions,
    },
    /// Lists the servers of a service, or of all.
    List {
        /// The service.
        service: Option<String>,
    },
}

/// A server by name or address: `SERVICE SERVER` or `SERVICE/SERVER`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ServerName {
    /// The service, or `SERVICE/SERVER`.
    service: String,
    /// The server: its name, its address and port, or its address alone where no other server of the service has it.
    server: Option<String>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct DrainOptions {
    /// The drain ends after so long even with connections left [default: the service's `drain.timeout`, 5m].
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    pub(crate) timeout: Option<Duration>,
    /// Waits until the drain has ended, so long at most; exits with 3 when it has not by then.
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    pub(crate) wait: Option<Duration>,
    #[command(flatten)]
    pub(crate) why: Why,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Why {
    /// Why: kept with the server, and shown.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Forgets it when the daemon ends; otherwise it is kept over restarts.
    #[arg(long)]
    pub(crate) ephemeral: bool,
    /// Does it on every node that `daemon.pair` names, and reports each; exits with 1 when it was not done on all. Saying it again is safe.
    #[arg(long)]
    pub(crate) all_nodes: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Vrrp {
    /// The instances, their states and why.
    Status,
    /// Steps back from the addresses, and takes them again only on `resume` or when every other node is gone.
    Release {
        #[command(flatten)]
        role: Role,
        /// Keeps that over a restart of the daemon.
        #[arg(long)]
        keep: bool,
    },
    /// Takes part again after `release`, as the configuration says.
    Resume {
        #[command(flatten)]
        role: Role,
    },
    /// Gives the addresses to the other node once; it keeps them for as long as it lives.
    Failover {
        #[command(flatten)]
        role: Role,
    },
}

/// Whose role changes, and how long that is waited for.
#[derive(Debug, Args)]
pub(crate) struct Role {
    /// An instance, or a sync group.
    pub(crate) name: String,
    /// Waits until another node is active (`resume`: until the node takes part), so long at most; exits with 3 when it is not so by
    /// then.
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    pub(crate) wait: Option<Duration>,
}

impl Server {
    /// What a verb that changes something says of why and where; none of one that does not.
    pub(crate) const fn why(&self) -> Option<&Why> {
        match self {
            Self::Add { why, .. }
            | Self::Ready { why, .. }
            | Self::Maint { why, .. }
            | Self::Weight { why, .. } => Some(why),
            Self::Drain { drain, .. } | Self::Rm { drain, .. } => Some(&drain.why),
            Self::List { .. } => None,
        }
    }
}

impl ServerName {
    /// A server by the words that name it.
    pub(crate) const fn new(service: String, server: Option<String>) -> Self {
        Self { service, server }
    }

    /// The service's and the server's name.
    pub(crate) fn parts(&self) -> Result<(&str, &str), String> {
        match (&self.server, self.service.split_once('/')) {
            (Some(server), None) => Ok((&self.service, server)),
            (None, Some((service, server))) => Ok((service, server)),
            (Some(_), Some(_)) => Err(format!("{:?} names a server already", self.service)),
            (None, None) => Err(format!("which server of {:?}? say SERVICE SERVER", self.service)),
        }
    }
}

/// How often something is asked: 100ms to 1h.
fn pace(text: &str) -> Result<Duration, String> {
    let pace = duration(text)?;
    let range = Duration::from_millis(100)..=Duration::from_secs(3600);
    if range.contains(&pace) { Ok(pace) } else { Err("100ms to 1h".to_owned()) }
}

/// A duration as the configuration writes it: `250ms`, `30s`, `5m`.
fn duration(text: &str) -> Result<Duration, String> {
    let how = |why| format!("{why}: say a number with its unit, as in `250ms`, `30s` or `5m`");
    holdfast_config::parse_duration(text).map_err(how)
}
