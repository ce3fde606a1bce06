//! Every word of keepalived's manual, and of its source where the manual is silent, is known in its block.

use holdfast_import::{Context, known};

/// The words of each block, in the order of keepalived.conf(5).
const WORDS: &[(Context, &str)] = &[
    (
        Context::Root,
        "net_namespace net_namespace_ipvs namespace_with_ipsets instance use_pid_dir linkbeat_use_polling child_wait_time global_defs \
         linkbeat_interfaces interface_up_down_delays track_group static_ipaddress static_routes static_rules vrrp_script vrrp_track_file \
         track_file vrrp_track_process bfd_instance vrrp_sync_group garp_group vrrp_instance virtual_server_group virtual_server SSL \
         include_check random_seed",
    ),
    (
        Context::Global,
        "tmp_config_directory config_save_dir process_names process_name vrrp_process_name checker_process_name lvs_process_name \
         bfd_process_name startup_script startup_script_timeout shutdown_script shutdown_script_timeout notification_email \
         notification_email_from smtp_server smtp_helo_name smtp_connect_timeout smtp_alert smtp_alert_vrrp smtp_alert_checker \
         checker_log_all_failures no_email_faults no_checker_emails router_id vrrp_mcast_group4 vrrp_mcast_group6 default_interface \
         lvs_sync_daemon lvs_timeouts lvs_flush lvs_flush_on_stop lvs_flush_onstop vrrp_garp_master_delay vrrp_garp_master_repeat \
         vrrp_garp_lower_prio_delay vrrp_down_timer_adverts vrrp_garp_lower_prio_repeat vrrp_garp_master_refresh \
         vrrp_garp_master_refresh_repeat vrrp_garp_interval vrrp_gna_interval vrrp_min_garp vrrp_garp_extra_if vrrp_lower_prio_no_advert \
         vrrp_higher_prio_send_advert vrrp_version vrrp_iptables nftables nftables_priority nftables_counters nftables_ifindex \
         nftables_ipvs nftables_ipvs_priority nftables_ipvs_start_fwmark vrrp_ipsets disable_local_igmp vrrp_check_unicast_src \
         vrrp_skip_check_adv_addr vrrp_strict vrrp_notify_priority_changes vrrp_priority checker_priority bfd_priority vrrp_no_swap \
         checker_no_swap bfd_no_swap vrrp_rt_priority checker_rt_priority bfd_rt_priority vrrp_cpu_affinity checker_cpu_affinity \
         bfd_cpu_affinity vrrp_rlimit_rttime checker_rlimit_rttime bfd_rlimit_rttime vrrp_rlimit_rtime checker_rlimit_rtime \
         bfd_rlimit_rtime max_auto_priority min_auto_priority_delay snmp_socket enable_snmp_vrrp enable_snmp_checker enable_snmp_rfc \
         enable_snmp_rfcv2 enable_snmp_rfcv3 enable_snmp_keepalived enable_traps snmp_vs_stats_update_interval \
         snmp_rs_stats_update_interval enable_dbus dbus_service_name dbus_no_interface_name script_user enable_script_security \
         use_symlink_paths set_supplementary_groups notify_fifo notify_fifo_script vrrp_notify_fifo vrrp_notify_fifo_script \
         lvs_notify_fifo lvs_notify_fifo_script fifo_write_vrrp_states_on_reload rs_init_notifies dynamic_interfaces \
         vrrp_netlink_cmd_rcv_bufs vrrp_netlink_cmd_rcv_bufs_force vrrp_netlink_monitor_rcv_bufs vrrp_netlink_monitor_rcv_bufs_force \
         lvs_netlink_cmd_rcv_bufs lvs_netlink_cmd_rcv_bufs_force lvs_netlink_monitor_rcv_bufs lvs_netlink_monitor_rcv_bufs_force \
         process_monitor_rcv_bufs process_monitor_rcv_bufs_force vrrp_rx_bufs_policy vrrp_rx_bufs_multiplier vrrp_startup_delay \
         vrrp_delay_after_boot log_unknown_vrids umask vmac_prefix vmac_addr_prefix v3_checksum_as_v2 vrrp_owner_ignore_adverts \
         reload_check_config reload_time_file reload_repeat reload_file data_use_instance state_dump_file stats_dump_file \
         json_dump_file json_version iproute_usr_dir iproute_etc_dir thread_timer_expired vrrp_vmac_garp_intvl vmac_garp_intvl",
    ),
    (
        Context::Instance,
        "state interface vrf virtual_router_id priority advert_int version virtual_ipaddress virtual_ipaddress_excluded \
         no_virtual_ipaddress virtual_routes virtual_rules promote_secondaries accept no_accept nopreempt preempt preempt_delay use_vmac \
         use_vmac_addr vmac_xmit_base use_ipvlan mcast_src_ip unicast_src_ip track_src_ip mcast_dst_ip unicast_peer unicast_ttl \
         unicast_fault_no_peer check_unicast_src old_unicast_checksum v3_checksum_as_v2 track_interface track_script track_file \
         track_process track_bfd dont_track_primary garp_master_delay garp_master_repeat garp_master_refresh garp_master_refresh_repeat \
         garp_lower_prio_delay garp_lower_prio_repeat garp_extra_if down_timer_adverts timer_expired_backup lower_prio_no_advert \
         higher_prio_send_advert owner_ignore_adverts skip_check_adv_addr strict_mode authentication auth_hmac notify notify_master \
         notify_backup notify_fault notify_stop notify_deleted notify_master_rx_lower_pri notify_priority_changes smtp_alert \
         kernel_rx_buf_size linkbeat_use_polling native_ipv6 debug lvs_sync_daemon_interface vmac_garp_intvl",
    ),
    (Context::Authentication, "auth_type auth_pass"),
    (Context::Hmac, "key active_key anti_replay time_window mode"),
    (
        Context::SyncGroup,
        "group track_interface track_script track_file track_process track_bfd notify notify_master notify_backup notify_fault \
         notify_stop notify_deleted notify_priority_changes smtp_alert sync_group_tracking_weight global_tracking",
    ),
    (Context::Script, "script interval timeout weight rise fall user init_fail"),
    (Context::TrackFile, "file weight init_file"),
    (
        Context::TrackProcess,
        "process param_match weight quorum quorum_max fork_delay terminate_delay delay full_command",
    ),
    (
        Context::Bfd,
        "neighbor_ip neighbour_ip source_ip min_rx min_tx idle_tx multiplier passive ttl hoplimit max_hops multihop weight vrrp checker",
    ),
    (Context::GarpGroup, "garp_interval gna_interval interface interfaces"),
    (
        Context::VirtualServer,
        "lvs_sched lb_algo flag-1 flag-2 flag-3 sh-port sh-fallback mh-port mh-fallback hashed ops lvs_method lb_kind \
         persistence_engine persistence_timeout persistence_granularity protocol ha_suspend alpha omega quorum hysteresis quorum_up \
         quorum_down sorry_server sorry_server_inhibit sorry_server_lvs_method connect_timeout retry nb_get_retry delay_before_retry \
         warmup delay_loop inhibit_on_failure weight virtualhost snmp_name smtp_alert ip_family real_server",
    ),
    (
        Context::RealServer,
        "weight lvs_method uthreshold lthreshold inhibit_on_failure notify_up notify_down alpha retry nb_get_retry delay_before_retry \
         warmup connect_timeout delay_loop smtp_alert virtualhost snmp_name TCP_CHECK HTTP_GET SSL_GET SMTP_CHECK DNS_CHECK MISC_CHECK \
         PING_CHECK UDP_CHECK BFD_CHECK FILE_CHECK",
    ),
    (Context::Ssl, "password ca certificate key"),
    (
        Context::Check,
        "connect_ip connect_port bindto bind_port bind_if fwmark connect_timeout retry delay_before_retry warmup delay_loop alpha \
         log_all_failures",
    ),
    (
        Context::Http,
        "http_protocol virtualhost fast_recovery url enable_sni sni_name tls_compliant connect_ip connect_timeout nb_get_retry",
    ),
    (
        Context::Url,
        "path digest status_code virtualhost regex regex_no_match regex_options regex_stack regex_min_offset regex_max_offset \
         tls_compliant",
    ),
    (Context::Smtp, "helo_name host connect_port retry"),
    (Context::Dns, "type name connect_ip"),
    (Context::Misc, "misc_path misc_timeout misc_dynamic user warmup"),
    (Context::Udp, "payload require_reply min_reply_length max_reply_length"),
    (Context::BfdCheck, "name alpha"),
    (Context::FileCheck, "track_file weight"),
];

#[test]
fn every_word_of_the_manual_is_known_in_its_block() {
    let strangers: Vec<_> = WORDS
        .iter()
        .flat_map(|(context, words)| words.split_whitespace().map(move |word| (*context, word)))
        .filter(|(context, word)| !known(*context, word))
        .collect();
    assert!(strangers.is_empty(), "{strangers:?}");
}

#[test]
fn a_word_of_another_block_is_not() {
    assert!(!known(Context::VirtualServer, "virtual_router_id"));
    assert!(!known(Context::Instance, "real_server"));
    assert!(!known(Context::Root, "priority"));
}
