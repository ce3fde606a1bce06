//! A descriptor that tokio waits for.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::task::{Context, Poll, ready};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Something with a descriptor of its own that never blocks, and the wait until it is readable.
#[derive(Debug)]
pub struct Readable<T: AsFd>(AsyncFd<Owner<T>>);

#[derive(Debug)]
struct Owner<T>(T);

impl<T: AsFd> AsRawFd for Owner<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl<T: AsFd> Readable<T> {
    /// Gives `owner` to tokio. Needs its runtime.
    ///
    /// # Errors
    /// The reactor has no place for the descriptor.
    pub fn new(owner: T) -> io::Result<Self> {
        #[expect(
            deprecated,
            reason = "its successor is unsafe, which belongs in crates/net alone; what it asks for holds: `owner` has its \
                      descriptor to itself and for as long as it lives"
        )]
        AsyncFd::with_interest(Owner(owner), Interest::READABLE).map(Self)
    }

    /// What is read from.
    pub fn get(&self) -> &T {
        &self.0.get_ref().0
    }

    /// Waits until there is something, and reads it with `read`, which says `WouldBlock` when there is nothing.
    ///
    /// # Errors
    /// Those of `read`, and what the reactor says when the daemon is stopping.
    pub async fn read<R>(&self, mut read: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        loop {
            let mut ready = self.0.readable().await?;
            match ready.try_io(|owner| read(&owner.get_ref().0)) {
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(result) => return result,
                Err(_would_block) => {}
            }
        }
    }

    /// Waits until there is something, and has `follow` read all of it; it says, too, whether it has left something.
    ///
    /// # Errors
    /// What the reactor says when the daemon is stopping.
    pub async fn follow<R>(&mut self, follow: impl FnOnce(&mut T) -> (R, bool)) -> io::Result<R> {
        let mut ready = self.0.readable_mut().await?;
        let (result, more) = follow(&mut ready.get_inner_mut().0);
        if !more {
            ready.clear_ready();
        }
        Ok(result)
    }

    /// The same for a future that is written by hand; the last one who asks is woken.
    ///
    /// # Errors
    /// What the reactor says when the daemon is stopping.
    pub fn poll_follow<R>(
        &self,
        cx: &mut Context<'_>,
        follow: impl FnOnce(&T) -> (R, bool),
    ) -> Poll<io::Result<R>> {
        let mut ready = ready!(self.0.poll_read_ready(cx))?;
        let (result, more) = follow(self.get());
        if !more {
            ready.clear_ready();
        }
        Poll::Ready(Ok(result))
    }
}
