//! The keys of `vrrp` besides its instances.

use super::{Key, section};

section! {
    "vrrp" "mapping", default "none", range "", "Which node holds the virtual addresses.", source "RFC 9568";
    "vrrp.startup_delay" "duration", default "`0s`", range "0s to 1h",
        "How long after its start the daemon takes no part in any election: for switches that forward nothing right after the link is up.",
        source "keepalived: `vrrp_startup_delay`";
}
