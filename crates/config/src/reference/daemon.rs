//! The keys `node`, `include` and `daemon`.

use super::{Key, section};

section! {
    "node" "text", default "the short host name", range "1 to 253 letters, digits, `-`, `_`, `.`",
        "The name of this node; picks its `per_node` overrides. Left out, the same file serves both nodes.",
        source "keepalived: `router_id`, `-i`";
    "include" "text or list", default "none", range "1 to 16 paths, `*` and `?` in the last part",
        "More files, as parts of this one: `conf.d/*.yaml`. Relative to the folder of this file, in the order of their names. Sections \
         such as `services` are put together; what is named in two files is an error. Included files include nothing.", source "keepalived: `include`";
    "daemon" "mapping", default "all defaults", range "", "The daemon itself.", source "";
    "daemon.control" "mapping", default "all defaults", range "", "The control socket that `holdfast` speaks to.", source "";
    "daemon.control.socket" "path", default "`/run/holdfast/control.sock`", range "absolute, at most 107 bytes",
        "The control socket. Root alone may use it (mode 0600); with `group` that group may, too (mode 0660).", source "sockaddr_un";
    "daemon.control.group" "text", default "none: root alone", range "a group of the host",
        "The group whose members may use the control socket.", source "";
    "daemon.http" "mapping", default "off", range "", "Metrics, health and a read-only status by HTTP.", source "";
    "daemon.http.listen" "address:port", default "required in `http`", range "",
        "Where they are served. There is no authentication: keep it on a loopback or management address.", source "";
    "daemon.state" "path", default "`/var/lib/holdfast`", range "absolute",
        "Where is kept what outlives the daemon: run-time changes, the last good configuration, servers that were discovered, which \
         instances were released.", source "systemd: `StateDirectory`";
    "daemon.on_bad_config" "word", default "`refuse`", range "`refuse`, `last_good`",
        "What a start does when the configuration is invalid or can't be read and the state directory has the last one that was \
         good. `refuse`: the daemon does not start, and the kernel forwards as it is. `last_good`: it works with the last good one, \
         and the log, the status, `/readyz` and a metric say so until a reload succeeds. What the last good configuration says counts.",
        source "MetalLB: stale configuration";
    "daemon.scripts" "mapping", default "all defaults", range "", "How commands are run.", source "";
    "daemon.scripts.user" "text", default "`holdfast-script`", range "a user of the host other than root",
        "The user that commands run as.", source "keepalived: `script_user`";
    "daemon.scripts.timeout" "duration", default "`5s`", range "10ms to 1h",
        "The longest that a command may run when its check has no `timeout`; half of the check's interval where that is shorter. \
         At the limit its whole process group is killed.",
        source "keepalived: `misc_timeout`";
}
