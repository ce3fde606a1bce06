//! The keys of `vrrp.groups`, `vrrp.interfaces` and `vrrp.hooks`.

use super::{Key, section};

section! {
    "vrrp.groups" "mapping by name", default "none", range "at most 500",
        "Sync groups: their instances are active together or not at all.", source "keepalived: `vrrp_sync_group`";
    "vrrp.groups.NAME" "mapping", default "", range "", "One sync group.", source "";
    "vrrp.groups.NAME.instances" "list of names", default "required", range "at least 2; an instance is in one group at most",
        "Its instances.", source "keepalived: `group`";
    "vrrp.groups.NAME.track" "list", default "none", range "at most 64", "What changes the priority of each of its instances; as an instance's `track`.",
        source "keepalived: `track_script` in `vrrp_sync_group`";
    "vrrp.groups.NAME.hooks" "list", default "none", range "at most 16", "Commands that run when the group as a whole changes; as `vrrp.hooks`, but a group has no events `priority` and `lower_priority`.", source "";
    "vrrp.interfaces" "mapping by interface", default "none", range "at most 1000", "What is special to an interface.", source "";
    "vrrp.interfaces.NAME" "mapping", default "", range "", "One interface of this node; the host need not have it.", source "";
    "vrrp.interfaces.NAME.up_delay" "duration", default "`0s`", range "0s to 1h", "How long it must be up before it counts as up.",
        source "keepalived: `interface_up_down_delays`";
    "vrrp.interfaces.NAME.down_delay" "duration", default "`0s`", range "0s to 1h",
        "How long it must be down before it counts as down. Meant to be shorter than (`down_adverts` − 1) × `interval` of its instances.",
        source "keepalived: `interface_up_down_delays`";
    "vrrp.interfaces.NAME.announce_interval" "duration", default "`0s`", range "0s to 1h",
        "The least time between two announcements on it, for switches that drop bursts.", source "keepalived: `garp_interval`, `gna_interval`";
    "vrrp.hooks" "list", default "none", range "at most 16", "Commands that run when an instance changes, for every instance. `hooks` stands at \
         instances and groups, too.",
        source "keepalived: `notify`";
    "vrrp.hooks.command" "list of text", default "required", range "an absolute path and at most 255 arguments",
        "The program and its arguments. `INSTANCE NAME STATE PRIORITY` is appended, for a group `GROUP NAME STATE 0`; the same and more is on \
         its standard input as JSON. It runs without a shell as `daemon.scripts.user`.",
        source "keepalived: `notify`";
    "vrrp.hooks.on" "word or list", default "`[active, backup, fault, stop]`", range "`active`, `backup`, `fault`, `stop`, `priority`, `lower_priority`",
        "When it runs: on becoming that; `priority`: when the effective priority changes; `lower_priority`: when an active node hears one of \
         lower priority.",
        source "keepalived: `notify_master` and others, `notify_priority_changes`, `notify_master_rx_lower_pri`";
    "vrrp.hooks.timeout" "duration", default "`daemon.scripts.timeout`", range "10ms to 1h", "After so long its process group is killed.", source "";
}
