//! Connections that the supervisor keeps open besides the worker, so that they end when both are dead and not before: those by which other
//! nodes watch this one (`vrrp::fate`).

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;

use holdfast_engine::vrrp::fate::GOODBYE;
use holdfast_net::{handed, inherited};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, Shutdown, recv, send, shutdown};

/// What a worker says: keep this; let go of all, with a goodbye.
const KEEP: u8 = b'k';
const LET_GO: u8 = b'g';

/// What a worker is told: this was kept for one before it.
const KEPT: u8 = b'b';

/// So many are kept; the oldest gives way.
const KEPT_MAX: usize = 128;

/// What is kept, and the way by which workers hand it over.
#[derive(Debug)]
pub(super) struct Keepsakes {
    ours: OwnedFd,
    /// The workers' end, which each inherits.
    theirs: OwnedFd,
    kept: VecDeque<OwnedFd>,
}

impl Keepsakes {
    /// Nothing yet.
    ///
    /// # Errors
    /// There is no descriptor left.
    pub(super) fn new() -> io::Result<Self> {
        let (ours, theirs) = handed::pair()?;
        Ok(Self { ours, theirs, kept: VecDeque::new() })
    }

    /// What the program before this one had, by the numbers of [`Self::numbers`]; nothing where it knew of none.
    ///
    /// # Errors
    /// They are no descriptors.
    pub(super) fn inherited(numbers: &[RawFd]) -> io::Result<Self> {
        let [ours, theirs, kept @ ..] = numbers else { return Self::new() };
        let kept = kept.iter().map(|number| inherited::take(*number)).collect::<io::Result<_>>()?;
        Ok(Self { ours: inherited::take(*ours)?, theirs: inherited::take(*theirs)?, kept })
    }

    /// The end that a worker inherits.
    pub(super) fn workers_end(&self) -> BorrowedFd<'_> {
        self.theirs.as_fd()
    }

    /// Every descriptor that a successor needs.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        [&self.ours, &self.theirs].into_iter().chain(&self.kept).map(AsFd::as_fd)
    }

    /// Their numbers.
    pub(super) fn numbers(&self) -> Vec<RawFd> {
        self.descriptors().map(|one| one.as_raw_fd()).collect()
    }

    /// What becomes readable when there is something to do.
    pub(super) fn waits_for(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        std::iter::once(&self.ours).chain(&self.kept).map(AsFd::as_fd)
    }

    /// Takes what a worker hands over, and drops what the other side has ended. Who says something on such a connection is dropped, too.
    pub(super) fn look(&mut self) {
        while let Ok(Some(message)) = handed::receive(&self.ours) {
            match message {
                (KEEP, Some(connection)) => {
                    if self.kept.len() >= KEPT_MAX {
                        self.kept.pop_front();
                    }
                    self.kept.push_back(connection);
                }
                (LET_GO, _) => self.say_goodbye(),
                _ => {}
            }
        }
        self.kept.retain(|one| {
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_PEEK;
            matches!(recv(one.as_raw_fd(), &mut [0], flags), Err(Errno::EAGAIN | Errno::EINTR))
        });
    }

    /// Lets the worker that is about to start have copies of all that is kept: it is watched by whoever watched the one before.
    pub(super) fn hand_down(&mut self) {
        self.look();
        // What that one did not take any more.
        while let Ok(Some(_)) = handed::receive(&self.theirs) {}
        for one in &self.kept {
            // It is kept whether the worker knows of it or not.
            let _untold = handed::send(&self.ours, KEPT, Some(one.as_fd()));
        }
    }

    /// Ends all connections with the word that nobody has died.
    pub(super) fn say_goodbye(&mut self) {
        for one in self.kept.drain(..) {
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
            // It may have ended before.
            let _ended = send(one.as_raw_fd(), &[GOODBYE], flags);
            let _ended = shutdown(one.as_raw_fd(), Shutdown::Both);
        }
    }
}

/// A worker's way to hand connections to its supervisor.
#[derive(Clone, Debug)]
pub(crate) struct Custody(Arc<OwnedFd>);

impl Custody {
    /// The way that was inherited.
    pub(super) fn by(end: OwnedFd) -> Self {
        Self(Arc::new(end))
    }

    /// Has a connection kept as long as the supervisor lives. It never waits.
    ///
    /// # Errors
    /// The supervisor has gone (EPIPE), or is too slow.
    pub(crate) fn keep(&self, connection: BorrowedFd<'_>) -> io::Result<()> {
        handed::send(&self.0, KEEP, Some(connection))
    }

    /// The next connection that a worker before this one had kept; each once, and none when there is none more. It never waits.
    pub(crate) fn handed_down(&self) -> Option<OwnedFd> {
        match handed::receive(&self.0) {
            Ok(Some((KEPT, connection))) => connection,
            Ok(_) | Err(_) => None,
        }
    }

    /// Has all connections ended, with a goodbye, that this worker and those before it have handed over.
    ///
    /// # Errors
    /// As of [`Self::keep`].
    pub(crate) fn let_go(&self) -> io::Result<()> {
        handed::send(&self.0, LET_GO, None)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    fn connection() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let watcher = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (watcher, listener.accept().unwrap().0)
    }

    #[test]
    fn what_a_worker_handed_over_outlives_it_and_ends_with_a_goodbye() {
        let mut keepsakes = Keepsakes::new().unwrap();
        let custody = Custody::by(keepsakes.theirs.try_clone().unwrap());
        let (mut watcher, held) = connection();
        custody.keep(held.as_fd()).unwrap();
        drop(held);
        keepsakes.look();
        assert_eq!(keepsakes.numbers().len(), 3);
        watcher.set_nonblocking(true).unwrap();
        let open = watcher.read(&mut [0]).unwrap_err();
        assert_eq!(open.kind(), io::ErrorKind::WouldBlock);
        custody.let_go().unwrap();
        keepsakes.look();
        watcher.set_nonblocking(false).unwrap();
        let mut words = Vec::new();
        watcher.read_to_end(&mut words).unwrap();
        assert_eq!(words, [GOODBYE]);
    }

    #[test]
    fn each_worker_is_handed_down_what_the_others_had_kept_and_once() {
        let mut keepsakes = Keepsakes::new().unwrap();
        let custody = Custody::by(keepsakes.theirs.try_clone().unwrap());
        assert!(custody.handed_down().is_none());
        let [(mut watcher, first), (_other, second)] = [connection(), connection()];
        custody.keep(first.as_fd()).unwrap();
        // The supervisor has not looked yet when the worker dies.
        custody.keep(second.as_fd()).unwrap();
        drop((first, second));
        // A worker that dies before it takes anything up leaves nothing to the next one.
        keepsakes.hand_down();
        keepsakes.hand_down();
        let taken: Vec<OwnedFd> = std::iter::from_fn(|| custody.handed_down()).collect();
        assert_eq!((taken.len(), keepsakes.kept.len()), (2, 2));
        // What the worker does with its copies concerns the supervisor's no more than what others did.
        drop(taken);
        watcher.set_nonblocking(true).unwrap();
        assert_eq!(watcher.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn what_the_other_side_has_ended_or_talks_on_is_dropped() {
        let mut keepsakes = Keepsakes::new().unwrap();
        let custody = Custody::by(keepsakes.theirs.try_clone().unwrap());
        let [(gone, first), (mut talks, second)] = [connection(), connection()];
        custody.keep(first.as_fd()).unwrap();
        custody.keep(second.as_fd()).unwrap();
        drop(gone);
        talks.write_all(b"GET / HTTP/1.1\r\n").unwrap();
        for _ in 0..1000 {
            keepsakes.look();
            if keepsakes.kept.is_empty() {
                return;
            }
            std::thread::yield_now();
        }
        panic!("{keepsakes:?}");
    }
}
