//! An advertisement that has a meaning, and its way into bytes.

use std::fmt;
use std::net::IpAddr;

use thiserror::Error;

use super::checksum::Sum;
use super::{ADVERTISEMENT, Addresses, ChecksumForm, Format, HEADER_LEN, Packet};
use crate::types::{AddressFamily, Interval, Priority, Version, Vrid};

/// An advertisement: made of bytes by [`Repr::parse`] or of a router's parameters by [`crate::Params::advertisement`].
#[derive(Clone, Debug)]
pub struct Repr<'a> {
    format: Format,
    vrid: Vrid,
    priority: Priority,
    interval: Interval,
    addresses: Addresses<'a>,
    authentication: Authentication,
}

/// What proves the sender of a version 2 advertisement. RFC 3768 knows nothing but `None`; the eight bytes are on the wire all
/// the same, zero when sent and ignored when received.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Authentication {
    /// Auth Type 0.
    None,
    /// Auth Type 1, a password in clear text, filled with zeros (RFC 2338 §5.3.6, §5.3.10). It keeps out mistakes, not people.
    Password([u8; 8]),
}

impl Authentication {
    /// The Auth Type on the wire.
    pub const fn auth_type(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Password(_) => 1,
        }
    }
}

/// Without the password.
impl fmt::Debug for Authentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Password(_) => "Password(…)",
        })
    }
}

impl<'a> Repr<'a> {
    /// An advertisement of these values. `interval` and `addresses` belong to `format`: [`crate::Params`] has checked it.
    pub(crate) const fn new(
        format: Format,
        vrid: Vrid,
        priority: Priority,
        interval: Interval,
        addresses: &'a [IpAddr],
    ) -> Self {
        let addresses = Addresses::of_list(addresses);
        Self { format, vrid, priority, interval, addresses, authentication: Authentication::None }
    }

    /// The same with this authentication, which counts in version 2.
    pub(crate) const fn with_authentication(self, authentication: Authentication) -> Self {
        Self { authentication, ..self }
    }

    /// Reads `packet`, which came over `family`. The checksum is not looked at: it needs the IP addresses
    /// ([`Packet::checksum_form`]).
    ///
    /// # Errors
    /// When the bytes are not an advertisement of a known version; the first fault is named.
    pub fn parse<T: AsRef<[u8]>>(
        packet: &'a Packet<T>,
        family: AddressFamily,
    ) -> Result<Self, Malformed> {
        let format = known_format(packet.version(), family)
            .ok_or_else(|| Malformed::Version { version: packet.version() })?;
        if packet.kind() != ADVERTISEMENT {
            return Err(Malformed::Type { kind: packet.kind() });
        }
        let expected = packet.message_len(format);
        let len = packet.bytes().len();
        if len != expected {
            return Err(Malformed::Length { len, expected });
        }
        if packet.count() == 0 && format.version() == Version::V3 {
            return Err(Malformed::NoAddresses);
        }
        let authentication = match (format.version(), packet.auth_type()) {
            (Version::V3, _) | (Version::V2, 0) => Authentication::None,
            (Version::V2, 1) => {
                let data = packet.authentication_data(format);
                Authentication::Password(data.unwrap_or_default())
            }
            (Version::V2, auth_type) => return Err(Malformed::AuthType { auth_type }),
        };
        Ok(Self {
            format,
            vrid: packet.vrid().ok_or(Malformed::Vrid)?,
            priority: packet.priority(),
            interval: packet.interval(format).ok_or(Malformed::Interval)?,
            addresses: packet.addresses(format),
            authentication,
        })
    }

    /// The format.
    pub const fn format(&self) -> Format {
        self.format
    }

    /// Virtual Rtr ID.
    pub const fn vrid(&self) -> Vrid {
        self.vrid
    }

    /// Priority.
    pub const fn priority(&self) -> Priority {
        self.priority
    }

    /// Max Advertise Interval of version 3, Adver Int of version 2.
    pub const fn interval(&self) -> Interval {
        self.interval
    }

    /// The addresses in order.
    pub fn addresses(&self) -> Addresses<'_> {
        self.addresses.clone()
    }

    /// The authentication of version 2; `None` in version 3. Its `Debug` form does not show the password.
    pub const fn authentication(&self) -> Authentication {
        self.authentication
    }

    /// How many addresses there are.
    fn count(&self) -> u8 {
        // A parsed packet has a byte's worth, and so has an `AddressList`.
        u8::try_from(self.addresses().count()).unwrap_or(u8::MAX)
    }

    /// The length in bytes of the message.
    pub fn buffer_len(&self) -> usize {
        self.format.message_len(self.count())
    }

    /// Writes the message with its checksum at the begin of `buffer`, every byte of it, and returns its length. `form` counts
    /// in version 3 over IPv4 only.
    ///
    /// # Errors
    /// When `buffer` is shorter than [`Repr::buffer_len`]; it is then untouched.
    pub fn emit(
        &self,
        buffer: &mut [u8],
        source: IpAddr,
        destination: IpAddr,
        form: ChecksumForm,
    ) -> Result<usize, BufferTooShort> {
        let needed = self.buffer_len();
        let too_short = BufferTooShort { len: buffer.len(), needed };
        let message = buffer.get_mut(..needed).ok_or(too_short)?;
        self.fill(message, 0);
        let sum = Sum::default().add(message);
        let sum = match form.for_format(self.format) {
            ChecksumForm::MessageOnly => Some(sum),
            ChecksumForm::PseudoHeader => sum.add_pseudo_header(source, destination, needed),
            ChecksumForm::OldUnicast => {
                sum.add_pseudo_header(source, self.format.family().multicast_group(), needed)
            }
        };
        // With addresses of two families no checksum is right, and none reaches the wire: no socket sends such a packet.
        self.fill(message, sum.map_or(0, |sum| !sum.fold()));
        Ok(needed)
    }

    /// The message in bytes of its own.
    pub fn to_vec(&self, source: IpAddr, destination: IpAddr, form: ChecksumForm) -> Vec<u8> {
        let mut message = vec![0; self.buffer_len()];
        match self.emit(&mut message, source, destination, form) {
            Ok(len) => message.truncate(len),
            Err(BufferTooShort { .. }) => message.clear(),
        }
        message
    }

    /// Writes every byte of `message`, which is [`Repr::buffer_len`] long.
    fn fill(&self, message: &mut [u8], checksum: u16) {
        let (version, high, low) = match self.format.version() {
            Version::V2 => {
                (2, u32::from(self.authentication.auth_type()), self.interval.centiseconds() / 100)
            }
            Version::V3 => {
                (3, self.interval.centiseconds() >> 8, self.interval.centiseconds() & 0xff)
            }
        };
        let [sum_high, sum_low] = checksum.to_be_bytes();
        let byte = |value: u32| u8::try_from(value).unwrap_or(u8::MAX);
        let header: [u8; HEADER_LEN] = [
            version << 4 | ADVERTISEMENT,
            self.vrid.value(),
            self.priority.value(),
            self.count(),
            byte(high),
            byte(low),
            sum_high,
            sum_low,
        ];
        let Some((head, rest)) = message.split_first_chunk_mut::<HEADER_LEN>() else { return };
        *head = header;
        rest.fill(0);
        let slots = rest.chunks_exact_mut(self.format.address_len());
        for (slot, address) in slots.zip(self.addresses()) {
            match address {
                IpAddr::V4(address) => write(slot, &address.octets()),
                IpAddr::V6(address) => write(slot, &address.octets()),
            }
        }
        if let (Format::V2, Authentication::Password(password)) = (self.format, self.authentication)
            && let Some(trailer) = rest.last_chunk_mut()
        {
            *trailer = password;
        }
    }
}

/// Two advertisements are the same when they say the same, wherever their addresses are kept.
impl PartialEq for Repr<'_> {
    fn eq(&self, other: &Self) -> bool {
        let head = |repr: &Self| {
            (repr.format, repr.vrid, repr.priority, repr.interval, repr.authentication)
        };
        head(self) == head(other) && self.addresses().eq(other.addresses())
    }
}

impl Eq for Repr<'_> {}

/// One line in the manner of tcpdump.
impl fmt::Display for Repr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { format, vrid, priority, interval, .. } = self;
        write!(
            f,
            "VRRPv{} vrid {vrid}, prio {priority}, intvl {interval}, addrs",
            format.version()
        )?;
        let mut separator = ' ';
        for address in self.addresses() {
            write!(f, "{separator}{address}")?;
            separator = ',';
        }
        Ok(())
    }
}

/// The format of a version number over `family`.
pub(crate) const fn known_format(version: u8, family: AddressFamily) -> Option<Format> {
    match version {
        2 => Format::new(Version::V2, family),
        3 => Format::new(Version::V3, family),
        _ => None,
    }
}

/// Copies as much as both hold: no length can make it panic.
fn write(slot: &mut [u8], octets: &[u8]) {
    for (to, from) in slot.iter_mut().zip(octets) {
        *to = *from;
    }
}

/// Why bytes are not an advertisement.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Malformed {
    /// No version that exists over this family.
    #[error("version {version} is neither 2 (IPv4) nor 3")]
    Version {
        /// What stands there, 0 to 15.
        version: u8,
    },
    /// Another message type.
    #[error("message type {kind} is not 1 (ADVERTISEMENT)")]
    Type {
        /// What stands there, 0 to 15.
        kind: u8,
    },
    /// Shorter or longer than its own count says.
    #[error("{len} bytes where the address count calls for {expected}")]
    Length {
        /// The bytes there are.
        len: usize,
        /// The bytes there should be.
        expected: usize,
    },
    /// Version 3 with an address count of 0 (erratum 8299).
    #[error("an advertisement without addresses")]
    NoAddresses,
    /// VRID 0.
    #[error("VRID 0 is not used")]
    Vrid,
    /// Interval 0 (erratum 8301).
    #[error("an interval of 0 would be a timer that never rests")]
    Interval,
    /// Version 2 with an authentication that is not spoken here.
    #[error("authentication type {auth_type} is neither 0 (none) nor 1 (password)")]
    AuthType {
        /// What stands there.
        auth_type: u8,
    },
}

/// A buffer that does not hold the message.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the advertisement needs {needed} bytes, the buffer has {len}")]
pub struct BufferTooShort {
    /// The buffer's length in bytes.
    pub len: usize,
    /// The message's length in bytes.
    pub needed: usize,
}
