//! Objects out of the bytes of a dump, attribute by attribute, without a list of all attributes in between: a table has thousands of
//! destinations, each with some fifty attributes, and the daemon looks at it every few seconds.
//!
//! It says the same as [`read_service`](super::read_service) and [`read_destination`](super::read_destination) say of the decoded
//! message; a property test holds them to it.

use netlink_packet_core::{DecodeError, ErrorContext as _, NlaBuffer, NlasIterator};

use super::attribute::parse_all;
use super::destination::{self, DestinationAttr};
use super::message::{self, IpvsAttr};
use super::read::{FoundDestination, FoundService};
use super::service::{self, ServiceAttr};
use super::stats::Counting;
use crate::model::{Counters, DestinationStatus, Family, VirtualService};
use crate::wire::UnreadableError;

/// Why an object of a dump can't be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DumpedError {
    /// The bytes are no attributes.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The model has no word for what they say.
    #[error(transparent)]
    Unreadable(#[from] UnreadableError),
    /// The message is about something else.
    #[error("the message holds no {0}")]
    Absent(&'static str),
}

/// All attributes of the first level, decoded.
///
/// # Errors
/// An attribute is cut short, or its payload has a length that its type can't have.
pub fn read_attributes(bytes: &[u8]) -> Result<Vec<IpvsAttr>, DecodeError> {
    parse_all(bytes, IpvsAttr::parse).context("in an IPVS message")
}

/// Reads the service of a message's attributes, with its counters.
///
/// # Errors
/// The bytes are no attributes, one is missing, or says what the model has no word for.
pub fn read_dumped_service(bytes: &[u8]) -> Result<(VirtualService, Counters), DumpedError> {
    let mut attributes = Vec::with_capacity(12);
    let counters = each_service_attribute(bytes, |attribute| attributes.push(attribute))?;
    let mut found = FoundService::default();
    for attribute in &attributes {
        found.take(attribute);
    }
    Ok((found.service()?, counters))
}

/// Reads the destination of a message's attributes, with its counters. Its service is of the family `service_family`.
///
/// # Errors
/// As [`read_dumped_service`].
pub fn read_dumped_destination(
    bytes: &[u8],
    service_family: Family,
) -> Result<DestinationStatus, DumpedError> {
    let mut found = FoundDestination::default();
    found.counters = each_destination_attribute(bytes, |attribute| found.take(&attribute))?;
    Ok(found.status(service_family)?)
}

/// Hands the attributes of a message's service to `take`, but for its counters, which it answers; those of 64 bits hold.
///
/// # Errors
/// The bytes are no attributes, or about something else.
pub(crate) fn each_service_attribute(
    bytes: &[u8],
    mut take: impl FnMut(ServiceAttr),
) -> Result<Counters, DumpedError> {
    let nest = nest(bytes, message::SERVICE)?.ok_or(DumpedError::Absent("service"))?;
    let mut counting = Counting::default();
    for attribute in NlasIterator::new(nest.value()) {
        let attribute = attribute.context("in an IPVS service")?;
        match attribute.kind() {
            service::STATS => counting.narrow(attribute.value())?,
            service::STATS64 => counting.wide(attribute.value())?,
            _other => take(ServiceAttr::parse(&attribute).context("in an IPVS service")?),
        }
    }
    Ok(counting.counters())
}

/// Hands the attributes of a message's destination to `take`, but for its counters, which it answers; those of 64 bits hold.
///
/// # Errors
/// As [`each_service_attribute`].
pub(crate) fn each_destination_attribute(
    bytes: &[u8],
    mut take: impl FnMut(DestinationAttr),
) -> Result<Counters, DumpedError> {
    let nest = nest(bytes, message::DESTINATION)?.ok_or(DumpedError::Absent("destination"))?;
    let mut counting = Counting::default();
    for attribute in NlasIterator::new(nest.value()) {
        let attribute = attribute.context("in an IPVS destination")?;
        match attribute.kind() {
            destination::STATS => counting.narrow(attribute.value())?,
            destination::STATS64 => counting.wide(attribute.value())?,
            _other => take(DestinationAttr::parse(&attribute).context("in an IPVS destination")?),
        }
    }
    Ok(counting.counters())
}

/// The first attribute of this kind.
fn nest(bytes: &[u8], kind: u16) -> Result<Option<NlaBuffer<&[u8]>>, DecodeError> {
    for attribute in NlasIterator::new(bytes) {
        let attribute = attribute.context("in an IPVS message")?;
        if attribute.kind() == kind {
            return Ok(Some(attribute));
        }
    }
    Ok(None)
}
