//! Checks of real servers.

use super::Row;
use super::Use::{Anyway, Converted, Left};

pub(super) const COMMON: &[Row] = &[
    (
        Converted,
        &[
            "connect_ip",
            "connect_port",
            "bindto",
            "bind_if",
            "fwmark",
            "connect_timeout",
            "retry",
            "nb_get_retry",
            "delay_before_retry",
            "warmup",
            "delay_loop",
            "alpha",
        ],
    ),
    (
        Left(
            "the kernel chooses the port that a check comes from: a fixed one can't be used again for a minute after each check",
        ),
        &["bind_port"],
    ),
    (
        Anyway("`holdfast check-run` shows a run whole, and `holdfast events` every change"),
        &["log_all_failures"],
    ),
];

pub(super) const HTTP: &[Row] = &[
    (Converted, &["url", "virtualhost", "http_protocol", "enable_sni", "sni_name"]),
    (
        Anyway(
            "every path is asked for at every run, so that all have passed when a server comes up",
        ),
        &["fast_recovery"],
    ),
    (Left("there is no such setting"), &["tls_compliant"]),
];

pub(super) const URL: &[Row] = &[
    (
        Converted,
        &[
            "path",
            "digest",
            "status_code",
            "virtualhost",
            "regex",
            "regex_no_match",
            "regex_options",
        ],
    ),
    (
        Anyway("a search takes time linear in the body, so that there is no stack to limit"),
        &["regex_stack"],
    ),
    (Left("the whole body is searched, up to 256 KiB"), &["regex_min_offset", "regex_max_offset"]),
    (Left("there is no such setting"), &["tls_compliant"]),
];

pub(super) const SMTP: &[Row] = &[(Converted, &["helo_name", "host"])];

pub(super) const DNS: &[Row] = &[(Converted, &["type", "name"])];

pub(super) const MISC: &[Row] =
    &[(Converted, &["misc_path", "misc_timeout", "misc_dynamic", "user"])];

pub(super) const UDP: &[Row] = &[
    (Converted, &["payload", "require_reply"]),
    (
        Left("the length of a reply is not looked at: say in `expect` what has to be in it"),
        &["min_reply_length", "max_reply_length"],
    ),
];

pub(super) const BFD: &[Row] = &[(Converted, &["name"])];

pub(super) const FILE: &[Row] =
    &[(Left("with `FILE_CHECK`"), &["track_file", "weight", "dynamic"])];
