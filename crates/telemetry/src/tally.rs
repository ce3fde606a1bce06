//! What the daemon counts of itself, wherever in it that happens: for metrics alone, so that nothing has to be handed through to count.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counts {
    ($($variant:ident $family:literal $label:literal $text:literal;)+) => {
        /// Something that is counted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Count {
            $(#[doc = $text] $variant),+
        }

        impl Count {
            /// All of them, families together.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The family that it belongs to: the metric's name without prefix and `_total`.
            pub const fn family(self) -> &'static str {
                match self { $(Self::$variant => $family),+ }
            }

            /// Which of the family it is.
            pub const fn label(self) -> &'static str {
                match self { $(Self::$variant => $label),+ }
            }
        }

        static COUNTS: [AtomicU64; Count::ALL.len()] = [const { AtomicU64::new(0) }; Count::ALL.len()];
    };
}

counts! {
    Request "api_requests" "taken" "A request to the API that was taken.";
    RequestNotAllowed "api_requests" "not_allowed" "A request that its caller may not make.";
    RequestTooFast "api_requests" "too_fast" "A request of a client that asks too often.";
    ConnectionRefused "api_connections" "refused" "A connection of a client that has too many.";
    ConnectionBroken "api_connections" "broken" "A connection that did not speak HTTP, or went away in the middle.";
    ConnectionLate "api_connections" "late" "A connection that took too long.";
    ConnectionServed "api_connections" "served" "A connection that came to its end.";
    NodeRefused "api_connections" "not_a_node" "A connection to the API between nodes whose handshake failed.";
    NodeLate "api_connections" "late_handshake" "One whose handshake took too long.";
    CheckPanic "task_panics" "check" "A run of a check that ended by a fault of the daemon.";
    RequestPanic "task_panics" "request" "A connection of the API that ended by a fault of the daemon.";
    HookPanic "task_panics" "hook" "A hook that ended by a fault of the daemon.";
    NotificationPanic "task_panics" "notification" "A notification that ended by a fault of the daemon.";
    NotificationDelivered "notifications" "delivered" "A notification that was taken.";
    NotificationFailed "notifications" "failed" "A notification that nobody took, tried often enough.";
    NotificationRetried "notifications" "retried" "An attempt that failed and is made again.";
    NotificationDropped "notifications" "dropped" "A notification that found no place.";
}

/// Counts one.
pub fn count(what: Count) {
    add(what, 1);
}

/// Counts `number` at once.
pub fn add(what: Count, number: u64) {
    if let Some(counter) = COUNTS.get(what as usize) {
        counter.fetch_add(number, Ordering::Relaxed);
    }
}

/// How many there were since the process began.
pub fn counted(what: Count) -> u64 {
    COUNTS.get(what as usize).map_or(0, |counter| counter.load(Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_counted_by_itself_and_families_stand_together() {
        add(Count::NotificationDropped, 3);
        count(Count::NotificationDropped);
        assert_eq!(counted(Count::NotificationDropped), 4);
        let mut families: Vec<_> = Count::ALL.iter().map(|one| one.family()).collect();
        families.dedup();
        let once = families.len();
        families.sort_unstable();
        families.dedup();
        assert_eq!(families.len(), once, "a family's members stand apart");
    }
}
