//! One listener that stands for thousands of servers, and writes down when each of them is asked.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use holdfast_net::now;
use holdfast_testkit::lab::Node;
use holdfast_time::Instant;
use socket2::SockRef;

use super::setup::{Kind, PORT};

const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n";

/// A server that was asked, and when.
pub(super) type Asked = (Ipv4Addr, Instant);

/// The listener, until it is dropped.
#[derive(Debug)]
pub(super) struct Wall {
    listener: TcpListener,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    ends: AtomicBool,
    records: AtomicBool,
    asked: Mutex<Vec<Asked>>,
}

impl Wall {
    /// Listens on every address of `node` at [`PORT`].
    ///
    /// # Errors
    /// It can't.
    pub(super) fn stand(node: &Node, kind: Kind) -> Result<Self> {
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT));
        let listener = node.enter(|| TcpListener::bind(any))?.context("listen for checks")?;
        // More than the standard library asks for: a burst is not to be lost.
        SockRef::from(&listener).listen(4096)?;
        let (accepting, shared) = (listener.try_clone()?, Arc::new(Shared::default()));
        let own = Arc::clone(&shared);
        // It ends with the listener: nobody joins it.
        let _thread = std::thread::spawn(move || {
            while !own.ends.load(Ordering::Relaxed) {
                // One that was reset before it was taken is an error, and was a check nevertheless: rare, and not counted.
                let Ok((stream, _)) = accepting.accept() else { continue };
                own.take(stream, kind);
            }
        });
        Ok(Self { listener, shared })
    }

    /// Writes down who is asked during `window`.
    pub(super) fn record(&self, window: Duration) -> Vec<Asked> {
        self.start_recording();
        std::thread::sleep(window);
        self.stop_recording()
    }

    /// Writes down who is asked from now on.
    pub(super) fn start_recording(&self) {
        self.shared.lock().clear();
        self.shared.records.store(true, Ordering::Relaxed);
    }

    /// Who was asked since [`Self::start_recording`].
    pub(super) fn stop_recording(&self) -> Vec<Asked> {
        self.shared.records.store(false, Ordering::Relaxed);
        std::mem::take(&mut *self.shared.lock())
    }

    /// All servers die: from now on they refuse connections. Answers when that was.
    pub(super) fn fall(&self) -> Result<Instant> {
        self.shared.ends.store(true, Ordering::Relaxed);
        SockRef::from(&self.listener).shutdown(Shutdown::Both)?;
        Ok(now())
    }
}

impl Drop for Wall {
    fn drop(&mut self) {
        drop(self.fall());
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Asked>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, mut stream: TcpStream, kind: Kind) {
        if self.records.load(Ordering::Relaxed)
            && let Ok(SocketAddr::V4(local)) = stream.local_addr()
        {
            let (server, at) = (*local.ip(), now());
            self.lock().push((server, at));
        }
        if kind == Kind::Http {
            let mut request = [0; 2048];
            // Who goes away in the middle has been counted.
            let _patience = stream.set_read_timeout(Some(Duration::from_millis(500)));
            if stream.read(&mut request).is_ok_and(|length| length > 0) {
                let _answered = stream.write_all(ANSWER);
            }
        }
    }
}
