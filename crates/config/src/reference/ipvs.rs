//! The keys `ipvs.sync` and `ipvs.sysctls`.

use super::{Key, section};

section! {
    "ipvs.sync" "mapping", default "off", range "",
        "The directors tell each other of their connections, so that those go on when another one takes over. They need the same services.",
        source "keepalived: `lvs_sync_daemon`; ipvsadm: `--start-daemon`";
    "ipvs.sync.interface" "text", default "required", range "1 to 15 characters", "The interface that leads to the other director. What goes over it is not encrypted: keep it on a network of their own.",
        source "IPVS_DAEMON_ATTR_MCAST_IFN; ipvsadm: `--mcast-interface`";
    "ipvs.sync.role" "word", default "`follow`", range "`follow`, `both`",
        "Which of the kernel's two daemons run. `follow`: the master's, which tells, while this node is active, and the backup's, which \
         listens, otherwise. `both`: both, always; for nodes that are active for different addresses.",
        source "IPVS_DAEMON_ATTR_STATE; ipvsadm: `--start-daemon master|backup`";
    "ipvs.sync.follows" "text", default "the only sync group, or the only instance", range "an instance or sync group",
        "Whose state decides under `role: follow`. A group is active while all of its instances are.", source "keepalived: the instance of `lvs_sync_daemon`";
    "ipvs.sync.id" "integer", default "the vrid of the instance that `follows` means, of a group's first by name; 0 where that is none", range "0 to 255",
        "The identity, the same on every node, which keeps pairs on one network apart. A node with 0 takes everybody's connections.",
        source "IPVS_DAEMON_ATTR_SYNC_ID; ipvsadm: `--syncid`; keepalived: `id`";
    "ipvs.sync.group" "address", default "`224.0.0.81`", range "a multicast group of either family", "Where connections are told of, those of both families. The same on every node.",
        source "IPVS_DAEMON_ATTR_MCAST_GROUP, …GROUP6; ipvsadm: `--mcast-group`; keepalived: `group`";
    "ipvs.sync.port" "integer", default "8848", range "1 to 65535", "The UDP port, the same on every node; with `sync_ports` the first of so many.",
        source "IPVS_DAEMON_ATTR_MCAST_PORT; ipvsadm: `--mcast-port`; keepalived: `port`";
    "ipvs.sync.ttl" "integer", default "1", range "1 to 255", "The TTL or hop limit of what is sent; 1 stays on the link.",
        source "IPVS_DAEMON_ATTR_MCAST_TTL; ipvsadm: `--mcast-ttl`; keepalived: `ttl`";
    "ipvs.sync.maxlen" "integer", default "the kernel's, by the interface's MTU", range "128 to 65507",
        "The longest message in bytes. A listener has 1024 at least, whatever is written. When the key is removed from the file the \
         kernel's daemons keep what they have until they are started for another reason.",
        source "IPVS_DAEMON_ATTR_SYNC_MAXLEN; ipvsadm: `--sync-maxlen`; keepalived: `maxlen`";
    "ipvs.sync.per_node" "mapping by node", default "none", range "at most 64 nodes", "What one node has instead: any key of `sync` but this one.", source "";
    "ipvs.sync.per_node.NODE" "mapping", default "", range "", "The keys of that node, `interface` for instance.", source "";
    "ipvs.sysctls" "mapping", default "what the services need", range "",
        "Sysctls of IPVS and of forwarding, in the daemon's network namespace. They are set at the start, before the table; set again when \
         somebody changes them, which is logged and counted; and given back when the services go. What a feature needs is set without being written here.",
        source "Documentation/networking/ipvs-sysctl.rst";
    "ipvs.sysctls.ip_forward" "integer", default "1 with `forward: nat` of IPv4", range "0 or 1", "net.ipv4.ip_forward: the servers' answers are forwarded to the clients.",
        source "ip-sysctl.rst";
    "ipvs.sysctls.ipv6_forwarding" "integer", default "1 with `forward: nat` of IPv6", range "0 or 1",
        "net.ipv6.conf.all.forwarding, the same of IPv6. A router takes no router advertisements: a host that has its own default route \
         from one needs `accept_ra` 2 on that interface.",
        source "ip-sysctl.rst";
    "ipvs.sysctls.send_redirects" "integer", default "0 with `forward: nat` of IPv4 where a server is in the subnet of the virtual address", range "0 or 1",
        "net.ipv4.conf.*.send_redirects, of `all` and of the instances' interfaces: whether the kernel tells hosts a shorter way. IPv6 has no \
         such setting: there the servers have to ignore redirects (`accept_redirects` 0).",
        source "ip-sysctl.rst";
    "ipvs.sysctls.expire_nodest_conn" "integer", default "1 with `persistence` and checks: then a server that fails is removed", range "0 or 1",
        "1: connections of a server that is removed end at once, and their clients are reset. 0: their packets are dropped until they time \
         out, and they go on when the server comes back within two minutes.",
        source "net.ipv4.vs";
    "ipvs.sysctls.expire_quiescent_template" "integer", default "1 with `persistence`", range "0 or 1",
        "1: the kernel forgets that a client belongs to a server of weight 0, so that a drain ends.", source "net.ipv4.vs";
    "ipvs.sysctls.conn_reuse_mode" "integer", default "bit 2 is added with `direct` and `tunnel`, unless it is 0", range "0 to 3",
        "When a client uses a port again, a server is chosen anew: 1 where that is safe, 2 also two minutes after the end of the last connection, 0 never.",
        source "net.ipv4.vs";
    "ipvs.sysctls.conntrack" "integer", default "the kernel's: 0", range "0 or 1", "1: netfilter sees the connections, which rules of iptables or nftables for them need, and which costs.", source "net.ipv4.vs";
    "ipvs.sysctls.sloppy_tcp" "integer", default "1 with `mh`", range "0 or 1",
        "1: a connection is taken up at any packet, not only at its first: a director that takes over goes on with what `mh` maps alike. It holds for all services.", source "net.ipv4.vs";
    "ipvs.sysctls.sloppy_sctp" "integer", default "1 with `mh` and SCTP", range "0 or 1", "The same of SCTP.", source "net.ipv4.vs";
    "ipvs.sysctls.schedule_icmp" "integer", default "1 with `mh`", range "0 or 1", "1: ICMP for a connection that this director has not seen is scheduled as its packets would be.", source "net.ipv4.vs";
    "ipvs.sysctls.ignore_tunneled" "integer", default "the kernel's: 0", range "0 or 1", "1: packets out of a tunnel are not scheduled again, for directors that are real servers.", source "net.ipv4.vs";
    "ipvs.sysctls.backup_only" "integer", default "the kernel's: 0", range "0 or 1",
        "1: a node whose backup daemon runs schedules nothing, which keeps two directors that are each other's real servers from a loop. \
         Between a takeover and the daemon's end its own TCP answers, and resets connections.",
        source "net.ipv4.vs";
    "ipvs.sysctls.pmtu_disc" "integer", default "the kernel's: 1", range "0 or 1", "1: clients are told when their packets don't fit into the tunnel.", source "net.ipv4.vs";
    "ipvs.sysctls.nat_icmp_send" "integer", default "the kernel's: 0", range "0 or 1", "1: servers are told by ICMP when their packets belong to no connection.", source "net.ipv4.vs";
    "ipvs.sysctls.snat_reroute" "integer", default "the kernel's: 1", range "0 or 1", "1: NAT's answers are routed anew by their new source address.", source "net.ipv4.vs";
    "ipvs.sysctls.cache_bypass" "integer", default "the kernel's: 0", range "0 or 1", "1: without a server the director forwards to the destination itself (transparent caches).", source "net.ipv4.vs";
    "ipvs.sysctls.sync_threshold" "text", default "\"3 0\" with `ipvs.sync`", range "\"THRESHOLD PERIOD\"",
        "After how many packets a connection is told of first, and after how many more again. With a period of 0 and a `sync_refresh_period` \
         it is told of at its first packet as an established one, and then by time.",
        source "net.ipv4.vs";
    "ipvs.sysctls.sync_refresh_period" "integer", default "10 with `ipvs.sync`", range "0 to 2147483",
        "Seconds after which a connection that has traffic is told of again: what a director that comes back learns them by. 0: by packets alone.", source "net.ipv4.vs";
    "ipvs.sysctls.sync_retries" "integer", default "the kernel's: 0", range "0 to 3", "How often each telling is repeated, an eighth of the refresh period later, for networks that lose packets.", source "net.ipv4.vs";
    "ipvs.sysctls.sync_persist_mode" "integer", default "the kernel's: 0", range "0 or 1", "1: of persistent clients only their server is told, not each connection.", source "net.ipv4.vs";
    "ipvs.sysctls.sync_ports" "integer", default "the kernel's: 1", range "1, 2, 4, … 64", "So many threads and UDP ports, the same on every node. It counts from the daemons' next start.", source "net.ipv4.vs";
    "ipvs.sysctls.sync_version" "integer", default "the kernel's: 1", range "0 or 1", "The protocol's version; 0 is for kernels before 2.6.39, and has no IPv6.", source "net.ipv4.vs";
    "ipvs.sysctls.sync_qlen_max" "integer", default "the kernel's, by its memory", range "0 to 2147483647", "So many messages wait to be sent; more are dropped.", source "net.ipv4.vs";
    "ipvs.sysctls.sync_sock_size" "integer", default "the kernel's: 0", range "0 to 2147483647", "The socket's buffer in bytes; 0: the system's.", source "net.ipv4.vs";
    "ipvs.sysctls.drop_entry" "integer", default "the kernel's: 0", range "0 to 3", "Whether entries of connections are dropped when memory is short: 1 and 2 by need, 3 always.", source "net.ipv4.vs";
    "ipvs.sysctls.drop_packet" "integer", default "the kernel's: 0", range "0 to 3", "The same of packets.", source "net.ipv4.vs";
    "ipvs.sysctls.secure_tcp" "integer", default "the kernel's: 0", range "0 to 3", "The same of shorter timeouts of TCP.", source "net.ipv4.vs";
    "ipvs.sysctls.amemthresh" "integer", default "the kernel's: 1024", range "0 to 2147483647", "Memory is short below so many pages.", source "net.ipv4.vs";
    "ipvs.sysctls.am_droprate" "integer", default "the kernel's: 10", range "0 to 2147483647", "Under `drop_packet: 3` one packet of so many is dropped.", source "net.ipv4.vs";
    "ipvs.sysctls.run_estimation" "integer", default "the kernel's: 1", range "0 or 1", "0: the kernel counts no rates, and a drain is over by its deadline alone.", source "net.ipv4.vs";
    "ipvs.sysctls.est_cpulist" "text", default "the kernel's", range "\"0-3,6\"", "The processors that count rates.", source "net.ipv4.vs, Linux 6.2";
    "ipvs.sysctls.est_nice" "integer", default "the kernel's: 0", range "-20 to 19", "The nice value of the threads that count rates.", source "net.ipv4.vs, Linux 6.2";
    "ipvs.sysctls.conn_lfactor" "integer", default "the kernel's: -4", range "-8 to 8", "How full the table of connections gets before it grows.", source "net.ipv4.vs, Linux 7.1";
    "ipvs.sysctls.svc_lfactor" "integer", default "the kernel's: -3", range "-8 to 8", "The same of services.", source "net.ipv4.vs, Linux 7.1";
}
