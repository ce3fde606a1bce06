//! The TCP connection: a check of its own, and the first half of others.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use holdfast_health::Code;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout as within;

use crate::finding::{Finding, describe, is_own_shortage};

/// Connects to `address` and closes.
pub(crate) async fn run(address: SocketAddr, timeout: Duration) -> Finding {
    match within(timeout, connect(address)).await {
        Ok(Ok(_closed_here)) => {
            Finding::pass(Code::L4OK, format!("connect to {address}: connected"))
        }
        Ok(Err(error)) => failed(address, &error),
        Err(_elapsed) => timed_out(address, timeout),
    }
}

/// A connection that is closed by a reset, whenever and however it is dropped.
///
/// A reset leaves no TIME_WAIT behind, so ten thousand checks don't use up the local ports, and the close never blocks.
///
/// # Errors
/// What the kernel answered. A connection that met itself counts as refused: where nobody listens on a local address, the kernel
/// may choose the very port that it connects to.
pub(crate) async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_zero_linger()?;
    let stream = socket.connect(address).await?;
    if stream.local_addr()? == address {
        return Err(nix::errno::Errno::ECONNREFUSED.into());
    }
    Ok(stream)
}

/// What a connection that was not made says of the server.
pub(crate) fn failed(address: SocketAddr, error: &io::Error) -> Finding {
    let sentence = format!("connect to {address}: {}", describe(error));
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

/// What it says when nobody answered within `timeout`.
pub(crate) fn timed_out(address: SocketAddr, timeout: Duration) -> Finding {
    Finding::fail(Code::L4TOUT, format!("connect to {address}: no answer within {timeout:?}"))
}
