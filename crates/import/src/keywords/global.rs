//! The top of the file, and `global_defs`.

use super::Row;
use super::Use::{Anyway, Converted, Left};

pub(super) const ROOT: &[Row] = &[
    (
        Converted,
        &[
            "global_defs",
            "vrrp_instance",
            "vrrp_sync_group",
            "vrrp_script",
            "vrrp_track_file",
            "track_file",
            "vrrp_track_process",
            "bfd_instance",
            "virtual_server",
            "virtual_server_group",
            "SSL",
            "interface_up_down_delays",
            "garp_group",
        ],
    ),
    (
        Left(
            "addresses, routes and rules that never move are the host's own: configure them where the interfaces are (systemd-networkd, ifupdown, NetworkManager)",
        ),
        &["static_ipaddress", "static_routes", "static_rules", "track_group"],
    ),
    (
        Anyway(
            "Holdfast follows the kernel's messages about links, which every driver of today sends",
        ),
        &["linkbeat_interfaces", "linkbeat_use_polling"],
    ),
    (
        Left(
            "start the daemon in the namespace: `NetworkNamespacePath=` of its unit, or `ip netns exec`",
        ),
        &["net_namespace", "net_namespace_ipvs", "namespace_with_ipsets"],
    ),
    (
        Left(
            "several daemons on one host have each its own `daemon.control.socket` and `daemon.state`; there are no pid files",
        ),
        &["instance", "use_pid_dir"],
    ),
    (
        Left("a stop waits as long as `ipvs.drain_timeout` and the service manager say"),
        &["child_wait_time"],
    ),
    (
        Left("the file is checked by `holdfast check`, and an error refuses it whole"),
        &["include_check"],
    ),
    (Left("`${_RANDOM}` is not replaced: write the number"), &["random_seed"]),
];

pub(super) const GLOBAL: &[Row] = &[
    (
        Converted,
        &[
            "vrrp_mcast_group4",
            "vrrp_mcast_group6",
            "vrrp_version",
            "vrrp_garp_master_delay",
            "vrrp_garp_master_repeat",
            "vrrp_garp_master_refresh",
            "vrrp_garp_master_refresh_repeat",
            "vrrp_garp_interval",
            "vrrp_gna_interval",
            "vrrp_min_garp",
            "vrrp_startup_delay",
            "vrrp_down_timer_adverts",
            "vrrp_strict",
            "vrrp_notify_priority_changes",
            "vrrp_iptables",
            "nftables",
            "v3_checksum_as_v2",
            "script_user",
            "default_interface",
            "lvs_sync_daemon",
            "lvs_timeouts",
            "lvs_flush",
            "lvs_flush_on_stop",
            "lvs_flush_onstop",
        ],
    ),
    (
        Left("Holdfast sends no mail: name a command or a webhook under `daemon.notifications`"),
        &[
            "notification_email",
            "notification_email_from",
            "smtp_server",
            "smtp_helo_name",
            "smtp_connect_timeout",
            "smtp_alert",
            "smtp_alert_vrrp",
            "smtp_alert_checker",
            "no_email_faults",
            "no_checker_emails",
        ],
    ),
    (
        Left(
            "a label of mails; a node of Holdfast is called by its short host name, or by `node`, which also picks its `per_node` values",
        ),
        &["router_id"],
    ),
    (
        Left("processes are the supervisor's own affair: `systemctl status holdfastd` shows them"),
        &[
            "process_names",
            "process_name",
            "vrrp_process_name",
            "checker_process_name",
            "lvs_process_name",
            "bfd_process_name",
            "tmp_config_directory",
            "config_save_dir",
            "umask",
            "data_use_instance",
            "iproute_usr_dir",
            "iproute_etc_dir",
            "child_wait_time",
            "instance",
            "use_pid_dir",
            "net_namespace",
            "net_namespace_ipvs",
            "namespace_with_ipsets",
            "linkbeat_use_polling",
        ],
    ),
    (
        Left(
            "a command that runs before the start or after the stop is the service manager's: `ExecStartPre=` and `ExecStopPost=` of the unit",
        ),
        &["startup_script", "startup_script_timeout", "shutdown_script", "shutdown_script_timeout"],
    ),
    (
        Anyway("scripts never run as root, and one that others than root could replace is refused"),
        &["enable_script_security"],
    ),
    (
        Left(
            "a command's links are followed and each must be root's alone; its user's supplementary groups are not given to it",
        ),
        &["use_symlink_paths", "set_supplementary_groups"],
    ),
    (
        Anyway(
            "`holdfast events` has every change of a check, and `holdfast check-run` shows a run whole",
        ),
        &["checker_log_all_failures", "log_unknown_vrids", "fifo_write_vrrp_states_on_reload"],
    ),
    (Anyway("interfaces may come, go and change their type at any time"), &["dynamic_interfaces"]),
    (
        Anyway(
            "the list of addresses in an advertisement is compared and reported, and drops nothing; of unicast only named peers are heard",
        ),
        &["vrrp_skip_check_adv_addr", "vrrp_check_unicast_src"],
    ),
    (
        Anyway(
            "as RFC 9568 has it: an Active answers a lower priority, and announces its addresses again so that a healed split leaves the right MAC address in every table",
        ),
        &[
            "vrrp_lower_prio_no_advert",
            "vrrp_higher_prio_send_advert",
            "vrrp_garp_lower_prio_delay",
            "vrrp_garp_lower_prio_repeat",
            "vrrp_owner_ignore_adverts",
        ],
    ),
    (
        Left(
            "addresses on other interfaces are announced with the instance's own: set `announce.refresh` there",
        ),
        &["vrrp_garp_extra_if", "vrrp_vmac_garp_intvl", "vmac_garp_intvl"],
    ),
    (
        Left(
            "take `vrrp.startup_delay`, which counts from the daemon's start, or an `ExecStartPre=` of the unit",
        ),
        &["vrrp_delay_after_boot"],
    ),
    (
        Left(
            "Holdfast keeps two tables of nftables of its own where `accept: false` or `match` need them; their names and priorities can't be chosen",
        ),
        &[
            "nftables_priority",
            "nftables_counters",
            "nftables_ifindex",
            "vrrp_ipsets",
            "disable_local_igmp",
            "nftables_ipvs",
            "nftables_ipvs_priority",
            "nftables_ipvs_start_fwmark",
            "ipvs_start_fwmark",
        ],
    ),
    (
        Left(
            "there are no FIFOs: `holdfast events --follow -o json` and `GET /v1/events` tell every event in order and say how many a slow reader missed; `daemon.notifications` runs a command",
        ),
        &[
            "notify_fifo",
            "notify_fifo_script",
            "vrrp_notify_fifo",
            "vrrp_notify_fifo_script",
            "lvs_notify_fifo",
            "lvs_notify_fifo_script",
            "rs_init_notifies",
        ],
    ),
    (
        Anyway(
            "VRRP and BFD have threads of their own with a real-time policy and locked memory, where the host allows it",
        ),
        &[
            "max_auto_priority",
            "min_auto_priority_delay",
            "vrrp_priority",
            "checker_priority",
            "bfd_priority",
            "vrrp_no_swap",
            "checker_no_swap",
            "bfd_no_swap",
            "vrrp_rt_priority",
            "checker_rt_priority",
            "bfd_rt_priority",
            "vrrp_rlimit_rttime",
            "checker_rlimit_rttime",
            "bfd_rlimit_rttime",
            "vrrp_rlimit_rtime",
            "checker_rlimit_rtime",
            "bfd_rlimit_rtime",
            "thread_timer_expired",
        ],
    ),
    (
        Left("processors are the service manager's: `CPUAffinity=` of the unit"),
        &["vrrp_cpu_affinity", "checker_cpu_affinity", "bfd_cpu_affinity"],
    ),
    (
        Anyway(
            "what the kernel's queues lost is noticed, and everything is read and compared again",
        ),
        &[
            "vrrp_netlink_cmd_rcv_bufs",
            "vrrp_netlink_cmd_rcv_bufs_force",
            "vrrp_netlink_monitor_rcv_bufs",
            "vrrp_netlink_monitor_rcv_bufs_force",
            "lvs_netlink_cmd_rcv_bufs",
            "lvs_netlink_cmd_rcv_bufs_force",
            "lvs_netlink_monitor_rcv_bufs",
            "lvs_netlink_monitor_rcv_bufs_force",
            "process_monitor_rcv_bufs",
            "process_monitor_rcv_bufs_force",
            "vrrp_rx_bufs_policy",
            "vrrp_rx_bufs_multiplier",
        ],
    ),
    (
        Left(
            "there is no SNMP: `daemon.http` serves metrics for Prometheus, and the status as JSON",
        ),
        &[
            "snmp_socket",
            "enable_snmp_vrrp",
            "enable_snmp_checker",
            "enable_snmp_rfc",
            "enable_snmp_rfcv2",
            "enable_snmp_rfcv3",
            "enable_snmp_keepalived",
            "enable_traps",
            "snmp_vs_stats_update_interval",
            "snmp_rs_stats_update_interval",
        ],
    ),
    (
        Left(
            "there is no DBus: the control socket has an API (docs/api.md), and `holdfast` speaks it",
        ),
        &["enable_dbus", "dbus_service_name", "dbus_no_interface_name"],
    ),
    (
        Anyway(
            "a reload is checked first and refused whole when it is wrong; `holdfast plan` shows what it would change",
        ),
        &["reload_check_config"],
    ),
    (
        Left(
            "a reload is ordered by `holdfast reload`, at a time by a timer of the service manager",
        ),
        &["reload_time_file", "reload_repeat", "reload_file"],
    ),
    (
        Left("`holdfast status -o json` shows the state; nothing is written to /tmp"),
        &[
            "state_dump_file",
            "stats_dump_file",
            "json_dump_file",
            "json_version",
            "state_dump_file_location",
            "stats_dump_file_location",
            "json_dump_file_location",
        ],
    ),
    (
        Left(
            "interfaces with virtual MAC addresses are called vrrp4.VRID and vrrp6.VRID, or as `virtual_mac: {name: …}` says",
        ),
        &["vmac_prefix", "vmac_addr_prefix"],
    ),
    (
        Left("the file is checked by `holdfast check`, and an error refuses it whole"),
        &["include_check"],
    ),
    (Left("`${_RANDOM}` is not replaced: write the number"), &["random_seed"]),
];
