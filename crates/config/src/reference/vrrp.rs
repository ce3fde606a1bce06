//! The keys of `vrrp` besides its instances.

use super::{Key, section};

section! {
    "vrrp" "mapping", default "none", range "", "Which node holds the virtual addresses.", source "RFC 9568";
    "vrrp.startup_delay" "duration", default "`0s`", range "0s to 1h",
        "How long after its start the daemon takes no part in any election: for switches that forward nothing right after the link is up.",
        source "keepalived: `vrrp_startup_delay`";
    "vrrp.fate" "boolean or mapping", default "true", range "",
        "Whether a backup holds a TCP connection to the active node, which ends when that one's daemon dies as a whole: it takes over within \
         milliseconds then, if the port answers no more. The same on every node; a mapping says what is special.",
        source "";
    "vrrp.fate.port" "integer", default "112", range "1 to 65535",
        "The port, the same on every node, on the interfaces of all instances. Neighbours can connect to it (TTL or hop limit 255), and the \
         peers of `unicast`.",
        source "";
}
