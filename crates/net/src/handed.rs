//! Descriptors that one process of the daemon hands to another while both live, each with a byte that says what for (unix(7), SCM_RIGHTS).

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg,
    sendmsg, socketpair,
};

/// Two ends, neither of which blocks: what is sent by one is received by the other, message by message. Nothing that is started inherits
/// them.
///
/// # Errors
/// There is no descriptor left.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    Ok(socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?)
}

/// Hands over `what`, if anything, for the reason `word`. From then on the descriptor lives as long as the receiver does.
///
/// # Errors
/// The receiver has gone, or has not received for too long (EAGAIN).
pub fn send(by: &impl AsFd, word: u8, what: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let numbers = what.map(|what| [what.as_raw_fd()]);
    let rights = numbers.as_ref().map(|numbers| ControlMessage::ScmRights(numbers));
    let rights: Vec<ControlMessage<'_>> = rights.into_iter().collect();
    let word = [word];
    let flags = MsgFlags::MSG_NOSIGNAL;
    sendmsg::<()>(by.as_fd().as_raw_fd(), &[IoSlice::new(&word)], &rights, flags, None)?;
    Ok(())
}

/// What was handed over next: its word and, if there is one, the descriptor. None when there is nothing now.
///
/// # Errors
/// The sender has gone (EPIPE), or the process has no descriptor left.
#[expect(unsafe_code, reason = "a number becomes a descriptor")]
pub fn receive(by: &impl AsFd) -> io::Result<Option<(u8, Option<OwnedFd>)>> {
    let mut word = [0];
    let mut space = cmsg_space!(RawFd);
    let mut slices = [IoSliceMut::new(&mut word)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let received = match recvmsg::<()>(by.as_fd().as_raw_fd(), &mut slices, Some(&mut space), flags)
    {
        Ok(received) => received,
        Err(Errno::EAGAIN | Errno::EINTR) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    let length = received.bytes;
    let mut taken = None;
    for message in received.cmsgs()? {
        if let ControlMessageOwned::ScmRights(numbers) = message {
            for number in numbers {
                // JUSTIFICATION: what another process has handed over has no owner in this one until it is given one here.
                // SAFETY: the kernel has just made this descriptor for this process, and nobody else knows its number.
                taken = Some(unsafe { OwnedFd::from_raw_fd(number) });
            }
        }
    }
    if length == 0 {
        return Err(Errno::EPIPE.into());
    }
    Ok(Some((word[0], taken)))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, pipe};

    use super::*;

    #[test]
    fn what_is_handed_over_lives_with_the_receiver() {
        let (mine, theirs) = pair().unwrap();
        assert!(receive(&mine).unwrap().is_none());
        let (mut reader, writer) = pipe().unwrap();
        send(&theirs, b'k', Some(writer.as_fd())).unwrap();
        send(&theirs, b'g', None).unwrap();
        drop((writer, theirs));
        let (word, kept) = receive(&mine).unwrap().unwrap();
        assert_eq!(word, b'k');
        let kept = kept.unwrap();
        assert!(matches!(receive(&mine), Ok(Some((b'g', None)))));
        assert_eq!(receive(&mine).unwrap_err().raw_os_error(), Some(Errno::EPIPE as i32));
        drop(kept);
        assert_eq!(reader.read(&mut [0]).unwrap(), 0, "its end came with the last who had it");
    }
}
