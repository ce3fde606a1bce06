//! What the process keeps in memory once a configuration is in force.

use holdfast_net::realtime;

/// Gives back what reading and applying a configuration has used: of a large one that is several times what stays. To be called
/// where waiting is allowed, after the last of it was dropped.
pub(crate) fn settle() {
    if let Err(error) = realtime::settle_memory() {
        tracing::warn!(%error, "memory that was locked may be paged out");
    }
}
