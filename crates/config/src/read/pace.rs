//! How fast servers of a service come and go: the keys `drain` and `slow_start`.

use std::time::Duration;

use crate::defaults;
use crate::model::DrainPolicy;
use crate::path::Path;
use crate::reader::{Fields, Reader};

/// `services.NAME.drain`.
pub(super) fn drain<'a>(reader: &mut Reader<'a>, service: &Fields<'a>) -> DrainPolicy {
    let fields =
        service.get("drain").and_then(|cursor| reader.fields(&cursor, "services.NAME.drain"));
    let fields = fields.unwrap_or_else(|| Fields::none(Path::default()));
    let mut duration =
        |key, range| fields.get(key).and_then(|cursor| reader.duration(&cursor, range));
    let timeout = duration("timeout", defaults::SERVER_DRAIN_RANGE);
    let idle = duration("idle", defaults::SERVER_IDLE_RANGE);
    DrainPolicy {
        timeout: timeout.unwrap_or(defaults::SERVER_DRAIN),
        idle: idle.unwrap_or(defaults::SERVER_IDLE),
    }
}

/// `services.NAME.slow_start`.
pub(super) fn slow_start<'a>(reader: &mut Reader<'a>, service: &Fields<'a>) -> Option<Duration> {
    let cursor = service.get("slow_start")?;
    reader.duration(&cursor, defaults::SLOW_START_RANGE)
}
