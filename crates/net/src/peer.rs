//! Who is at the other end of a Unix socket, as far as the standard library and nix don't tell.

use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;

/// `SO_PEERGROUPS` of asm-generic/socket.h.
const SO_PEERGROUPS: libc::c_int = 59;

/// The kernel's `NGROUPS_MAX`: no process has more.
const GROUPS_MAX: usize = 65_536;

/// The supplementary groups of the process at the other end of a connected Unix socket, as they were when it connected (`SO_PEERGROUPS`,
/// Linux 4.13). The group that `SO_PEERCRED` tells need not be among them.
///
/// # Errors
/// The kernel does not know the option (ENOPROTOOPT), or the socket is not connected (ENODATA).
#[expect(unsafe_code, reason = "nix has no SO_PEERGROUPS")]
pub fn peer_groups(socket: &impl AsFd) -> Result<Vec<u32>, Errno> {
    let mut groups: Vec<libc::gid_t> = vec![0; 64];
    loop {
        let room = groups.len().saturating_mul(size_of::<libc::gid_t>());
        let mut length = libc::socklen_t::try_from(room).unwrap_or(libc::socklen_t::MAX);
        // JUSTIFICATION: neither nix nor the standard library has this option.
        // SAFETY: the pointer is to `length` bytes of a live, initialised vector of plain numbers, and `length` to a live socklen_t; the
        // kernel writes no more than that, and whole numbers.
        let result = unsafe {
            libc::getsockopt(
                socket.as_fd().as_raw_fd(),
                libc::SOL_SOCKET,
                SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        let told = usize::try_from(length).unwrap_or_default() / size_of::<libc::gid_t>();
        match Errno::result(result) {
            Ok(_) => {
                groups.truncate(told);
                return Ok(groups);
            }
            // There are more: so many.
            Err(Errno::ERANGE) if groups.len() < told && told <= GROUPS_MAX => {
                groups.resize(told, 0);
            }
            Err(errno) => return Err(errno),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn the_groups_of_the_other_end_are_those_of_its_process() {
        let (one, _other) = UnixStream::pair().unwrap();
        let mut told = peer_groups(&one).unwrap();
        let mut own: Vec<u32> =
            nix::unistd::getgroups().unwrap().into_iter().map(|group| group.as_raw()).collect();
        told.sort_unstable();
        own.sort_unstable();
        assert_eq!(told, own);
    }

    #[test]
    fn what_is_no_socket_of_that_kind_is_an_error() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        assert!(peer_groups(&socket).is_err());
    }
}
