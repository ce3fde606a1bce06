//! What the kernel answered to a refused request: the errno's name and, where it has a usual cause, what to do about it.

use std::fmt;

use nix::errno::Errno;

/// The kernel's refusal. Displays as the errno's name and the advice: `EPERM (needs CAP_NET_RAW: run as root or grant it)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    errno: Errno,
    advice: Option<&'static str>,
}

impl Answer {
    /// The answer to an operation on a raw or packet socket, which CAP_NET_RAW opens.
    pub(crate) fn of_socket(errno: Errno) -> Self {
        Self {
            errno,
            advice: advice(errno, "needs CAP_NET_RAW: run as root or grant it", SOCKET_EACCES),
        }
    }

    /// The answer to a change of the network's configuration, which CAP_NET_ADMIN allows.
    pub(crate) fn of_netlink(errno: Errno) -> Self {
        Self {
            errno,
            advice: advice(errno, "needs CAP_NET_ADMIN: run as root or grant it", NETLINK_EACCES),
        }
    }

    /// The same errno with advice that fits one operation better.
    pub(crate) const fn advising(errno: Errno, advice: &'static str) -> Self {
        Self { errno, advice: Some(advice) }
    }

    /// The bare errno, for a decision.
    pub const fn errno(self) -> Errno {
        self.errno
    }

    /// Whether the object of the request was an interface that is gone: wait until it returns, it will have another index.
    pub fn is_interface_gone(self) -> bool {
        self.errno == Errno::ENODEV || self.errno == Errno::ENXIO
    }
}

const SOCKET_EACCES: &str = "a firewall or a security module forbids it";
const NETLINK_EACCES: &str =
    "IPv6 is disabled on this interface: see the sysctl net.ipv6.conf.INTERFACE.disable_ipv6";

/// Errno has a hundred values and these few have a usual cause here; the others go by name alone.
fn advice(errno: Errno, on_eperm: &'static str, on_eacces: &'static str) -> Option<&'static str> {
    [
        (Errno::EPERM, on_eperm),
        (Errno::EACCES, on_eacces),
        (Errno::ENODEV, "the interface is gone: it has another index when it returns"),
        (Errno::ENXIO, "the interface is gone: it has another index when it returns"),
        (Errno::ENETDOWN, "the interface is down: set it up"),
        (Errno::EADDRNOTAVAIL, "the interface does not have this address"),
        (Errno::EAFNOSUPPORT, "the kernel was built or started without this address family"),
        (Errno::EPROTONOSUPPORT, "the kernel was built or started without this protocol"),
        (Errno::ENOBUFS, "the kernel's buffer is full: try again"),
        (Errno::EAGAIN, "the kernel did not answer in time: try again"),
        (Errno::EMFILE, "this process may open no more files: raise its limit (LimitNOFILE=)"),
        (Errno::EMSGSIZE, "the packet exceeds the interface's MTU"),
    ]
    .into_iter()
    .find_map(|(known, advice)| (known == errno).then_some(advice))
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.errno)?;
        match self.advice {
            Some(advice) => write!(f, " ({advice})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_names_the_errno_and_the_missing_capability() {
        assert_eq!(
            Answer::of_socket(Errno::EPERM).to_string(),
            "EPERM (needs CAP_NET_RAW: run as root or grant it)"
        );
        assert_eq!(
            Answer::of_netlink(Errno::EPERM).to_string(),
            "EPERM (needs CAP_NET_ADMIN: run as root or grant it)"
        );
    }

    #[test]
    fn an_errno_without_a_usual_cause_goes_by_its_name() {
        assert_eq!(Answer::of_netlink(Errno::EXDEV).to_string(), "EXDEV");
    }
}
