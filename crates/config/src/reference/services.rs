//! The keys `services` and `ipvs`.

use super::{Key, section};

section! {
    "services" "mapping by name", default "none", range "at most 10000", "The services: pools of real servers behind virtual addresses.",
        source "ip_vs; keepalived: `virtual_server`";
    "services.NAME" "mapping", default "", range "", "One pool behind one or more listening addresses.", source "";
    "services.NAME.listen" "text, mapping or list", default "required",
        range "1 to 256 of `tcp|udp|sctp ADDRESS:PORT`, `fwmark MARK [ipv6]` or a mapping with `fwmark`",
        "Where the service listens; all of one address family. Each is a virtual service of the kernel with the same servers. Port 0 is \
         every port of the address that has no service of its own, and needs `persistence`.",
        source "ipvsadm: `-t`, `-u`, `--sctp-service`, `-f`; keepalived: `virtual_server`, `virtual_server_group`";
    "services.NAME.listen.fwmark" "integer", default "required in the mapping", range "1 to 4294967295",
        "The mark of the packets that the service takes, all 32 bits of it. A marked packet goes to the mark's service, whatever its \
         address and port. Its servers have no port: packets keep theirs.",
        source "IPVS_SVC_ATTR_FWMARK; keepalived: `fwmark`";
    "services.NAME.listen.family" "word", default "that of `match`, else `ipv4`", range "`ipv4`, `ipv6`",
        "The family of the packets. IPv4 and IPv6 can have services of the same mark.", source "IPVS_SVC_ATTR_AF; ipvsadm: `-6`";
    "services.NAME.listen.match" "text or list", default "none: the marks are somebody else's",
        range "1 to 256 of `tcp|udp|sctp ADDRESSES[:PORTS]`, 4096 in all services",
        "The packets that get the mark, by destination: `tcp 192.0.2.10-192.0.2.20:8000-8999`, `udp 192.0.2.16/28:53`, \
         `tcp [2001:db8::10-2001:db8::20]`. The daemon keeps rules of nftables for them, in the table `holdfast_marks` of its own.",
        source "nft(8); keepalived: `nftables_ipvs`";
    "services.NAME.scheduler" "text or mapping", default "`wlc`", range "rr wrr lc wlc sed nq sh dh mh lblc lblcr fo ovf twos",
        "How a server is chosen for a new connection.", source "ipvsadm: `-s`; keepalived: `lvs_sched`";
    "services.NAME.scheduler.name" "text", default "required in the mapping", range "as above", "The scheduler, where it has flags.", source "";
    "services.NAME.scheduler.flags" "list of words", default "none", range "`fallback`, `port` (of sh and mh), `flag-1`, `flag-2`, `flag-3`",
        "`fallback`: another server takes the share of one that is down or drained; required with sh and mh. `port`: the client's \
         port takes part in the choice, so that one client's connections are spread. `flag-1` to `flag-3`: the bits by number, \
         which the kernel's other schedulers ignore.",
        source "IP_VS_SVC_F_SCHED1 to 3; ipvsadm: `-b`; keepalived: `sh-fallback`, `mh-port`, `flag-1`";
    "services.NAME.one_packet" "true or false", default "`false`", range "",
        "Each UDP datagram is scheduled by itself, as DNS and SIP want it. Where the service listens on TCP as well, that goes on as usual.",
        source "IP_VS_SVC_F_ONEPACKET; ipvsadm: `-o`; keepalived: `ops`";
    "services.NAME.upper_threshold" "integer", default "0: no limit", range "0 to 2147483647",
        "At so many connections a server takes no new ones. The default of servers that name neither threshold.",
        source "IPVS_DEST_ATTR_U_THRESH; ipvsadm: `-x`; keepalived: `uthreshold`";
    "services.NAME.lower_threshold" "integer", default "0: three quarters of the upper one", range "0 to `upper_threshold`",
        "Below so many connections a server that was full takes new ones again.",
        source "IPVS_DEST_ATTR_L_THRESH; ipvsadm: `-y`; keepalived: `lthreshold`";
    "services.NAME.forward" "word or mapping", default "required", range "`direct`, `nat`, `tunnel` or a `tunnel` mapping",
        "How packets reach the servers. `direct`: by their MAC address on the same LAN. `nat`: with the destination rewritten; \
         answers must come back through the director. `tunnel`: encapsulated. With `direct` and `tunnel` the servers have the \
         virtual address on a loopback or tunnel device, and the service's port.",
        source "IPVS_DEST_ATTR_FWD_METHOD; ipvsadm: `-g`, `-m`, `-i`; keepalived: `lvs_method`";
    "services.NAME.forward.tunnel" "mapping", default "IP in IP", range "", "The tunnel's form.", source "";
    "services.NAME.forward.tunnel.type" "word", default "`ipip`", range "`ipip`, `gue`, `gre`", "The encapsulation.",
        source "IPVS_DEST_ATTR_TUN_TYPE; ipvsadm: `--tun-type`";
    "services.NAME.forward.tunnel.port" "integer", default "required with gue", range "1 to 65535",
        "The UDP port at which the servers decapsulate (gue only).", source "IPVS_DEST_ATTR_TUN_PORT; ipvsadm: `--tun-port`";
    "services.NAME.forward.tunnel.checksum" "word", default "`none`", range "`none`, `full`, `remote` (gue only)",
        "Checksums of the outer header (gue and gre).", source "IPVS_DEST_ATTR_TUN_FLAGS; ipvsadm: `--tun-csum`, `--tun-remcsum`";
    "services.NAME.persistence" "mapping", default "off", range "",
        "Sends a client to the same server for a time.", source "IP_VS_SVC_F_PERSISTENT; ipvsadm: `-p`";
    "services.NAME.persistence.timeout" "duration", default "`5m`", range "1s to 31d (744h), whole seconds",
        "How long a client is remembered after its last connection.", source "keepalived: `persistence_timeout`";
    "services.NAME.persistence.prefix" "integer", default "32 of IPv4, 128 of IPv6", range "0 to 32, 1 to 128",
        "How many leading bits of clients' addresses are one client; 0: all clients are.", source "ipvsadm: `-M`; keepalived: `persistence_granularity`";
    "services.NAME.persistence.netmask" "text", default "`255.255.255.255`", range "an IPv4 netmask",
        "The same as a mask. Excludes `prefix`.", source "IPVS_SVC_ATTR_NETMASK; ipvsadm: `-M`";
    "services.NAME.persistence.engine" "word", default "none: by address", range "`sip`",
        "Tells clients by the Call-ID of SIP within what `prefix` leaves together. UDP only, and of use with `one_packet`.",
        source "IPVS_SVC_ATTR_PE_NAME, ip_vs_pe_sip; ipvsadm: `--pe`; keepalived: `persistence_engine`";
    "services.NAME.drain" "mapping", default "all defaults", range "", "What the drain of a server waits for (`holdfast server drain`, `rm`).",
        source "HAProxy: `set server … state drain`; AWS: deregistration delay";
    "services.NAME.drain.timeout" "duration", default "`5m`", range "1s to 168h",
        "A drain is over after so long even with connections left, where the command has no `--timeout`.",
        source "AWS: `deregistration_delay.timeout_seconds`";
    "services.NAME.drain.idle" "duration", default "`5s`", range "3s to 1h",
        "Connections of which the kernel can't tell whether they are over (all of UDP, and those whose client has sent its FIN) count \
         as over when no client has sent a packet for so long.", source "";
    "services.NAME.slow_start" "duration", default "off", range "1s to 1h",
        "A server that comes up gets a tenth of its weight, and a tenth more nine times until so long after. Not where the daemon \
         adopts it at its start, nor when it is taken back while it still drains. The weights of the service are 100 times the \
         configured ones in the kernel. Under `wrr wlc sed nq lblc lblcr twos`.",
        source "HAProxy: `slowstart`; AWS: `slow_start.duration_seconds`";
    "services.NAME.discover" "mapping", default "off", range "", "More servers, which files in a directory name as Prometheus' `file_sd` does.",
        source "Prometheus: `file_sd_configs`";
    "services.NAME.discover.directory" "path", default "required in `discover`", range "absolute",
        "The directory. Its files that end in `.yaml`, `.yml` or `.json` each have a list of `{targets: [ADDRESS:PORT, …], labels: {…}}`; of \
         the labels `weight`, `name` and `drain` count.", source "Prometheus: `files`";
    "services.NAME.discover.debounce" "duration", default "`1s`", range "10ms to 60s",
        "The files are read when nothing has happened to them for so long, after ten times as long at the latest.", source "";
    "services.NAME.discover.max_removal" "integer", default "50", range "1 to 100, in percent",
        "A reading that takes away more than this share of the servers at once is not believed: all that were known stay.", source "";
    "services.NAME.discover.allow_empty" "true or false", default "`false`", range "",
        "Whether a reading without any server is believed, whatever `max_removal` is.", source "";
    "services.NAME.checks" "list or mapping", default "none", range "at most 16, or `all` or `any` with such a list",
        "Several checks, each as under `check`; all must pass, but for those under `any`. Excludes `check`.", source "";
    "services.NAME.real_servers" "mapping by name", default "none", range "at most 10000", "The servers. A pool may be empty: `holdfast server add` fills it at run time.",
        source "keepalived: `real_server`";
    "services.NAME.real_servers.NAME" "address:port or mapping", default "", range "", "One server; the short form is its address.", source "";
    "services.NAME.real_servers.NAME.address" "address:port", default "required", range "a unicast address",
        "Where it listens. Under `direct` and `tunnel` the port is the service's and may be left out. Behind a mark or every port there is \
         none; under `nat` and without persistence one can be named, and packets go there.", source "ipvsadm: `-r`";
    "services.NAME.real_servers.NAME.weight" "integer", default "1", range "0 to 2147483647",
        "Its share of new connections against the other servers'. 0: no new ones, existing ones stay.", source "IPVS_DEST_ATTR_WEIGHT; keepalived: `weight`";
    "services.NAME.real_servers.NAME.upper_threshold" "integer", default "the service's, with its `lower_threshold`", range "0 to 2147483647",
        "As at the service. A server that names one of the two has none of the service's.", source "IPVS_DEST_ATTR_U_THRESH; ipvsadm: `-x`";
    "services.NAME.real_servers.NAME.lower_threshold" "integer", default "the service's, with its `upper_threshold`", range "0 to `upper_threshold`",
        "As at the service.", source "IPVS_DEST_ATTR_L_THRESH; ipvsadm: `-y`";
    "services.NAME.real_servers.NAME.check" "mapping", default "the service's", range "", "Its own check instead of the service's.", source "";
    "services.NAME.real_servers.NAME.checks" "list or mapping", default "the service's", range "as at the service", "Its own checks instead of the service's; an empty list: none.", source "";
    "ipvs" "mapping", default "all defaults", range "", "How the kernel's table is treated.", source "";
    "ipvs.on_stop" "word", default "`keep`", range "`keep`, `drain`, `remove`",
        "What becomes of our services, and of the marks for them, when the daemon stops. `keep`: they stay and forward. `drain`: once VRRP has left, \
         they take no new connections, and go when those that they have are over. `remove`: they go.",
        source "keepalived: `lvs_flush_on_stop`, `-I`";
    "ipvs.drain_timeout" "duration", default "`30s`", range "10ms to 1h",
        "How long a stop with `on_stop: drain` waits for connections. A further SIGTERM ends the wait.", source "";
    "ipvs.foreign" "word", default "`keep`", range "`keep`, `remove`",
        "What becomes of services in the kernel that this file has not. `remove`: they are deleted, whoever made them, at the start and \
         whenever they turn up.", source "keepalived: `lvs_flush`";
    "ipvs.timeouts" "mapping", default "as the kernel has them", range "",
        "How long the kernel keeps connections without traffic, for all services of the network namespace. What is changed here by others is changed \
         back. A stop that leaves no service gives back what was found.", source "IPVS_CMD_SET_CONFIG; ipvsadm: `--set`; keepalived: `lvs_timeouts`";
    "ipvs.timeouts.tcp" "duration", default "as the kernel has it: 15m", range "1s to 24d (576h), whole seconds", "Established connections of TCP.",
        source "IPVS_CMD_ATTR_TIMEOUT_TCP";
    "ipvs.timeouts.tcp_fin" "duration", default "as the kernel has it: 2m", range "1s to 24d (576h), whole seconds",
        "Connections of TCP after a FIN.", source "IPVS_CMD_ATTR_TIMEOUT_TCP_FIN";
    "ipvs.timeouts.udp" "duration", default "as the kernel has it: 5m", range "1s to 24d (576h), whole seconds", "Flows of UDP.",
        source "IPVS_CMD_ATTR_TIMEOUT_UDP";
    "ipvs.poll" "duration", default "`5s`", range "10ms to 1h",
        "How often the kernel's table is compared with what it should be. The kernel reports no changes by itself. Of more than 32 services \
         the destinations of those without traffic are read in turn, each within twelve looks.", source "";
}
