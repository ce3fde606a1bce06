//! Instances, groups and trackers.

use super::Row;
use super::Use::{Anyway, Converted, Left};

const MAIL: &str =
    "Holdfast sends no mail: name a command or a webhook under `daemon.notifications`";
const ETIQUETTE: &str = "as RFC 9568 has it: an Active answers a lower priority, and announces its addresses again so that a healed split leaves the right MAC address in every table";

pub(super) const INSTANCE: &[Row] = &[
    (
        Converted,
        &[
            "state",
            "interface",
            "virtual_router_id",
            "priority",
            "advert_int",
            "version",
            "virtual_ipaddress",
            "virtual_ipaddress_excluded",
            "virtual_routes",
            "virtual_rules",
            "accept",
            "no_accept",
            "nopreempt",
            "preempt",
            "preempt_delay",
            "use_vmac",
            "mcast_src_ip",
            "unicast_src_ip",
            "mcast_dst_ip",
            "unicast_peer",
            "unicast_ttl",
            "old_unicast_checksum",
            "v3_checksum_as_v2",
            "track_interface",
            "track_script",
            "track_file",
            "track_process",
            "track_bfd",
            "garp_master_delay",
            "garp_master_repeat",
            "garp_master_refresh",
            "garp_master_refresh_repeat",
            "down_timer_adverts",
            "strict_mode",
            "authentication",
            "notify",
            "notify_master",
            "notify_backup",
            "notify_fault",
            "notify_stop",
            "notify_deleted",
            "notify_master_rx_lower_pri",
            "notify_priority_changes",
            "no_virtual_ipaddress",
            "lvs_sync_daemon_interface",
        ],
    ),
    (Left(MAIL), &["smtp_alert"]),
    (
        Anyway(ETIQUETTE),
        &[
            "lower_prio_no_advert",
            "higher_prio_send_advert",
            "garp_lower_prio_delay",
            "garp_lower_prio_repeat",
            "owner_ignore_adverts",
        ],
    ),
    (
        Anyway(
            "the list of addresses in an advertisement is compared and reported, and drops nothing; of unicast only named peers are heard",
        ),
        &["skip_check_adv_addr", "check_unicast_src", "unicast_fault_no_peer"],
    ),
    (
        Left(
            "an instance's own interface is always tracked: without it nothing can be sent or received, so that another node takes over",
        ),
        &["dont_track_primary"],
    ),
    (
        Left(
            "Holdfast has VRRP over IPv4 and IPv6 on an interface; that of a VRF is named as `interface`",
        ),
        &["vrf"],
    ),
    (
        Left(
            "not there: `virtual_mac: true` gives the addresses a macvlan interface of its own, which sends advertisements, too",
        ),
        &["use_vmac_addr", "vmac_xmit_base", "use_ipvlan"],
    ),
    (
        Left(
            "addresses on other interfaces are announced with the instance's own: set `announce.refresh`",
        ),
        &["garp_extra_if", "vmac_garp_intvl"],
    ),
    (
        Anyway(
            "without its source address an instance can't send, and that is its fault which `holdfast status` shows",
        ),
        &["track_src_ip"],
    ),
    (
        Left(
            "a node that could not run for so long that another has taken over reads what has come before it decides; `preempt: false` needs no more",
        ),
        &["timer_expired_backup"],
    ),
    (
        Left(
            "set the sysctl `net.ipv4.conf.INTERFACE.promote_secondaries` where the interfaces are configured",
        ),
        &["promote_secondaries"],
    ),
    (
        Left(
            "Holdfast can't speak it, and its nodes can't hear those that do: take `auth_hmac` out on all nodes first (`mode permissive`, then without), or move all nodes at once",
        ),
        &["auth_hmac"],
    ),
    (
        Anyway("it has no effect in keepalived either"),
        &["native_ipv6", "debug", "linkbeat_use_polling", "kernel_rx_buf_size"],
    ),
];

pub(super) const AUTHENTICATION: &[Row] = &[(Converted, &["auth_type", "auth_pass"])];

pub(super) const HMAC: &[Row] =
    &[(Left("with `auth_hmac`"), &["key", "active_key", "anti_replay", "time_window", "mode"])];

pub(super) const SYNC_GROUP: &[Row] = &[
    (
        Converted,
        &[
            "group",
            "track_interface",
            "track_script",
            "track_file",
            "track_process",
            "track_bfd",
            "notify",
            "notify_master",
            "notify_backup",
            "notify_fault",
            "notify_stop",
            "notify_deleted",
        ],
    ),
    (Left(MAIL), &["smtp_alert"]),
    (
        Left("a group has no priority of its own; its instances' hooks have the event `priority`"),
        &["notify_priority_changes"],
    ),
    (
        Anyway("weights of a group's trackers, and of its instances' own, always count"),
        &["sync_group_tracking_weight", "global_tracking"],
    ),
];

pub(super) const SCRIPT: &[Row] = &[
    (Converted, &["script", "interval", "timeout", "weight", "rise", "fall", "user"]),
    (
        Left(
            "an entry without a weight waits for the first run in any case, and that decides alone; one with a weight changes nothing before",
        ),
        &["init_fail"],
    ),
];

pub(super) const TRACK_FILE: &[Row] = &[
    (Converted, &["file", "weight"]),
    (
        Left(
            "no file is written: one that is not there counts as 0; create it with its number before the start (`systemd-tmpfiles`)",
        ),
        &["init_file"],
    ),
];

pub(super) const TRACK_PROCESS: &[Row] = &[
    (
        Converted,
        &["process", "weight", "quorum", "quorum_max", "fork_delay", "terminate_delay", "delay"],
    ),
    (
        Left("a process is told by its program's name alone, whatever its arguments are"),
        &["param_match", "full_command"],
    ),
];

pub(super) const BFD: &[Row] = &[
    (
        Converted,
        &[
            "neighbor_ip",
            "neighbour_ip",
            "source_ip",
            "min_rx",
            "min_tx",
            "multiplier",
            "passive",
            "weight",
        ],
    ),
    (Anyway("a session that is down sends once a second (RFC 5880 §6.8.3)"), &["idle_tx"]),
    (
        Left(
            "sessions are with neighbours on the same link (RFC 5881), whose packets arrive with a TTL of 255; there are none over several hops",
        ),
        &["ttl", "hoplimit", "max_hops", "multihop"],
    ),
    (
        Anyway("a session serves whoever names it: instances, groups and checks"),
        &["vrrp", "checker"],
    ),
];

pub(super) const GARP_GROUP: &[Row] =
    &[(Converted, &["garp_interval", "gna_interval", "interface", "interfaces"])];
