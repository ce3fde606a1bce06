//! Descriptors that a process was started with, beside the three that every one has.

use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};

/// Takes the descriptor `number`, which whoever started this process has left open for it. What this process starts does not inherit it.
/// Call it once for a number, before anything else is opened.
///
/// # Errors
/// The number is one of the first three, or no descriptor.
#[expect(unsafe_code, reason = "a number becomes a descriptor")]
pub fn take(number: RawFd) -> io::Result<OwnedFd> {
    if number < 3 {
        return Err(io::Error::other(format!("{number} is no descriptor that can be handed over")));
    }
    // JUSTIFICATION: what another process has opened has no owner in this one until it is given one here.
    // SAFETY: the descriptor is used for this one call, which finds out whether it is open.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    fcntl(borrowed, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    // JUSTIFICATION: as above.
    // SAFETY: it is open, as the call before has shown, and nobody in this process owns it: it was there when the process began.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

#[cfg(test)]
mod tests {
    use std::os::fd::IntoRawFd;

    use super::*;

    #[test]
    fn a_descriptor_is_taken_and_what_is_none_is_refused() {
        let (reader, _writer) = io::pipe().unwrap();
        let number = OwnedFd::from(reader).into_raw_fd();
        let taken = take(number).unwrap();
        let flags = fcntl(&taken, FcntlArg::F_GETFD).unwrap();
        assert_eq!(flags, FdFlag::FD_CLOEXEC.bits());
        assert!(take(2).is_err());
        assert!(take(1_000_000).is_err());
    }
}
