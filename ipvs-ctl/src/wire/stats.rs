//! Counters (IPVS_STATS_ATTR_*): the same attributes in the nests of 32 and of 64 bits.

use netlink_packet_core::{
    DecodeError, DefaultNla, Emitable as _, ErrorContext as _, NLA_TYPE_MASK, Nla, NlaBuffer,
    parse_u32, parse_u64,
};

use super::attribute::{parse_all, parse_other};
use crate::model::Counters;

const CONNECTIONS: u16 = 1;
const PACKETS_IN: u16 = 2;
const PACKETS_OUT: u16 = 3;
const BYTES_IN: u16 = 4;
const BYTES_OUT: u16 = 5;
const CONNECTIONS_PER_S: u16 = 6;
const PACKETS_IN_PER_S: u16 = 7;
const PACKETS_OUT_PER_S: u16 = 8;
const BYTES_IN_PER_S: u16 = 9;
const BYTES_OUT_PER_S: u16 = 10;

/// A counter in one of the two widths that the kernel sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// 32 bits.
    Narrow(u32),
    /// 64 bits.
    Wide(u64),
}

impl Count {
    const fn len(self) -> usize {
        match self {
            Self::Narrow(_) => 4,
            Self::Wide(_) => 8,
        }
    }

    fn parse(payload: &[u8]) -> Result<Self, DecodeError> {
        if payload.len() == 4 {
            parse_u32(payload).map(Self::Narrow)
        } else {
            parse_u64(payload).map(Self::Wide)
        }
    }

    fn emit(self, buffer: &mut [u8]) {
        match self {
            Self::Narrow(count) => buffer.copy_from_slice(&count.to_ne_bytes()),
            Self::Wide(count) => buffer.copy_from_slice(&count.to_ne_bytes()),
        }
    }
}

impl From<Count> for u64 {
    fn from(count: Count) -> Self {
        match count {
            Count::Narrow(count) => Self::from(count),
            Count::Wide(count) => count,
        }
    }
}

/// An attribute of a counter nest. The field names of [`Counters`] say what each counts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StatsAttr {
    /// IPVS_STATS_ATTR_CONNS.
    Connections(Count),
    /// IPVS_STATS_ATTR_INPKTS.
    PacketsIn(Count),
    /// IPVS_STATS_ATTR_OUTPKTS.
    PacketsOut(Count),
    /// IPVS_STATS_ATTR_INBYTES.
    BytesIn(Count),
    /// IPVS_STATS_ATTR_OUTBYTES.
    BytesOut(Count),
    /// IPVS_STATS_ATTR_CPS.
    ConnectionsPerSecond(Count),
    /// IPVS_STATS_ATTR_INPPS.
    PacketsInPerSecond(Count),
    /// IPVS_STATS_ATTR_OUTPPS.
    PacketsOutPerSecond(Count),
    /// IPVS_STATS_ATTR_INBPS.
    BytesInPerSecond(Count),
    /// IPVS_STATS_ATTR_OUTBPS.
    BytesOutPerSecond(Count),
    /// Anything else, IPVS_STATS_ATTR_PAD among it.
    Other(DefaultNla),
}

impl Nla for StatsAttr {
    fn value_len(&self) -> usize {
        if let Self::Other(other) = self {
            other.value_len()
        } else {
            self.count().map_or(0, |count| count.len())
        }
    }

    fn kind(&self) -> u16 {
        match self {
            Self::Connections(_) => CONNECTIONS,
            Self::PacketsIn(_) => PACKETS_IN,
            Self::PacketsOut(_) => PACKETS_OUT,
            Self::BytesIn(_) => BYTES_IN,
            Self::BytesOut(_) => BYTES_OUT,
            Self::ConnectionsPerSecond(_) => CONNECTIONS_PER_S,
            Self::PacketsInPerSecond(_) => PACKETS_IN_PER_S,
            Self::PacketsOutPerSecond(_) => PACKETS_OUT_PER_S,
            Self::BytesInPerSecond(_) => BYTES_IN_PER_S,
            Self::BytesOutPerSecond(_) => BYTES_OUT_PER_S,
            Self::Other(other) => other.kind(),
        }
    }

    fn emit_value(&self, buffer: &mut [u8]) {
        if let Self::Other(other) = self {
            other.emit_value(buffer);
        } else if let Some(count) = self.count() {
            count.emit(buffer);
        }
    }
}

impl StatsAttr {
    const fn count(&self) -> Option<Count> {
        match self {
            Self::Connections(count)
            | Self::PacketsIn(count)
            | Self::PacketsOut(count)
            | Self::BytesIn(count)
            | Self::BytesOut(count)
            | Self::ConnectionsPerSecond(count)
            | Self::PacketsInPerSecond(count)
            | Self::PacketsOutPerSecond(count)
            | Self::BytesInPerSecond(count)
            | Self::BytesOutPerSecond(count) => Some(*count),
            Self::Other(_) => None,
        }
    }

    fn parse(buffer: &NlaBuffer<&[u8]>) -> Result<Self, DecodeError> {
        let named = match buffer.kind() {
            CONNECTIONS => Self::Connections,
            PACKETS_IN => Self::PacketsIn,
            PACKETS_OUT => Self::PacketsOut,
            BYTES_IN => Self::BytesIn,
            BYTES_OUT => Self::BytesOut,
            CONNECTIONS_PER_S => Self::ConnectionsPerSecond,
            PACKETS_IN_PER_S => Self::PacketsInPerSecond,
            PACKETS_OUT_PER_S => Self::PacketsOutPerSecond,
            BYTES_IN_PER_S => Self::BytesInPerSecond,
            BYTES_OUT_PER_S => Self::BytesOutPerSecond,
            _unnamed => return parse_other(buffer).map(Self::Other),
        };
        Count::parse(buffer.value()).map(named)
    }
}

/// Reads a nest of counters.
pub(super) fn parse_stats(payload: &[u8]) -> Result<Vec<StatsAttr>, DecodeError> {
    parse_all(payload, StatsAttr::parse).context("in IPVS counters")
}

/// The length of a nest of counters.
pub(super) fn stats_len(stats: &[StatsAttr]) -> usize {
    stats.buffer_len()
}

/// Writes a nest of counters.
pub(super) fn emit_stats(stats: &[StatsAttr], buffer: &mut [u8]) {
    stats.emit(buffer);
}

/// Lays what `stats` says over `counters`.
pub(crate) fn fold_stats(counters: &mut Counters, stats: &[StatsAttr]) {
    for attribute in stats {
        if let (Some(field), Some(count)) = (field(counters, attribute.kind()), attribute.count()) {
            *field = u64::from(count);
        }
    }
}

/// What an attribute of this kind counts; none where it counts nothing, as IPVS_STATS_ATTR_PAD.
const fn field(counters: &mut Counters, kind: u16) -> Option<&mut u64> {
    Some(match kind {
        CONNECTIONS => &mut counters.connections,
        PACKETS_IN => &mut counters.packets_in,
        PACKETS_OUT => &mut counters.packets_out,
        BYTES_IN => &mut counters.bytes_in,
        BYTES_OUT => &mut counters.bytes_out,
        CONNECTIONS_PER_S => &mut counters.connections_per_s,
        PACKETS_IN_PER_S => &mut counters.packets_in_per_s,
        PACKETS_OUT_PER_S => &mut counters.packets_out_per_s,
        BYTES_IN_PER_S => &mut counters.bytes_in_per_s,
        BYTES_OUT_PER_S => &mut counters.bytes_out_per_s,
        _uncounted => return None,
    })
}

/// Counters out of the bytes of their nests; those of 64 bits hold where there are both.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counting {
    counters: Counters,
    is_wide: bool,
}

impl Counting {
    /// Takes the nest of 32 bits in.
    pub(super) fn narrow(&mut self, nest: &[u8]) -> Result<(), DecodeError> {
        // It is read also where it doesn't hold, for what is wrong in it.
        let mut counters = self.counters;
        fold_nest(&mut counters, nest)?;
        if !self.is_wide {
            self.counters = counters;
        }
        Ok(())
    }

    /// Takes the nest of 64 bits in.
    pub(super) fn wide(&mut self, nest: &[u8]) -> Result<(), DecodeError> {
        self.is_wide = true;
        fold_nest(&mut self.counters, nest)
    }

    /// What they say.
    pub(super) const fn counters(self) -> Counters {
        self.counters
    }
}

/// Lays what the nest says over `counters`. By hand, because these are thirty of a destination's forty-five attributes.
fn fold_nest(counters: &mut Counters, nest: &[u8]) -> Result<(), DecodeError> {
    let mut rest = nest;
    while let Some([low, high, kind_low, kind_high]) = rest.first_chunk::<4>().copied() {
        let length = usize::from(u16::from_ne_bytes([low, high]));
        let kind = u16::from_ne_bytes([kind_low, kind_high]) & NLA_TYPE_MASK;
        let payload = rest.get(4..length).ok_or_else(cut_short)?;
        if let Some(field) = field(counters, kind) {
            *field = Count::parse(payload).context("in IPVS counters")?.into();
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    if rest.is_empty() { Ok(()) } else { Err(cut_short()) }
}

fn cut_short() -> DecodeError {
    DecodeError::from("an attribute of IPVS counters is cut short".to_owned())
}
