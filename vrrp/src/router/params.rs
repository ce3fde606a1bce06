//! What a virtual router is configured with (RFC 9568 §6.1), valid by construction.

use std::num::NonZeroU8;
use std::time::Duration;

use thiserror::Error;

use super::timing;
use crate::address::AddressList;
use crate::types::{AddressFamily, Interval, Priority, Version, Vrid};
use crate::wire::{Authentication, ChecksumChoice, Format, Repr};

/// A virtual router's parameters. VRID, version and family say which router it is; the rest may be reconfigured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Params {
    format: Format,
    vrid: Vrid,
    priority: Priority,
    advertisement_interval: Interval,
    preempt_mode: bool,
    addresses: AddressList,
    checksum: ChecksumChoice,
    authentication: Authentication,
    preempt_delay: Duration,
    down_adverts: NonZeroU8,
}

impl Params {
    /// Parameters with RFC 9568 §6.1's defaults: priority 100, one second, Preempt_Mode true.
    ///
    /// # Errors
    /// [`InvalidParams::VersionWithoutFamily`] for version 2 with IPv6 addresses.
    pub fn new(
        version: Version,
        vrid: Vrid,
        addresses: AddressList,
    ) -> Result<Self, InvalidParams> {
        let family = addresses.family();
        let format = Format::new(version, family)
            .ok_or(InvalidParams::VersionWithoutFamily { version, family })?;
        Ok(Self {
            format,
            vrid,
            priority: Priority::DEFAULT,
            advertisement_interval: Interval::DEFAULT,
            preempt_mode: true,
            addresses,
            checksum: ChecksumChoice::default(),
            authentication: Authentication::None,
            preempt_delay: Duration::ZERO,
            down_adverts: const { NonZeroU8::new(3).unwrap() },
        })
    }

    /// The same with this Priority: 1 to 254, or 255 for the address owner. Tracking changes it by a reconfiguration too.
    ///
    /// # Errors
    /// [`InvalidParams::ReleasePriority`] for 0, which is a message and not a rank.
    pub fn with_priority(self, priority: Priority) -> Result<Self, InvalidParams> {
        if priority == Priority::RELEASE {
            return Err(InvalidParams::ReleasePriority);
        }
        Ok(Self { priority, ..self })
    }

    /// The same with this Advertisement_Interval.
    ///
    /// # Errors
    /// [`InvalidParams::Interval`] when the version's field can't say it.
    pub fn with_advertisement_interval(self, interval: Interval) -> Result<Self, InvalidParams> {
        let version = self.version();
        if Interval::from_duration(version, interval.duration()).is_none() {
            return Err(InvalidParams::Interval { version, interval });
        }
        Ok(Self { advertisement_interval: interval, ..self })
    }

    /// The same with this Preempt_Mode: whether a Backup takes over from an Active of lower priority. The address owner always
    /// does (RFC 9568 §6.1).
    pub fn with_preempt_mode(self, preempt_mode: bool) -> Self {
        Self { preempt_mode, ..self }
    }

    /// The same with this preempt delay (keepalived's `preempt_delay`): for so long after a Backup heard an Active of lower
    /// priority first, it leaves it alone. Zero: it does not wait. It delays no takeover from an Active that fell silent or gave
    /// up, and the address owner has none.
    pub fn with_preempt_delay(self, preempt_delay: Duration) -> Self {
        Self { preempt_delay, ..self }
    }

    /// The same with version 2's simple text password (RFC 2338 §5.3.6), its bytes filled with zeros to eight; `None` for no
    /// authentication. Version 3 has none, whatever stands here.
    pub fn with_password(self, password: Option<[u8; 8]>) -> Self {
        let authentication = password.map_or(Authentication::None, Authentication::Password);
        Self { authentication, ..self }
    }

    /// The same with this choice of the checksum's form, which counts when version 3 is sent over IPv4.
    pub fn with_checksum(self, checksum: ChecksumChoice) -> Self {
        Self { checksum, ..self }
    }

    /// The same with so many lost advertisements, 3 in the RFC, before the Active counts as dead.
    pub fn with_down_adverts(self, down_adverts: NonZeroU8) -> Self {
        Self { down_adverts, ..self }
    }

    /// VRID.
    pub const fn vrid(&self) -> Vrid {
        self.vrid
    }

    /// The version that it speaks.
    pub const fn version(&self) -> Version {
        self.format.version()
    }

    /// The family of its addresses.
    pub const fn family(&self) -> AddressFamily {
        self.format.family()
    }

    /// Version and family in one.
    pub const fn format(&self) -> Format {
        self.format
    }

    /// Priority, 1 to 255.
    pub const fn priority(&self) -> Priority {
        self.priority
    }

    /// Advertisement_Interval.
    pub const fn advertisement_interval(&self) -> Interval {
        self.advertisement_interval
    }

    /// Preempt_Mode as configured.
    pub const fn preempt_mode(&self) -> bool {
        self.preempt_mode
    }

    /// Preempt_Mode as it counts: the owner preempts always.
    pub fn preempts(&self) -> bool {
        self.preempt_mode || self.priority == Priority::OWNER
    }

    /// The addresses of the virtual router.
    pub const fn addresses(&self) -> &AddressList {
        &self.addresses
    }

    /// How long a living Active of lower priority is left alone before it is preempted. The owner never waits.
    pub fn preempt_delay(&self) -> Duration {
        match self.priority {
            Priority::OWNER => Duration::ZERO,
            _ => self.preempt_delay,
        }
    }

    /// What proves the sender: version 2's password, if one is configured.
    pub const fn authentication(&self) -> Authentication {
        match self.format {
            Format::V2 => self.authentication,
            Format::V3Ipv4 | Format::V3Ipv6 => Authentication::None,
        }
    }

    /// The choice of the checksum's form for sending.
    pub const fn checksum(&self) -> ChecksumChoice {
        self.checksum
    }

    /// How long a router that gives up keeps the addresses while it waits for another one to be heard: four
    /// Advertisement_Intervals, which is more than any Backup's Skew_Time, and never more than 30 seconds.
    pub fn release_interval(&self) -> Duration {
        const MAX: Duration = Duration::from_secs(30);
        (self.advertisement_interval.duration() * 4).min(MAX)
    }

    /// How many lost advertisements make the Active count as dead.
    pub const fn down_adverts(&self) -> NonZeroU8 {
        self.down_adverts
    }

    /// Skew_Time when the Active advertises at `active_adver_interval`.
    pub fn skew_time(&self, active_adver_interval: Interval) -> Duration {
        timing::skew_time(self.version(), self.priority, active_adver_interval)
    }

    /// How long a Backup waits when the Active's process has died ([`super::Event::ActiveDied`]), so that the best of several most often
    /// comes first: a 256th of (256 - Priority) × 1 ms: no more, because a client waits as long. All know of the death within a few milliseconds,
    /// so that a worse one may come first; the better one takes the role from it then, whatever its Preempt_Mode.
    pub fn death_skew(&self) -> Duration {
        const LONGEST_NS: u64 = 1_000_000;
        Duration::from_nanos((256 - u64::from(self.priority.value())) * LONGEST_NS / 256)
    }

    /// Active_Down_Interval when the Active advertises at `active_adver_interval`.
    pub fn active_down_interval(&self, active_adver_interval: Interval) -> Duration {
        let lost = active_adver_interval.duration() * u32::from(self.down_adverts.get());
        lost.saturating_add(self.skew_time(active_adver_interval))
    }

    /// How long after an advertisement of this router no Backup may have given up waiting for the next one, be its priority what it
    /// may: Active_Down_Interval without the Skew_Time, where all have the same Advertisement_Interval and `down_adverts`.
    pub fn inheritance_interval(&self) -> Duration {
        self.advertisement_interval.duration() * u32::from(self.down_adverts.get())
    }

    /// The advertisement of these parameters with `priority`, which is the router's own or [`Priority::RELEASE`].
    pub fn advertisement(&self, priority: Priority) -> Repr<'_> {
        self.advertisement_with(priority, self.advertisement_interval)
    }

    /// The same with another interval, which the version can say.
    pub(super) fn advertisement_with(&self, priority: Priority, interval: Interval) -> Repr<'_> {
        Repr::new(self.format, self.vrid, priority, interval, self.addresses.as_slice())
            .with_authentication(self.authentication())
    }

    /// Whether `other` are parameters of the same virtual router.
    pub fn same_router(&self, other: &Self) -> bool {
        (self.vrid, self.format) == (other.vrid, other.format)
    }
}

/// Why parameters can't be a virtual router's.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidParams {
    /// Version 2 with IPv6.
    #[error("VRRP version {version} has no {family}: use version 3")]
    VersionWithoutFamily {
        /// The version.
        version: Version,
        /// The family of the addresses.
        family: AddressFamily,
    },
    /// Priority 0.
    #[error("priority 0 says that a router gives up; use 1 to 254, or 255 for the address owner")]
    ReleasePriority,
    /// An interval that the version's field can't say.
    #[error(
        "VRRP version {version} can't say an interval of {interval}: version 2 has whole seconds up to 255s, version 3 \
         steps of 10ms up to 40.95s"
    )]
    Interval {
        /// The version.
        version: Version,
        /// The interval.
        interval: Interval,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::params;

    /// RFC 9568 §5.2.4.
    #[test]
    fn a_router_has_a_rank_of_1_to_255_and_0_is_refused() {
        for priority in [1, 100, 254, 255] {
            let params = params(Version::V3, 10, &["192.0.2.1"]);
            let ranked = params.with_priority(Priority::new(priority)).unwrap();
            assert_eq!(ranked.priority(), Priority::new(priority));
        }
        let params = params(Version::V3, 10, &["192.0.2.1"]);
        let refused = params.with_priority(Priority::RELEASE);
        assert_eq!(refused, Err(InvalidParams::ReleasePriority));
    }

    #[test]
    fn an_interval_that_the_version_cannot_say_is_refused() {
        let interval = Interval::from_centiseconds(50).unwrap();
        let v3 = params(Version::V3, 10, &["192.0.2.1"]);
        assert!(v3.with_advertisement_interval(interval).is_ok());
        let v2 = params(Version::V2, 10, &["192.0.2.1"]);
        let refused = v2.with_advertisement_interval(interval);
        assert_eq!(refused, Err(InvalidParams::Interval { version: Version::V2, interval }));
    }
}
