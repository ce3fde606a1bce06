//! VRRP (RFC 9568 version 3, RFC 3768 version 2) as a value: wire formats, and the virtual router's machine that is told
//! the time and the packets and answers with actions. No sockets, no clock.

mod types;

pub use types::{AddressFamily, Interval, Priority, Version, Vrid};
