//! Interfaces by name and by number, and their link-layer addresses.
//!
//! The name is what a configuration says; the index is what the kernel means. An interface that was deleted and made again has
//! the same name and another index, so sockets are opened for a pair of both and opened again when the index changes.

use std::fmt;
use std::num::NonZeroU32;

use nix::errno::Errno;

use crate::answer::Answer;

/// The kernel's number of an interface: never 0, never used again in a network namespace while the machine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IfIndex(NonZeroU32);

impl IfIndex {
    /// The interface numbered `index`; none for 0, which means "any interface" to the kernel.
    pub const fn new(index: u32) -> Option<Self> {
        match NonZeroU32::new(index) {
            Some(index) => Some(Self(index)),
            None => None,
        }
    }

    /// The number.
    pub const fn value(self) -> u32 {
        self.0.get()
    }

    /// The number as the C structures that hold a signed one want it; the kernel's indices are positive `int`s.
    pub(crate) const fn signed(self) -> i32 {
        self.0.get().cast_signed()
    }
}

impl fmt::Display for IfIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An interface as it is now: its name together with its index.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Interface {
    /// The kernel's number.
    pub index: IfIndex,
    /// The name, up to 15 bytes.
    pub name: String,
}

impl Interface {
    /// Looks up the interface that has this name now, in the network namespace of the calling thread.
    ///
    /// # Errors
    /// No interface has the name, or the kernel would not tell.
    pub fn by_name(name: &str) -> Result<Self, LookupError> {
        match nix::net::if_::if_nametoindex(name) {
            Ok(index) => IfIndex::new(index)
                .map(|index| Self { index, name: name.to_owned() })
                .ok_or_else(|| LookupError::NoSuchInterface { name: name.to_owned() }),
            Err(Errno::ENODEV | Errno::ENXIO) => {
                Err(LookupError::NoSuchInterface { name: name.to_owned() })
            }
            Err(errno) => Err(LookupError::Refused {
                name: name.to_owned(),
                answer: Answer::of_socket(errno),
            }),
        }
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)
    }
}

/// Why an interface was not found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LookupError {
    /// No interface of this network namespace has the name.
    #[error("there is no interface {name}: `ip link` lists those of this host")]
    NoSuchInterface {
        /// The name that was looked for.
        name: String,
    },
    /// The kernel would not say.
    #[error("look up interface {name}: {answer}")]
    Refused {
        /// The name that was looked for.
        name: String,
        /// What the kernel answered.
        answer: Answer,
    },
}

/// An Ethernet address (EUI-48).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddress([u8; 6]);

impl MacAddress {
    /// All stations of the link.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// The address with these octets, in the order of the wire.
    pub const fn new(octets: [u8; 6]) -> Self {
        Self(octets)
    }

    /// The octets in the order of the wire.
    pub const fn octets(self) -> [u8; 6] {
        self.0
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_interface_is_found_by_name() {
        let lo = Interface::by_name("lo").unwrap();
        assert_eq!(lo.to_string(), "lo");
        assert_ne!(lo.index.value(), 0);
    }

    #[test]
    fn an_unknown_interface_is_named_in_the_error() {
        let error = Interface::by_name("hf-none").unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no interface hf-none: `ip link` lists those of this host"
        );
    }

    #[test]
    fn a_name_no_interface_can_have_is_an_error_and_no_panic() {
        for name in ["", "a-name-of-more-than-fifteen-bytes", "nul\0inside", "ü/.."] {
            assert!(Interface::by_name(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_mac_address_is_written_in_lower_case_hex() {
        let mac = MacAddress::new([0, 0, 0x5e, 0, 1, 0x33]);
        assert_eq!(mac.to_string(), "00:00:5e:00:01:33");
    }
}
