//! Waiting in a thread that has no runtime: until a descriptor is readable or a deadline has come, and how another thread ends
//! the wait.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use holdfast_time::Instant;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::time::TimeSpec;

use crate::answer::Answer;
use crate::clock;

/// Wakes a thread that waits in [`wait_until`]. It carries no data: put the command into a bounded channel first, then wake.
/// Wake-ups that nobody has seen yet merge into one. Clones wake the same thread.
#[derive(Clone, Debug)]
pub struct Waker(Arc<EventFd>);

impl Waker {
    /// Makes a waker.
    ///
    /// # Errors
    /// The process or the host has no file descriptor left.
    pub fn new() -> Result<Self, WakeError> {
        EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)
            .map(|event| Self(Arc::new(event)))
            .map_err(|errno| WakeError::Create { answer: Answer::of_socket(errno) })
    }

    /// Makes the waiting thread's wait end, or its next one when it does not wait now.
    ///
    /// # Errors
    /// Never for a waker that was made by [`Waker::new`]; a kernel that answers otherwise is reported.
    pub fn wake(&self) -> Result<(), WakeError> {
        loop {
            match self.0.write(1) {
                // The counter is full: a wake-up is already pending, which is all that was asked for.
                Ok(_) | Err(Errno::EAGAIN) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(WakeError::Wake { answer: Answer::of_socket(errno) }),
            }
        }
    }

    /// Takes the pending wake-ups; called by the thread that was woken, before it reads its channel, so that a command that
    /// arrives meanwhile wakes it again. Returns whether there were any.
    pub fn drain(&self) -> bool {
        self.0.read().is_ok()
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Why waiting or waking failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WakeError {
    /// No waker could be made.
    #[error("create an event descriptor: {answer}")]
    Create {
        /// What the kernel answered.
        answer: Answer,
    },
    /// The wake-up was not delivered.
    #[error("wake a waiting thread: {answer}")]
    Wake {
        /// What the kernel answered.
        answer: Answer,
    },
    /// The thread could not wait.
    #[error("wait for {descriptors} descriptors: {answer}")]
    Wait {
        /// How many descriptors there were.
        descriptors: usize,
        /// What the kernel answered.
        answer: Answer,
    },
}

/// Sleeps until one of `descriptors` is readable or broken, `deadline` has come, or a signal was caught, and says of each descriptor
/// whether there is something to read: none of them when the deadline has come, all of them after a signal, since then nobody looked.
/// A descriptor of which it says no was empty at some moment of the call. Without a deadline it waits for a descriptor alone.
///
/// The kernel counts the sleep in CLOCK_MONOTONIC: after a suspension it may end late by the time that was left, never early.
///
/// # Errors
/// The kernel is out of memory or there are more descriptors than the process may open.
pub fn wait_until(
    descriptors: &[BorrowedFd<'_>],
    deadline: Option<Instant>,
) -> Result<Vec<bool>, WakeError> {
    let mut polled: Vec<PollFd<'_>> =
        descriptors.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)).collect();
    let left = deadline.map(|deadline| TimeSpec::from_duration(sleep(deadline, clock::now())));
    match ppoll(&mut polled, left, None) {
        // What the kernel reports that nix has no name for is something to look at.
        Ok(_) => Ok(polled.iter().map(|one| one.any().unwrap_or(true)).collect()),
        Err(Errno::EINTR) => Ok(vec![true; descriptors.len()]),
        Err(errno) => Err(WakeError::Wait {
            descriptors: descriptors.len(),
            answer: Answer::of_socket(errno),
        }),
    }
}

/// How long to sleep, at most a day at a time: the kernel refuses absurd lengths, and a caller loops anyway.
fn sleep(deadline: Instant, now: Instant) -> Duration {
    deadline.saturating_since(now).min(Duration::from_secs(86_400))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_up_before_the_wait_ends_it_and_is_taken_once() {
        let waker = Waker::new().unwrap();
        assert!(!waker.drain());
        waker.wake().unwrap();
        waker.wake().unwrap();
        assert_eq!(wait_until(&[waker.as_fd()], None).unwrap(), [true]);
        assert!(waker.drain());
        assert!(!waker.drain());
    }

    #[test]
    fn a_wake_up_from_another_thread_ends_the_wait() {
        let waker = Waker::new().unwrap();
        let other = waker.clone();
        let thread = std::thread::spawn(move || other.wake());
        wait_until(&[waker.as_fd()], None).unwrap();
        assert!(waker.drain());
        thread.join().unwrap().unwrap();
    }

    #[test]
    fn a_deadline_that_has_passed_ends_the_wait() {
        let waker = Waker::new().unwrap();
        assert_eq!(wait_until(&[waker.as_fd()], Some(Instant::ZERO)).unwrap(), [false]);
        assert!(!waker.drain());
    }

    #[test]
    fn a_deadline_at_the_end_of_time_is_cut_to_a_day() {
        let end = Instant::from_start(Duration::MAX);
        assert_eq!(sleep(end, Instant::ZERO), Duration::from_secs(86_400));
    }
}
