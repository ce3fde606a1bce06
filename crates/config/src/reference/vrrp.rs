//! The keys of `vrrp` besides its instances.

use super::{Key, section};

section! {
    "vrrp" "mapping", default "none", range "", "Which node holds the virtual addresses.", source "RFC 9568";
}
