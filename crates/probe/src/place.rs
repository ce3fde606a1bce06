//! Where a check goes and how it gets there: sockets with the check's source, device and mark, and the TCP connection.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;

use holdfast_config::Way;
use holdfast_health::Code;
use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};
use socket2::SockRef;
use tokio::net::{TcpSocket, UdpSocket};

use crate::deadline::Deadline;
use crate::finding::{Finding, describe, is_own_shortage};
use crate::lines::Lines;
use crate::talk::Stream;
use crate::transcript;

/// Below are the ports that the kernel never chooses by itself (`ip_local_port_range` begins above `ip_unprivileged_port_start`, which is
/// this where nobody has set it otherwise).
const CHOSEN_PORTS: u16 = 1024;

/// Where a run goes.
#[derive(Clone, Debug)]
pub(crate) struct Place<'a> {
    /// The target.
    pub(crate) address: SocketAddr,
    /// How packets get there.
    pub(crate) way: &'a Way,
    /// What it goes over where others go there, too.
    lines: Option<&'a Lines>,
}

impl<'a> Place<'a> {
    /// The place that `way` leads to, for the server at `server`.
    pub(crate) fn of(way: &'a Way, server: SocketAddr) -> Self {
        let mut address = server;
        // A server's own address keeps its zone.
        if let Some(other) = way.address.filter(|other| *other != server.ip()) {
            address = SocketAddr::new(other, server.port());
        }
        if let Some(port) = way.port {
            address.set_port(port);
        }
        Self { address, way, lines: None }
    }

    /// The same over `lines`.
    pub(crate) fn over(self, lines: Option<&'a Lines>) -> Self {
        Self { lines, ..self }
    }

    /// A connection that is closed by a reset, whenever and however it is dropped.
    ///
    /// A reset leaves no TIME_WAIT behind, so ten thousand checks don't use up the local ports, and the close never blocks.
    ///
    /// # Errors
    /// What the run found instead. A connection that met itself counts as refused: where nobody listens on a local address, the
    /// kernel may choose the very port that it connects to.
    pub(crate) async fn connect(&self, deadline: Deadline<'_>) -> Result<Box<dyn Stream>, Finding> {
        let Way { source, device, mark, .. } = self.way;
        let connected = match self.lines {
            Some(lines) if source.is_none() && device.is_none() && mark.is_none() => {
                deadline.within(self.connect_line(lines)).await
            }
            _ => deadline.within(self.connect_alone()).await,
        };
        connected.unwrap_or_else(|| {
            let (address, timeout) = (self.address, deadline.timeout);
            let sentence = format!("connect to {address}: no answer within {timeout:?}");
            Err(Finding::fail(Code::L4TOUT, sentence))
        })
    }

    async fn connect_line(&self, lines: &Lines) -> Result<Box<dyn Stream>, Finding> {
        let made = lines.connect(self.address).await;
        let line = made.map_err(|error| self.failed(&error))?;
        if self.address.port() >= CHOSEN_PORTS {
            self.other_than_itself(line.local_addr())?;
        }
        transcript::note(|| self.connected(line.local_addr().ok()));
        Ok(Box::new(line))
    }

    /// Over a socket of its own.
    async fn connect_alone(&self) -> Result<Box<dyn Stream>, Finding> {
        let ours = |error: io::Error| self.failed(&error);
        let socket = match self.address {
            SocketAddr::V4(_) => TcpSocket::new_v4().map_err(ours)?,
            SocketAddr::V6(_) => TcpSocket::new_v6().map_err(ours)?,
        };
        socket.set_zero_linger().map_err(ours)?;
        self.prepare(&socket)?;
        if let Some(source) = self.way.source {
            socket.bind(SocketAddr::new(source, 0)).map_err(|error| self.unbound(&error))?;
        }
        let stream = socket.connect(self.address).await.map_err(ours)?;
        self.other_than_itself(stream.local_addr())?;
        transcript::note(|| self.connected(stream.local_addr().ok()));
        Ok(Box::new(stream))
    }

    /// Fails where the address at this end is that of the other one.
    fn other_than_itself(&self, local: io::Result<SocketAddr>) -> Result<(), Finding> {
        match local.map_err(|error| self.failed(&error))? == self.address {
            true => Err(self.failed(&Errno::ECONNREFUSED.into())),
            false => Ok(()),
        }
    }

    fn connected(&self, local: Option<SocketAddr>) -> String {
        let from = local.map_or_else(String::new, |local| format!(" from {local}"));
        format!("connected{from} to {}", self.address)
    }

    /// A UDP socket that sends to the place and hears only from it.
    ///
    /// # Errors
    /// What the run found instead.
    pub(crate) async fn udp(&self) -> Result<UdpSocket, Finding> {
        let any: SocketAddr = match self.address {
            SocketAddr::V4(_) => (std::net::Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (std::net::Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let local = self.way.source.map_or(any, |source| SocketAddr::new(source, 0));
        let socket = UdpSocket::bind(local).await.map_err(|error| match self.way.source {
            Some(_) => self.unbound(&error),
            None => self.failed(&error),
        })?;
        self.prepare(&socket)?;
        socket.connect(self.address).await.map_err(|error| self.failed(&error))?;
        Ok(socket)
    }

    /// Sets what the check's own options ask for. That the host refuses is no fault of a server.
    fn prepare(&self, socket: &impl AsFd) -> Result<(), Finding> {
        let Way { source, device, mark, .. } = self.way;
        let reference = SockRef::from(socket);
        let set = |option: &str, done: io::Result<()>| {
            done.map_err(|error| {
                let help = if error.raw_os_error() == Some(Errno::EPERM as i32) {
                    "; the daemon needs CAP_NET_ADMIN (a mark) or CAP_NET_RAW (a device)"
                } else if error.raw_os_error() == Some(Errno::ENODEV as i32) {
                    "; this host has no such interface now"
                } else {
                    ""
                };
                let sentence =
                    format!("connect to {}: {option}: {}{help}", self.address, describe(&error));
                Finding::ours(sentence)
            })
        };
        if let Some(device) = device {
            set(&format!("device {device}"), reference.bind_device(Some(device.as_bytes())))?;
        }
        if let Some(mark) = mark {
            set(&format!("mark {mark}"), reference.set_mark(*mark))?;
        }
        // The port is chosen when the target is known: a source then has as many ports for each target as there are.
        let no_port = source.map(|_| setsockopt(&socket, sockopt::IpBindAddressNoPort, &true));
        set("source", no_port.unwrap_or(Ok(())).map_err(io::Error::from))
    }

    /// The check's source address can't be used.
    fn unbound(&self, error: &io::Error) -> Finding {
        let source = self.way.source.map(|source| source.to_string()).unwrap_or_default();
        let help = match error.raw_os_error() == Some(Errno::EADDRNOTAVAIL as i32) {
            true => "; this host has no such address now",
            false => "",
        };
        let sentence =
            format!("connect to {}: source {source}: {}{help}", self.address, describe(error));
        Finding::ours(sentence)
    }

    /// What a connection that was not made says of the server.
    pub(crate) fn failed(&self, error: &io::Error) -> Finding {
        let sentence = format!("connect to {}: {}", self.address, describe(error));
        if is_own_shortage(error) {
            return Finding::ours(sentence);
        }
        // The kernel's own patience may end before ours: both mean that nobody answered.
        let code = match error.kind() == io::ErrorKind::TimedOut {
            true => Code::L4TOUT,
            false => Code::L4CON,
        };
        Finding::fail(code, sentence)
    }
}
