//! The keys of services that say what becomes of them when servers fail.

use super::{Key, section};

section! {
    "services.NAME.checks.all" "list", default "", range "at most 16", "Every check must pass: the same as the list itself.", source "";
    "services.NAME.checks.any" "list", default "", range "at most 16", "One check that passes suffices; the server is down when all are.", source "";
    "services.NAME.initial" "word", default "`kernel`", range "`kernel`, `down`, `up`",
        "What a server counts as before its first check. `kernel`: up where the kernel gives it connections when the daemon starts, otherwise \
         down until its first pass. `down`: down until its first pass in any case. `up`: up until its checks have failed `fall` times.",
        source "keepalived: `alpha`";
    "services.NAME.on_failure" "word", default "`inhibit`; `remove` with `persistence` or under `dh`", range "`inhibit`, `remove`",
        "What the kernel has of a server that takes no clients. `inhibit`: a destination of weight 0, so that its connections go on. \
         `remove`: nothing, so that they end and the kernel forgets which clients belong there. The same goes for a sorry server that is \
         not in use.",
        source "keepalived: `inhibit_on_failure`, `sorry_server_inhibit`";
    "services.NAME.flap_damping" "mapping", default "off", range "", "Keeps a server down for a while that goes down too often.", source "RFC 2439";
    "services.NAME.flap_damping.falls" "integer", default "3", range "1 to 100", "So many times that it goes from up to down …", source "";
    "services.NAME.flap_damping.within" "duration", default "`5m`", range "1s to 24h", "… in so long a time …", source "";
    "services.NAME.flap_damping.hold" "duration", default "`2m`", range "1s to 24h",
        "… keep it down for so long after the last of them. `holdfast server maint` and `ready` end it at once.", source "";
    "services.NAME.quorum" "integer", default "1", range "1 to 2147483647",
        "How much weight of servers that can serve it takes for the service to count as up. Weights count, not servers.", source "keepalived: `quorum`";
    "services.NAME.hysteresis" "integer", default "0", range "0 to `quorum` − 1",
        "The quorum is gained at `quorum` + `hysteresis`, and lost below `quorum` − `hysteresis` or with no weight at all.", source "keepalived: `hysteresis`";
    "services.NAME.all_down" "word", default "`sorry` where there are sorry servers, otherwise `drop`", range "`sorry`, `fail_open`, `withdraw_vip`, `drop`",
        "What happens while the service has lost its quorum: with a quorum of 1, when all servers are down. `sorry`: the sorry servers take \
         new connections. `fail_open`: all servers do, whatever their checks say. `withdraw_vip`: the instances that hold the service's \
         addresses are in fault, so that another node takes them. `drop`: nothing.",
        source "keepalived: `sorry_server`; AWS NLB: fail open; Envoy: panic threshold";
    "services.NAME.sorry_servers" "mapping by name", default "none", range "at most 64", "Servers that stand in without the quorum. Nobody checks them.",
        source "keepalived: `sorry_server`";
    "services.NAME.sorry_servers.NAME" "address:port or mapping", default "", range "", "One of them; the short form is its address.", source "";
    "services.NAME.sorry_servers.NAME.address" "address:port", default "required", range "as of a real server", "Where it listens.", source "";
    "services.NAME.sorry_servers.NAME.weight" "integer", default "1", range "1 to 2147483647", "Its share against the other sorry servers'.", source "";
    "services.NAME.hooks" "list", default "none", range "at most 16",
        "Commands that run when the service gains or loses its quorum; as `vrrp.hooks`, with the events `up` and `down`.",
        source "keepalived: `quorum_up`, `quorum_down`";
}
