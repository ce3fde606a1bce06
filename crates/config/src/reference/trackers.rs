//! The keys of `vrrp.trackers`.

use super::{Key, section};

section! {
    "vrrp.trackers" "mapping by name", default "none", range "at most 1000",
        "What is watched. A tracker does something where it is named under `track` of an instance or group.", source "keepalived: `vrrp_script` and others";
    "vrrp.trackers.NAME" "mapping", default "", range "one of `interface`, `script`, `file`, `process`, `reach`, `route`, `bfd`, `service`", "One thing that is watched.", source "";
    "vrrp.trackers.NAME.interface" "text", default "", range "1 to 15 characters",
        "Up while this interface is, with the delays of `vrrp.interfaces`.", source "keepalived: `track_interface`";
    "vrrp.trackers.NAME.script" "mapping", default "", range "",
        "Runs a command without a shell, as `daemon.scripts.user`. Exit 0 is up. The first run decides alone.", source "keepalived: `vrrp_script`";
    "vrrp.trackers.NAME.script.command" "list of text", default "required", range "an absolute path and at most 255 arguments",
        "The program and its arguments.", source "keepalived: `script`";
    "vrrp.trackers.NAME.file" "mapping", default "", range "",
        "The whole number in a file: up while it is 0 or there is none. A weight is multiplied by it.", source "keepalived: `track_file`";
    "vrrp.trackers.NAME.file.path" "path", default "required", range "absolute", "The file; it need not exist.", source "keepalived: `file`";
    "vrrp.trackers.NAME.process" "mapping", default "", range "", "Processes of a name, counted as the kernel reports their coming and going.",
        source "keepalived: `vrrp_track_process`";
    "vrrp.trackers.NAME.process.name" "text", default "required", range "1 to 255 bytes, no `/`",
        "The last part of the program's path, or the name in `/proc/PID/comm`.", source "keepalived: `process`";
    "vrrp.trackers.NAME.process.quorum" "integer", default "1", range "1 to 65535", "So many at least.", source "keepalived: `quorum`";
    "vrrp.trackers.NAME.process.quorum_max" "integer", default "none", range "`quorum` to 65535", "So many at most.", source "keepalived: `quorum_max`";
    "vrrp.trackers.NAME.process.up_delay" "duration", default "`0s`", range "0s to 1h", "How long it must be so before it counts.", source "keepalived: `fork_delay`";
    "vrrp.trackers.NAME.process.down_delay" "duration", default "`0s`", range "0s to 1h",
        "How long it must not be so before it counts: a restart of the program is no failure.", source "keepalived: `terminate_delay`";
    "vrrp.trackers.NAME.reach" "mapping", default "", range "", "An address that answers.", source "";
    "vrrp.trackers.NAME.reach.address" "address", default "required", range "", "The address.", source "";
    "vrrp.trackers.NAME.reach.by" "word", default "`icmp`", range "`icmp`, `neighbour`",
        "How it is asked: by ICMP echo, or by ARP or neighbour solicitation, which a neighbour on the link answers even behind a firewall.",
        source "RFC 792, RFC 4443 §4.1, RFC 826, RFC 4861 §7.2";
    "vrrp.trackers.NAME.reach.interface" "text", default "by the routes", range "1 to 15 characters",
        "The interface to ask on; required with `neighbour` and for link-local addresses.", source "";
    "vrrp.trackers.NAME.route" "mapping", default "", range "", "Up while there is a route.", source "";
    "vrrp.trackers.NAME.route.to" "`default` or network", default "required", range "",
        "Where to. A route counts that is the same or covers it. `default` is IPv4's, `::/0` IPv6's.", source "";
    "vrrp.trackers.NAME.route.interface" "text", default "any", range "1 to 15 characters", "Only routes by this interface.", source "";
    "vrrp.trackers.NAME.bfd" "mapping", default "", range "",
        "A BFD session. The loss of a peer that is an instance's active node counts as priority 0 from it, without any entry of `track`. Of the \
         other node of a pair, don't track it without a weight: a node whose peer has died would take no part.",
        source "RFC 5880, RFC 5881; keepalived: `bfd_instance`";
    "vrrp.trackers.NAME.bfd.peer" "address", default "required", range "", "The other side, on the same link.", source "keepalived: `neighbor_ip`";
    "vrrp.trackers.NAME.bfd.source" "address", default "by the routes", range "", "The address to send from.", source "keepalived: `source_ip`";
    "vrrp.trackers.NAME.bfd.interface" "text", default "by the routes", range "1 to 15 characters", "The interface; required for link-local addresses.", source "";
    "vrrp.trackers.NAME.bfd.min_tx" "duration", default "`50ms`", range "1ms to 60s", "How often at most we send.",
        source "RFC 5880 §6.8.1 (bfd.DesiredMinTxInterval); keepalived: `min_tx`";
    "vrrp.trackers.NAME.bfd.min_rx" "duration", default "`50ms`", range "1ms to 60s", "How often at most the peer may send.",
        source "RFC 5880 §6.8.1 (bfd.RequiredMinRxInterval); keepalived: `min_rx`";
    "vrrp.trackers.NAME.bfd.multiplier" "integer", default "3", range "1 to 255", "So many packets lost in a row end the session.",
        source "RFC 5880 §6.8.1 (bfd.DetectMult); keepalived: `multiplier`";
    "vrrp.trackers.NAME.bfd.passive" "boolean", default "false", range "", "Whether we wait for the peer to begin.",
        source "RFC 5880 §6.1; keepalived: `passive`";
    "vrrp.trackers.NAME.interval" "duration", default "`1s`", range "10ms to 1h",
        "From the start of one run to the start of the next (`script` and `reach`).", source "keepalived: `interval`";
    "vrrp.trackers.NAME.timeout" "duration", default "script: `daemon.scripts.timeout`, reach: `1s`; at most half of the interval", range "1ms up to the interval",
        "A run that takes longer has failed.", source "keepalived: `timeout`";
    "vrrp.trackers.NAME.rise" "integer", default "1", range "1 to 255", "So many passes in a row bring it up.", source "keepalived: `rise`";
    "vrrp.trackers.NAME.fall" "integer", default "script: 1, reach: 3", range "1 to 255", "So many failures in a row take it down.", source "keepalived: `fall`";
    "vrrp.trackers.NAME.service" "text", default "", range "a name under `services`",
        "Up while the service has its quorum (`services.NAME.quorum`): a director that has lost its way to the servers gives the addresses to \
         one that has not.", source "";
}
