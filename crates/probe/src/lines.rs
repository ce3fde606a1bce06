//! Lines: sockets of TCP that are used again and again, and the one place where all of them are waited for.
//!
//! A connection of its own costs a check a socket, its options, its place among what is waited for, and a close. A line has all of
//! these already: a check costs `connect`, what it says and hears, and one `connect` to no address (AF_UNSPEC, connect(2)), which resets
//! the connection as a close with a linger of zero does and leaves the socket as if it were new: no address, no port, no TIME_WAIT.
//!
//! ```text
//!            connect                        dropped: reset
//!  idle ───────────────► Line (one run's) ─────────────────► idle, so many of each family; one too many is closed
//! ```
//!
//! Lines are waited for with an epoll of their own, edge-triggered, which tokio waits for in turn. What it says of a line is always of the
//! line's present connection: the kernel looks at a socket when it is asked, not when something has happened to it.
//!
//! Only plain ways lead over lines: a source, a device and a mark would stay with the socket, and so would the interface of a
//! link-local target.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{
    self, AddressFamily, MsgFlags, Shutdown, SockFlag, SockType, SockaddrIn, SockaddrStorage,
    setsockopt, sockopt,
};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::readable::Readable;

/// So many lines are heard of at a time.
const EVENTS: usize = 256;

/// A timeout that comes so late was not waited for: the task did something else, or the host stood still.
const STALL: Duration = Duration::from_millis(5);
const GRACE_MAX: Duration = Duration::from_millis(100);

/// Whoever looks for these finds something or the end.
const TO_READ: EpollFlags =
    EpollFlags::EPOLLIN.union(EpollFlags::EPOLLRDHUP).union(EpollFlags::EPOLLHUP).union(BROKEN);
const TO_WRITE: EpollFlags = EpollFlags::EPOLLOUT.union(EpollFlags::EPOLLHUP).union(BROKEN);
/// No more will come than what is there.
const ENDED: EpollFlags = EpollFlags::EPOLLRDHUP.union(EpollFlags::EPOLLHUP).union(BROKEN);
const BROKEN: EpollFlags = EpollFlags::EPOLLERR;

/// The lines of one task, which waits for all of them ([`Self::poll_turn`]).
#[derive(Clone, Debug)]
pub(crate) struct Lines(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    epoll: Readable<Bell>,
    /// So many lines of each family are kept while nobody uses them.
    kept: usize,
    seats: Mutex<Seats>,
}

/// The descriptor that becomes readable when something happens to a line.
#[derive(Debug)]
struct Bell(Epoll);

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.0.as_fd()
    }
}

#[derive(Debug, Default)]
struct Seats {
    seats: Vec<Seat>,
    /// Those without a socket.
    free: Vec<usize>,
    /// Sockets that nobody uses, with their seats: IPv4, IPv6.
    idle: [Vec<(OwnedFd, usize)>; 2],
    /// The time, once somebody has asked for it in this turn.
    now: Option<Instant>,
    /// How long the lines' clock is behind: what passed while nobody looked at them is no time that a server had.
    lost: Duration,
    /// Who is to be woken when, earliest first, by a number of their own.
    alarms: BTreeMap<(Instant, u64), Waker>,
    alarm: u64,
    /// Whether something has been done of which the kernel tells: a connection begun, or reset.
    stirred: bool,
}

/// What is known of a socket's present connection, and who waits for more.
#[derive(Debug)]
struct Seat {
    signs: EpollFlags,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Seat {
    /// That of a connection of which nothing is known.
    const NEW: Self = Self { signs: EpollFlags::empty(), reader: None, writer: None };
}

/// A connection over a line. Dropping it resets the connection.
#[derive(Debug)]
pub(crate) struct Line {
    lines: Lines,
    /// None when it has been dropped.
    socket: Option<OwnedFd>,
    seat: usize,
    family: Family,
    /// Whether the socket can be used again.
    again: bool,
}

#[derive(Clone, Copy, Debug)]
enum Family {
    V4,
    V6,
}

impl Lines {
    /// No line yet; `kept` of each family are kept while nobody uses them. Needs a tokio runtime with IO.
    ///
    /// # Errors
    /// The process or the host has no descriptor left.
    pub(crate) fn new(kept: usize) -> io::Result<Self> {
        let bell = Bell(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?);
        let epoll = Readable::new(bell)?;
        Ok(Self(Arc::new(Shared { epoll, kept, seats: Mutex::default() })))
    }

    /// A connection to `address`.
    ///
    /// # Errors
    /// Those of socket(2) and connect(2).
    pub(crate) async fn connect(&self, address: SocketAddr) -> io::Result<Line> {
        let line = self.line_to(address)?;
        match socket::connect(line.as_raw_fd(), &SockaddrStorage::from(address)) {
            Ok(()) | Err(Errno::EINPROGRESS | Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        std::future::poll_fn(|cx| line.poll_sign(cx, TO_WRITE)).await;
        if line.signs().intersects(EpollFlags::EPOLLHUP | BROKEN) {
            let error = SockRef::from(line.socket()?).take_error()?;
            return Err(error.unwrap_or_else(|| Errno::ECONNRESET.into()));
        }
        Ok(line)
    }

    /// The time of this turn by the lines' own clock, which stands still while nobody looks at them: it is read once.
    pub(crate) fn now(&self) -> Instant {
        let mut seats = self.lock();
        let lost = seats.lost;
        *seats.now.get_or_insert_with(|| before(Instant::now(), lost))
    }

    /// Time has passed: the next one who asks is told anew. Where a timeout is overdue by more than [`STALL`] nobody has looked at the lines
    /// meanwhile: runs have that time again, and as much once more (at most [`GRACE_MAX`]), for no server can have answered what it was not sent.
    pub(crate) fn time_passes(&self) {
        let mut seats = self.lock();
        seats.now = None;
        let Some(((due, _), _)) = seats.alarms.first_key_value() else { return };
        let real = Instant::now();
        let overdue = real.saturating_duration_since(*due + seats.lost);
        if overdue > STALL {
            seats.lost += overdue + overdue.min(GRACE_MAX);
        }
        seats.now = Some(before(real, seats.lost));
    }

    /// What `future` gives; none when it is not done at `at`. [`Self::next_alarm`] says when somebody has to call [`Self::ring`] for it.
    pub(crate) async fn within<T>(
        &self,
        at: Instant,
        future: impl Future<Output = T>,
    ) -> Option<T> {
        let mut future = pin!(future);
        let mut alarm = Alarm { lines: self, key: None };
        std::future::poll_fn(|cx| {
            if let Poll::Ready(given) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(given));
            }
            if self.now() >= at {
                return Poll::Ready(None);
            }
            alarm.set(at, cx.waker());
            Poll::Pending
        })
        .await
    }

    /// The earliest moment, by everybody's clock, at which somebody wants to be woken.
    pub(crate) fn next_alarm(&self) -> Option<Instant> {
        let seats = self.lock();
        seats.alarms.first_key_value().map(|((at, _), _)| *at + seats.lost)
    }

    /// Wakes whose moment has come; whether there was one.
    pub(crate) fn ring(&self) -> bool {
        let now = self.now();
        let mut rung = false;
        let mut seats = self.lock();
        while let Some(first) = seats.alarms.first_entry()
            && first.key().0 <= now
        {
            first.remove().wake();
            rung = true;
        }
        rung
    }

    /// Looks what has happened to the lines, if something may have by what was done with them, and wakes whom it concerns; whether anything
    /// has. What is near has answered before one would have slept, and resets of connections are to wake nobody.
    pub(crate) fn glance(&self) -> bool {
        std::mem::take(&mut self.lock().stirred) && self.wake(&self.0.epoll.get().heard().0)
    }

    /// The same once there may be something; until then it is pending.
    ///
    /// # Errors
    /// The runtime is stopping.
    pub(crate) fn poll_turn(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let events = ready!(self.0.epoll.poll_follow(cx, Bell::heard))?;
        self.wake(&events);
        Poll::Ready(Ok(()))
    }

    fn wake(&self, events: &[EpollEvent]) -> bool {
        let mut seats = self.lock();
        seats.now = None;
        for event in events {
            let seat =
                usize::try_from(event.data()).ok().and_then(|seat| seats.seats.get_mut(seat));
            let Some(seat) = seat else { continue };
            seat.signs |= event.events();
            if seat.signs.intersects(TO_READ)
                && let Some(reader) = seat.reader.take()
            {
                reader.wake();
            }
            if seat.signs.intersects(TO_WRITE)
                && let Some(writer) = seat.writer.take()
            {
                writer.wake();
            }
        }
        !events.is_empty()
    }

    /// An idle line, or a new one.
    fn line_to(&self, address: SocketAddr) -> io::Result<Line> {
        let (family, again) = match address {
            SocketAddr::V4(_) => (Family::V4, true),
            SocketAddr::V6(address) => (Family::V6, address.scope_id() == 0),
        };
        let mut seats = self.lock();
        let (socket, seat) = match seats.idle(family).pop() {
            Some(idle) => idle,
            None => seats.open(family, &self.0.epoll.get().0)?,
        };
        if let Some(seat) = seats.seats.get_mut(seat) {
            *seat = Seat::NEW;
        }
        seats.stirred = true;
        Ok(Line { lines: self.clone(), socket: Some(socket), seat, family, again })
    }

    fn lock(&self) -> MutexGuard<'_, Seats> {
        self.0.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn before(moment: Instant, by: Duration) -> Instant {
    moment.checked_sub(by).unwrap_or(moment)
}

/// A wish to be woken, until it is dropped.
struct Alarm<'a> {
    lines: &'a Lines,
    key: Option<(Instant, u64)>,
}

impl Alarm<'_> {
    /// The first time counts: a run is polled with one waker always.
    fn set(&mut self, at: Instant, waker: &Waker) {
        if self.key.is_some() {
            return;
        }
        let mut seats = self.lines.lock();
        seats.alarm += 1;
        let key = (at, seats.alarm);
        seats.alarms.insert(key, waker.clone());
        self.key = Some(key);
    }
}

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.lines.lock().alarms.remove(&key);
        }
    }
}

impl Bell {
    /// What has happened since the last time, and whether there may be more.
    fn heard(&self) -> (Vec<EpollEvent>, bool) {
        let mut events = [EpollEvent::empty(); EVENTS];
        match self.0.wait(&mut events, EpollTimeout::ZERO) {
            Ok(count) => (events.get(..count).unwrap_or_default().to_vec(), count == EVENTS),
            // A signal; there is no other error.
            Err(_again) => (Vec::new(), true),
        }
    }
}

impl Seats {
    const fn idle(&mut self, family: Family) -> &mut Vec<(OwnedFd, usize)> {
        let [v4, v6] = &mut self.idle;
        match family {
            Family::V4 => v4,
            Family::V6 => v6,
        }
    }

    /// A new socket and its seat.
    fn open(&mut self, family: Family, bell: &Epoll) -> io::Result<(OwnedFd, usize)> {
        let family = match family {
            Family::V4 => AddressFamily::Inet,
            Family::V6 => AddressFamily::Inet6,
        };
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let socket = socket::socket(family, SockType::Stream, flags, None)?;
        // Where it is closed, it is reset, too.
        setsockopt(&socket, sockopt::Linger, &libc::linger { l_onoff: 1, l_linger: 0 })?;
        let seat = self.free.last().copied().unwrap_or(self.seats.len());
        let interest = EpollFlags::EPOLLIN
            | EpollFlags::EPOLLOUT
            | EpollFlags::EPOLLRDHUP
            | EpollFlags::EPOLLET;
        bell.add(&socket, EpollEvent::new(interest, seat as u64))?;
        if self.free.pop().is_none() {
            self.seats.push(Seat::NEW);
        }
        Ok((socket, seat))
    }
}

impl Line {
    /// The address at this end.
    ///
    /// # Errors
    /// Those of getsockname(2).
    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        let address = SockRef::from(self.socket()?).local_addr()?;
        address.as_socket().ok_or_else(|| io::ErrorKind::Unsupported.into())
    }

    fn socket(&self) -> io::Result<&OwnedFd> {
        self.socket.as_ref().ok_or_else(|| Errno::EBADF.into())
    }

    /// Has the connection reset, and the socket as good as new.
    fn hang_up(&self) -> nix::Result<()> {
        let nowhere = libc::sockaddr_in {
            // AF_UNSPEC
            sin_family: 0,
            sin_port: 0,
            sin_addr: libc::in_addr { s_addr: 0 },
            sin_zero: [0; 8],
        };
        socket::connect(self.as_raw_fd(), &SockaddrIn::from(nowhere))
    }

    fn signs(&self) -> EpollFlags {
        self.lines.lock().seats.get(self.seat).map_or(EpollFlags::empty(), |seat| seat.signs)
    }

    /// Waits for one of `signs`.
    fn poll_sign(&self, cx: &Context<'_>, signs: EpollFlags) -> Poll<()> {
        let mut seats = self.lines.lock();
        let Some(seat) = seats.seats.get_mut(self.seat) else { return Poll::Ready(()) };
        if seat.signs.intersects(signs) {
            return Poll::Ready(());
        }
        let waiting = if signs == TO_READ { &mut seat.reader } else { &mut seat.writer };
        match waiting {
            Some(waker) => waker.clone_from(cx.waker()),
            None => *waiting = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Until the kernel says so again.
    fn unsign(&self, sign: EpollFlags) {
        if let Some(seat) = self.lines.lock().seats.get_mut(self.seat) {
            seat.signs.remove(sign);
        }
    }
}

impl AsRawFd for Line {
    fn as_raw_fd(&self) -> RawFd {
        // Without a socket nothing is done any more: it is being dropped.
        self.socket.as_ref().map_or(-1, AsRawFd::as_raw_fd)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let again = self.again && self.hang_up().is_ok();
        let Some(socket) = self.socket.take() else { return };
        let mut seats = self.lines.lock();
        if let Some(seat) = seats.seats.get_mut(self.seat) {
            *seat = Seat::NEW;
        }
        seats.stirred = true;
        let idle = seats.idle(self.family);
        if again && idle.len() < self.lines.0.kept {
            idle.push((socket, self.seat));
        } else {
            // Before its seat is another's: a child that was forked and not yet executed keeps the socket open for a moment.
            let _unless_closed = self.lines.0.epoll.get().0.delete(&socket);
            seats.free.push(self.seat);
        }
    }
}

impl AsyncRead for Line {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_sign(cx, TO_READ));
            let room = buffer.initialize_unfilled();
            let wanted = room.len();
            match socket::recv(self.as_raw_fd(), room, MsgFlags::empty()) {
                Ok(count) => {
                    buffer.advance(count);
                    // All was read that was there. More is told of, but for an end that was told already.
                    if count < wanted && !self.signs().intersects(ENDED) {
                        self.unsign(EpollFlags::EPOLLIN);
                    }
                    return Poll::Ready(Ok(()));
                }
                Err(Errno::EAGAIN) => self.unsign(TO_READ),
                Err(Errno::EINTR) => {}
                Err(errno) => return Poll::Ready(Err(errno.into())),
            }
        }
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.poll_sign(cx, TO_WRITE));
            match socket::send(self.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL) {
                Ok(count) => return Poll::Ready(Ok(count)),
                Err(Errno::EAGAIN) => self.unsign(TO_WRITE),
                Err(Errno::EINTR) => {}
                Err(errno) => return Poll::Ready(Err(errno.into())),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(socket::shutdown(self.as_raw_fd(), Shutdown::Write).map_err(io::Error::from))
    }
}

#[cfg(test)]
mod tests;
