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
    "daemon.control.others" "word", default "`nothing`", range "`nothing`, `read`",
        "What everybody else on this host may do by the control socket: with `read` ask for the state, the events and the metrics, and \
         nothing that shows the file or changes anything. The kernel says who asks.", source "SO_PEERCRED";
    "daemon.http" "mapping", default "off", range "", "Metrics, health and a read-only status by HTTP.", source "";
    "daemon.http.listen" "address:port", default "required in `http`", range "",
        "Where they are served. There is no authentication: keep it on a loopback or management address.", source "";
    "daemon.pair" "mapping", default "off", range "",
        "The API between the directors, over TCP with a certificate on either side (TLS 1.3): each compares what must be equal, and `--all-nodes` \
         of the command line reaches all of them. docs/pair.md says more.", source "";
    "daemon.pair.nodes" "mapping by node", default "required in `pair`", range "1 to 16 nodes",
        "Every director, this one too, by its name (`node`), which its certificate bears, with the address of its API.", source "";
    "daemon.pair.nodes.NODE" "address:port", default "", range "", "Where its API is; port 9651 where none is said.", source "";
    "daemon.pair.listen" "address:port", default "this node's address in `nodes`", range "",
        "Where this node listens, where it is reached by another address.", source "";
    "daemon.pair.certificate" "path", default "required in `pair`", range "absolute",
        "A PEM file with this node's certificate, whose subjectAltName is the node's name, and those between it and the authority. It is read \
         again at each reload.", source "RFC 5280 §4.2.1.6";
    "daemon.pair.key" "path", default "required in `pair`, or `key_credential`", range "absolute",
        "A PEM file with its private key, which nobody else may read.", source "RFC 5958";
    "daemon.pair.key_credential" "text", default "none", range "the name of a credential",
        "The credential of the service manager (`LoadCredential=`) that is the private key.", source "systemd.exec(5)";
    "daemon.pair.ca" "path", default "required in `pair`", range "absolute",
        "A PEM file of the authority that issues the nodes' certificates. No other is believed, and of this one only certificates of nodes \
         that `nodes` names.", source "RFC 5280 §6";
    "daemon.pair.interval" "duration", default "`10s`", range "1s to 1h",
        "How often the other nodes are asked whether they have the same.", source "";
    "daemon.state" "path", default "`/var/lib/holdfast`", range "absolute",
        "Where is kept what outlives the daemon: run-time changes, the last good configuration, servers that were discovered, which \
         services are ours and what of them drains, which instances were released. One daemon has it: another one, in another network \
         namespace say, needs one of its own.", source "systemd: `StateDirectory`";
    "daemon.on_bad_config" "word", default "`refuse`", range "`refuse`, `last_good`",
        "What a start does when the configuration is invalid or can't be read and the state directory has the last one that was \
         good. `refuse`: the daemon does not start, and the kernel forwards as it is. `last_good`: it works with the last good one, \
         and the log, the status, `/readyz` and a metric say so until a reload succeeds. What the last good configuration says counts.",
        source "MetalLB: stale configuration";
    "daemon.scripts" "mapping", default "all defaults", range "",
        "How commands are run. A daemon that starts with this key keeps the rights to run them, so that a reload may bring the first command; \
         without it and without any command it gives them up.", source "";
    "daemon.scripts.user" "text", default "`holdfast-script`", range "a user of the host other than root",
        "The user that commands run as.", source "keepalived: `script_user`";
    "daemon.scripts.timeout" "duration", default "`5s`", range "10ms to 1h",
        "The longest that a command may run when its check has no `timeout`; half of the check's interval where that is shorter. \
         At the limit its whole process group is killed.",
        source "keepalived: `misc_timeout`";
    "daemon.notifications" "mapping by name", default "none", range "at most 16", "Who is told of events, in order for each object. docs/notifications.md says more.", source "keepalived: `notify_up`, `notify_down`, `quorum_up`, `smtp_alert`";
    "daemon.notifications.NAME" "mapping", default "", range "", "One who is told: by `command` or by `webhook`.", source "";
    "daemon.notifications.NAME.on" "list of words", default "`[vrrp, group, server, service, discovery, config]`", range "1 to 64 of `vrrp`, `group`, `server`, `service`, `discovery`, `ipvs`, `config`, and kinds such as `server.down`",
        "Of which events: those of a family, or of a kind.", source "";
    "daemon.notifications.NAME.command" "list of text", default "none", range "1 to 256 words, the first an absolute path",
        "A program and its arguments, which runs as hooks do. The kind and the subject of the event are appended; the event is JSON on its standard input.", source "";
    "daemon.notifications.NAME.timeout" "duration", default "`daemon.scripts.timeout`", range "10ms to 1h", "After so long the command is killed, or an attempt of the webhook is given up.", source "";
    "daemon.notifications.NAME.webhook" "mapping", default "none", range "", "A POST of the event as JSON. A status of 2xx takes it; anything else is tried again, later each time.", source "RFC 9110";
    "daemon.notifications.NAME.webhook.url" "URL", default "required in `webhook`", range "http or https, at most 2048 bytes", "Where to. It is shown nowhere, since it may have a token in it.", source "";
    "daemon.notifications.NAME.webhook.secret_file" "path", default "none: nothing is signed", range "absolute", "The file with the key that signs what is sent (HMAC-SHA256), read each time. Only the daemon's user should be able to read it.", source "RFC 2104";
    "daemon.notifications.NAME.webhook.attempts" "integer", default "8", range "1 to 20", "So often it is tried at most, after pauses of 1 s, 2 s, 4 s and so on, a minute at most. Refusals that would not change (4xx but 408, 425, 429) are not tried again.", source "";
    "daemon.notifications.NAME.webhook.ca" "path", default "the host's authorities", range "absolute", "A PEM file of the authorities that are trusted instead.", source "";
}
