//! The keys of an instance that are times, or counts of intervals.

use std::num::NonZeroU8;
use std::time::Duration;

use vrrp::{Interval, Version};

use super::Layers;
use crate::code::Code;
use crate::defaults;
use crate::reader::{Cursor, Reader};
use crate::text::{self, Fault};

/// `interval`, which the version of the protocol must be able to say.
pub(super) fn interval<'a>(
    reader: &mut Reader<'a>,
    cursor: &Cursor<'a>,
    version: Version,
) -> Option<Interval> {
    let duration = reader.duration(cursor, (Duration::ZERO, Duration::MAX))?;
    let interval = Interval::from_duration(version, duration);
    if interval.is_none() {
        let (units, help) = match version {
            Version::V2 => (
                "whole seconds from 1s to 255s",
                "for less than a second use version 3 on every node",
            ),
            Version::V3 => {
                ("steps of 10ms from 10ms to 40950ms", "the interval is the same on every node")
            }
        };
        let value = text::short(duration);
        let fault = Fault::new(
            Code::IntervalUnit,
            format!("VRRP version {version} can't advertise every {value}"),
        )
        .label(format!("version {version} has {units}"))
        .help(help);
        reader.fault(&cursor.path, fault);
    }
    interval
}

/// `down_adverts`.
pub(super) fn down_adverts<'a>(reader: &mut Reader<'a>, layers: &Layers<'a, '_>) -> NonZeroU8 {
    let why = "beyond 100 a dead node is no longer noticed";
    layers
        .get("down_adverts")
        .and_then(|cursor| reader.integer::<u8>(&cursor, 1..=100, why))
        .and_then(NonZeroU8::new)
        .unwrap_or(defaults::DOWN_ADVERTS)
}

/// `preempt_delay`.
pub(super) fn preempt_delay<'a>(reader: &mut Reader<'a>, layers: &Layers<'a, '_>) -> Duration {
    let range = (Duration::ZERO, defaults::PREEMPT_DELAY_MAX);
    layers
        .get("preempt_delay")
        .and_then(|cursor| reader.duration(&cursor, range))
        .unwrap_or_default()
}

/// `lifetime` in whole seconds, for that is how the kernel counts; zero = for ever.
pub(super) fn lifetime<'a>(reader: &mut Reader<'a>, layers: &Layers<'a, '_>) -> Option<Duration> {
    let cursor = layers.get("lifetime")?;
    let lifetime = reader.duration(&cursor, (Duration::ZERO, defaults::LIFETIME.1))?;
    if !lifetime.is_zero() && lifetime < defaults::LIFETIME.0 {
        reader.fault(&cursor.path, text::far("lifetime", lifetime, defaults::LIFETIME));
    }
    Some(defaults::whole_seconds(lifetime))
}
