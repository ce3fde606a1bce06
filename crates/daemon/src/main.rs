//! `holdfastd`, the director: reads the configuration, starts VRRP and the pools, and stops in order.

mod api;
mod director;
mod failure;
mod host;
mod options;
mod rate;
mod vrrp;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use holdfast_config::Config;
use ipvs_ctl::model::Table;
use nix::sys::stat::{Mode, umask};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::api::socket::ControlSocket;
use crate::director::{Director, Kernel};
use crate::failure::Failure;
use crate::options::Options;
use crate::vrrp::VrrpHandle;

/// How long a stop waits for the addresses to be gone.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let options = Options::parse();
    match start(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Nobody is left to tell when standard error is closed.
            drop(write!(io::stderr(), "{failure}"));
            failure.exit_code()
        }
    }
}

fn start(options: &Options) -> Result<(), Failure> {
    // What the daemon creates is for itself; the control socket's group gets its rights explicitly.
    umask(Mode::from_bits_truncate(0o077));
    holdfast_telemetry::log::start(options.log_format.into(), &options.log)
        .map_err(|error| Failure::new("start the log", error))?;
    let mut config = host::load(options)?;
    if let Some(socket) = &options.socket {
        config.daemon.control_socket.clone_from(socket);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::new("start the runtime", error))?;
    let result = runtime.block_on(work(config, &options.config));
    // A check's task may still run; nothing waits for it.
    runtime.shutdown_background();
    result
}

async fn work(config: Config, path: &Path) -> Result<(), Failure> {
    let (_socket, listener) =
        ControlSocket::open(&config.daemon.control_socket, config.daemon.control_group.as_deref())
            .map_err(|error| Failure::new("start", error))?;
    let http = open_http(&config).await?;
    let kernel = open_kernel(&config)?;
    let stop = stop_signal()?;
    let mut vrrp = VrrpHandle::start(&config).map_err(|error| Failure::new("start", error))?;

    let path = path.display().to_string();
    let (requests, receiver) = mpsc::channel(api::REQUESTS_MAX);
    let node = config.node.clone();
    let director = Director::new(config, path, kernel, vrrp.remote());
    tokio::spawn(api::server::serve(listener, api::control(requests.clone())));
    if let Some(http) = http {
        tokio::spawn(api::server::serve(http, api::read_only(requests)));
    }
    tracing::info!(node, "the director works");
    holdfast_telemetry::service_manager::ready("working");

    let mut told = false;
    let stop = async {
        tokio::select! {
            () = stop => told = true,
            () = vrrp.gone() => {}
        }
    };
    let director = director.run(receiver, stop).await;
    holdfast_telemetry::service_manager::stopping();
    vrrp.stop(STOP_PATIENCE).await;
    director.leave().await;
    tracing::info!(node, "the director has stopped");
    if told {
        Ok(())
    } else {
        Err(Failure::Host("the VRRP thread ended by a fault of the daemon".to_owned()))
    }
}

fn open_kernel(config: &Config) -> Result<Option<(Kernel, Table)>, Failure> {
    if config.services.is_empty() {
        return Ok(None);
    }
    Kernel::open().map(Some).map_err(|error| Failure::new("open the kernel's IPVS", error))
}

async fn open_http(config: &Config) -> Result<Option<TcpListener>, Failure> {
    let Some(address) = config.daemon.http else { return Ok(None) };
    let attempt = format!("listen for HTTP on {address} (`daemon.http.listen`)");
    TcpListener::bind(address).await.map(Some).map_err(|error| Failure::new(&attempt, error))
}

/// Comes when SIGTERM or SIGINT does. SIGHUP is answered with a word in the log.
fn stop_signal() -> Result<impl Future<Output = ()>, Failure> {
    let catch = |kind| signal(kind).map_err(|error| Failure::new("catch signals", error));
    let mut terminate = catch(SignalKind::terminate())?;
    let mut interrupt = catch(SignalKind::interrupt())?;
    let mut hangup = catch(SignalKind::hangup())?;
    Ok(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => return,
                _ = interrupt.recv() => return,
                _ = hangup.recv() => {
                    tracing::warn!("SIGHUP reloads nothing: stop the daemon and start it again; the kernel forwards meanwhile");
                }
            }
        }
    })
}
