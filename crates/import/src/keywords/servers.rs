//! Virtual and real servers.

use super::Row;
use super::Use::{Anyway, Converted, Left};

const MAIL: &str =
    "Holdfast sends no mail: name a command or a webhook under `daemon.notifications`";
const SNMP: &str = "there is no SNMP: metrics and the status carry the service's name";

pub(super) const VIRTUAL: &[Row] = &[
    (
        Converted,
        &[
            "lvs_sched",
            "lb_algo",
            "flag-1",
            "flag-2",
            "flag-3",
            "sh-port",
            "sh-fallback",
            "mh-port",
            "mh-fallback",
            "hashed",
            "ops",
            "lvs_method",
            "lb_kind",
            "persistence_engine",
            "persistence_timeout",
            "persistence_granularity",
            "protocol",
            "alpha",
            "quorum",
            "hysteresis",
            "quorum_up",
            "quorum_down",
            "sorry_server",
            "sorry_server_inhibit",
            "connect_timeout",
            "retry",
            "nb_get_retry",
            "delay_before_retry",
            "warmup",
            "delay_loop",
            "inhibit_on_failure",
            "weight",
            "virtualhost",
            "ip_family",
            "real_server",
        ],
    ),
    (Left(MAIL), &["smtp_alert"]),
    (Left(SNMP), &["snmp_name"]),
    (
        Left(
            "a director without the address checks its servers, too, so that it knows them when it takes over",
        ),
        &["ha_suspend"],
    ),
    (Left("nothing is told of servers at a stop: they were not down"), &["omega"]),
    (
        Left("sorry servers are reached as the service's other servers are (`forward`)"),
        &["sorry_server_lvs_method"],
    ),
];

pub(super) const REAL: &[Row] = &[
    (
        Converted,
        &[
            "weight",
            "lvs_method",
            "lb_kind",
            "uthreshold",
            "lthreshold",
            "inhibit_on_failure",
            "notify_up",
            "notify_down",
            "alpha",
            "retry",
            "nb_get_retry",
            "delay_before_retry",
            "warmup",
            "connect_timeout",
            "delay_loop",
            "virtualhost",
            "TCP_CHECK",
            "HTTP_GET",
            "SSL_GET",
            "SMTP_CHECK",
            "DNS_CHECK",
            "MISC_CHECK",
            "PING_CHECK",
            "UDP_CHECK",
            "BFD_CHECK",
            "FILE_CHECK",
        ],
    ),
    (Left(MAIL), &["smtp_alert"]),
    (Left(SNMP), &["snmp_name"]),
];

pub(super) const SSL: &[Row] = &[
    (Converted, &["certificate", "key"]),
    (
        Anyway(
            "keepalived loads it and verifies nothing by it, and so does the conversion (`verify: false`)",
        ),
        &["ca"],
    ),
    (
        Left(
            "a private key with a password can't be read: store it without (`openssl pkey`), readable by root alone",
        ),
        &["password"],
    ),
];
