//! The keys of `vrrp.instances`.

use super::{Key, section};

section! {
    "vrrp.instances" "mapping by name", default "none", range "at most 1000", "The virtual routers that this node takes part in.",
        source "RFC 9568 §6; keepalived: `vrrp_instance`";
    "vrrp.instances.NAME" "mapping", default "", range "", "One virtual router on one interface.", source "RFC 9568 §6.1";
    "vrrp.instances.NAME.interface" "text", default "required", range "1 to 15 characters",
        "The interface that speaks VRRP and holds the addresses.", source "keepalived: `interface`";
    "vrrp.instances.NAME.vrid" "integer", default "required", range "1 to 255",
        "The virtual router's number: the same on every node, and different from others' on the same LAN and address family.",
        source "RFC 9568 §5.2.3; keepalived: `virtual_router_id`";
    "vrrp.instances.NAME.priority" "integer", default "100", range "1 to 255",
        "The highest of the running nodes is active. 255 is for the address owner, whose interface has the addresses anyway.",
        source "RFC 9568 §5.2.4; keepalived: `priority`";
    "vrrp.instances.NAME.interval" "duration", default "`1s`", range "10ms to 40950ms in steps of 10ms; version 2: 1s to 255s in whole seconds",
        "How often the active node advertises. The others take over after `down_adverts` of these and a skew below one interval.",
        source "RFC 9568 §5.2.7, RFC 3768 §5.3.7; keepalived: `advert_int`";
    "vrrp.instances.NAME.version" "integer", default "3", range "2 or 3",
        "The protocol's version, the same on every node. IPv6 has version 3 only.", source "RFC 9568, RFC 3768; keepalived: `version`";
    "vrrp.instances.NAME.preempt" "boolean or mapping", default "true", range "",
        "Whether this node takes over from a working active node of lower priority; a mapping says what it waits for.", source "RFC 9568 §6.1; keepalived: `nopreempt`";
    "vrrp.instances.NAME.preempt.wait_for_sync" "duration", default "required in the mapping", range "1s to 1000s",
        "How long, at most, a working active node of lower priority is left alone until this node has learned its connections: until its \
         sync daemon has listened, with its interface up and this instance taking part, for two `sync_refresh_period` and three seconds. \
         Needs `ipvs.sync`. A dead node is not waited for, and priority 255 waits for nothing.",
        source "ip_vs_sync.c: `ip_vs_sync_conn_needed`";
    "vrrp.instances.NAME.addresses" "list of address/prefix or mapping", default "required", range "1 to 255 of IPv4 or 1 to 90 of IPv6",
        "The virtual addresses, of one family, the same on every node. Without a prefix length it is /32 or /128. Of IPv6 the first is \
         link-local, for instance `fe80::33/64`.",
        source "RFC 9568 §5.2.9; keepalived: `virtual_ipaddress`";
    "vrrp.instances.NAME.addresses.address" "address/prefix", default "required in the mapping", range "", "An address that needs more said of it.", source "";
    "vrrp.instances.NAME.addresses.device" "text", default "the instance's interface", range "1 to 15 characters",
        "Another interface that gets the address.", source "keepalived: `dev`";
    "vrrp.instances.NAME.addresses.label" "text", default "none", range "the interface's name and a suffix, together at most 15 bytes; IPv4 only",
        "The name that old tools show for it: `eth0:web`.", source "IFA_LABEL; keepalived: `label`";
    "vrrp.instances.NAME.addresses.scope" "word", default "link for link-local and loopback addresses, else global", range "`global`, `site`, `link`, `host`",
        "Where the address is valid, which counts when the kernel chooses a source address.", source "IFA_SCOPE; keepalived: `scope`";
    "vrrp.instances.NAME.excluded" "list of address/prefix or mapping", default "none", range "at most 4096",
        "Addresses of either family that move along and are not advertised; in the form of `addresses`.",
        source "keepalived: `virtual_ipaddress_excluded`";
    "vrrp.instances.NAME.down_adverts" "integer", default "3", range "1 to 100",
        "So many intervals without an advertisement make the active node count as dead. The same on every node.",
        source "RFC 9568 §6.1 (Active_Down_Interval); keepalived: `down_timer_adverts`";
    "vrrp.instances.NAME.checksum" "word", default "`auto`", range "`auto`, `rfc9568`, `pseudo-header`",
        "The form of version 3's checksum over IPv4, for sending; on receipt every form is right. `auto`: with the pseudo-header until a peer \
         has sent another form, then as the last peer did, also as keepalived's `old_unicast_checksum` by unicast. `rfc9568`: the message alone. \
         `pseudo-header`: as keepalived and FRR by default.",
        source "RFC 9568 §5.2.8; keepalived: `v3_checksum_as_v2`, `old_unicast_checksum`";
    "vrrp.instances.NAME.authentication" "mapping", default "none", range "version 2 only", "A password in clear text, for peers that have one.",
        source "RFC 2338 §5.3.6; keepalived: `authentication`";
    "vrrp.instances.NAME.authentication.password" "text", default "required in `authentication` without the two below", range "1 to 8 bytes",
        "The same on every node. It is sent in clear and keeps no attacker out, only a wrong neighbour. It is never shown.",
        source "keepalived: `auth_type PASS`, `auth_pass`";
    "vrrp.instances.NAME.authentication.password_file" "path", default "`password`", range "absolute",
        "The file whose first line is the password. It is read at the start and at each reload.", source "";
    "vrrp.instances.NAME.authentication.password_credential" "text", default "`password`", range "the name of a credential",
        "The credential of the service manager whose first line is the password (`LoadCredential=` of the unit).",
        source "systemd: `$CREDENTIALS_DIRECTORY`";
    "vrrp.instances.NAME.preempt_delay" "duration", default "`0s`", range "0s to 1000s",
        "How long a working active node of lower priority is left alone from when it is first heard. A dead one is not waited for.",
        source "keepalived: `preempt_delay`";
    "vrrp.instances.NAME.accept" "boolean", default "true", range "",
        "Whether the active node accepts packets to the addresses. `false`: it forwards for hosts and answers ARP, neighbour solicitations \
         and nothing else; the program `nft` is needed.",
        source "RFC 9568 §6.1 (Accept_Mode); keepalived: `no_accept`";
    "vrrp.instances.NAME.multicast_group" "address", default "224.0.0.18 or ff02::12", range "of 224.0.0.0/24 or ff02::/16",
        "Another group for advertisements. The same on every node.", source "RFC 9568 §5.1.1.2; keepalived: `mcast_dst_ip`, `vrrp_mcast_group4`";
    "vrrp.instances.NAME.unicast" "mapping", default "off: multicast", range "",
        "Advertisements go to named peers, and nobody else is heard: for networks without multicast.", source "keepalived: `unicast_peer`";
    "vrrp.instances.NAME.unicast.source" "address", default "the interface's first of the peers' family and scope", range "",
        "The address to send from.", source "keepalived: `unicast_src_ip`";
    "vrrp.instances.NAME.unicast.ttl" "integer", default "255", range "1 to 255", "TTL or hop limit of what is sent.", source "keepalived: `unicast_ttl`";
    "vrrp.instances.NAME.unicast.peers" "list of addresses or mappings", default "required in `unicast`", range "1 to 64",
        "The other nodes.", source "keepalived: `unicast_peer`";
    "vrrp.instances.NAME.unicast.peers.address" "address", default "required in the mapping", range "", "A peer that needs more said of it.", source "";
    "vrrp.instances.NAME.unicast.peers.ttl" "integer or range", default "255", range "1 to 255",
        "The TTL or hop limit that its packets arrive with: `254` or `\"253-255\"`. 255 proves a neighbour.",
        source "RFC 9568 §5.1.1.3; keepalived: `min_ttl`, `max_ttl`";
    "vrrp.instances.NAME.virtual_mac" "boolean or mapping", default "false", range "",
        "The addresses are on a macvlan interface with the virtual router's MAC address, which advertisements come from, too. Hosts keep \
         their ARP entries when the role moves.",
        source "RFC 9568 §7.3; keepalived: `use_vmac`";
    "vrrp.instances.NAME.virtual_mac.name" "text", default "`vrrp4.VRID` or `vrrp6.VRID`", range "1 to 15 characters",
        "The interface's name, different for every instance.", source "";
    "vrrp.instances.NAME.announce" "mapping", default "all defaults", range "",
        "How an active node announces its addresses by gratuitous ARP or unsolicited neighbour advertisements.", source "RFC 9568 §6.4.1";
    "vrrp.instances.NAME.announce.count" "integer", default "5", range "1 to 100", "How often each address is announced in one burst.",
        source "keepalived: `garp_master_repeat`";
    "vrrp.instances.NAME.announce.repeat_after" "duration", default "`5s`", range "0s to 1h", "When the burst is repeated once; `0s`: not.",
        source "keepalived: `garp_master_delay`";
    "vrrp.instances.NAME.announce.refresh" "duration", default "`0s`", range "0s, or 1s to 24h",
        "How often the addresses are announced as long as the node is active; `0s`: not.", source "keepalived: `garp_master_refresh`";
    "vrrp.instances.NAME.announce.refresh_count" "integer", default "1", range "1 to 100", "How often each address is announced at a refresh.",
        source "keepalived: `garp_master_refresh_repeat`";
    "vrrp.instances.NAME.lifetime" "duration",
        default "(`down_adverts` + 1) × `interval`, at least 4s, where the configuration names another node; else, and of an owner, `0s`", range "0s, or 4s to 1h",
        "How long the kernel keeps an address of this node after its daemon has died without a word; rounded up to seconds. As long as VRRP \
         works here it is renewed, four times in that time. `0s`: for ever, for a node without a peer. Another node is named by `per_node` or `unicast` of the \
         instance, or by `daemon.pair`.",
        source "IFA_CACHEINFO; ip-address(8): `valid_lft`";
    "vrrp.instances.NAME.routes" "list", default "none", range "at most 1024", "Routes that an active node has. What is not named here, an instance can't have.",
        source "ip-route(8); keepalived: `virtual_routes`";
    "vrrp.instances.NAME.routes.to" "`default` or network", default "required", range "",
        "The destination. `default` is of the family of `via`, of `source`, or else of the instance.", source "RTA_DST";
    "vrrp.instances.NAME.routes.type" "word", default "`unicast`", range "`unicast`, `blackhole`, `unreachable`, `prohibit`",
        "What it does with packets.", source "RTN_UNICAST and others";
    "vrrp.instances.NAME.routes.via" "address", default "none", range "of the destination's family", "The next hop.", source "RTA_GATEWAY";
    "vrrp.instances.NAME.routes.device" "text", default "by the next hop, for a link-local one the instance's interface", range "1 to 15 characters",
        "The interface; required without `via`.", source "RTA_OIF; ip-route: `dev`";
    "vrrp.instances.NAME.routes.source" "address", default "the kernel's choice", range "of the destination's family",
        "The address that the node's own packets by this route have.", source "RTA_PREFSRC; ip-route: `src`";
    "vrrp.instances.NAME.routes.table" "integer or word", default "`main`", range "1 to 4294967295, `main`, `local`, `default`", "The table.", source "RTA_TABLE";
    "vrrp.instances.NAME.routes.metric" "integer", default "the kernel's", range "1 to 4294967295", "Of several routes the lowest metric is used.", source "RTA_PRIORITY";
    "vrrp.instances.NAME.routes.scope" "word", default "link without `via`, else global", range "`global`, `site`, `link`, `host`; IPv4 only", "How far the destination is.", source "rtm_scope";
    "vrrp.instances.NAME.routes.mtu" "integer", default "the interface's", range "68 to 65535", "The path's MTU.", source "RTAX_MTU";
    "vrrp.instances.NAME.routes.advmss" "integer", default "by the MTU", range "1 to 65495", "The greatest segment that is offered to TCP peers by this route.", source "RTAX_ADVMSS";
    "vrrp.instances.NAME.routes.on_link" "boolean", default "false", range "", "The next hop is on the link even if no route says so.", source "RTNH_F_ONLINK; ip-route: `onlink`";
    "vrrp.instances.NAME.rules" "list", default "none", range "at most 256", "Policy rules that an active node has. What is not named here, an instance can't have.",
        source "ip-rule(8); keepalived: `virtual_rules`";
    "vrrp.instances.NAME.rules.type" "word", default "`unicast`", range "`unicast`, `blackhole`, `unreachable`, `prohibit`",
        "What it does with packets; `unicast` looks in the table.", source "FR_ACT_TO_TBL and others";
    "vrrp.instances.NAME.rules.not" "boolean", default "false", range "", "It is for the packets that its other keys do not describe.", source "FIB_RULE_INVERT";
    "vrrp.instances.NAME.rules.from" "network", default "all", range "", "The source addresses.", source "FRA_SRC";
    "vrrp.instances.NAME.rules.to" "network", default "all", range "of the family of `from`", "The destination addresses.", source "FRA_DST";
    "vrrp.instances.NAME.rules.table" "integer or word", default "required with `type: unicast`", range "1 to 4294967295, `main`, `local`, `default`", "The table to look in.", source "FRA_TABLE";
    "vrrp.instances.NAME.rules.suppress_prefixlength" "integer", default "none", range "0 to 32; IPv6: 0 to 128", "A route that is found counts for nothing if its prefix is that long or shorter; 0: all but default routes count.",
        source "FRA_SUPPRESS_PREFIXLEN";
    "vrrp.instances.NAME.rules.priority" "integer", default "required", range "1 to 32765", "Its place: the lowest comes first.", source "FRA_PRIORITY; keepalived: `preference`";
    "vrrp.instances.NAME.rules.iif" "text", default "any", range "1 to 15 characters", "The interface that packets come in on.", source "FRA_IIFNAME";
    "vrrp.instances.NAME.rules.oif" "text", default "any", range "1 to 15 characters", "The interface that local sockets are bound to.", source "FRA_OIFNAME";
    "vrrp.instances.NAME.rules.mark" "integer or text", default "any", range "32 bits: `16`, `\"16/255\"`, `\"0x10/0xff\"`", "The packet's mark, and the bits of it that are compared.",
        source "FRA_FWMARK, FRA_FWMASK";
    "vrrp.instances.NAME.rules.ipproto" "integer or word", default "any", range "1 to 255, `tcp`, `udp`, `sctp`, `icmp`, `ipv6-icmp`, `esp`, `ah`, `gre`, `vrrp`", "The protocol above IP.", source "FRA_IP_PROTO";
    "vrrp.instances.NAME.rules.sport" "integer or text", default "any", range "1 to 65534: `53`, `\"1024-65534\"`", "The source ports.", source "FRA_SPORT_RANGE";
    "vrrp.instances.NAME.rules.dport" "integer or text", default "any", range "1 to 65534: `443`, `\"8000-8999\"`", "The destination ports.", source "FRA_DPORT_RANGE";
    "vrrp.instances.NAME.rules.uidrange" "integer or text", default "any", range "0 to 4294967294: `33`, `\"1000-1999\"`", "The users whose sockets send.", source "FRA_UID_RANGE";
    "vrrp.instances.NAME.rules.family" "word", default "the instance's", range "`inet`, `inet6`; without `from` and `to` only", "The family.", source "ip: `-4`, `-6`";
    "vrrp.instances.NAME.track" "list of names or mappings", default "none", range "at most 64",
        "What of `vrrp.trackers` changes its priority or keeps it from taking part. A name alone: its being down is a fault.",
        source "keepalived: `track_script`, `track_interface` and others";
    "vrrp.instances.NAME.track.tracker" "text", default "required in the mapping", range "a name of `vrrp.trackers`", "The tracker.", source "";
    "vrrp.instances.NAME.track.weight" "integer", default "none: a fault", range "-253 to 253, not 0",
        "What it adds to the priority while up (positive) or takes while down (negative). Of a file: what each unit of its number adds. The \
         effective priority is 1 to 254; 255 never changes.",
        source "keepalived: `weight`";
    "vrrp.instances.NAME.track.reverse" "boolean", default "false", range "", "Up counts as down and down as up.", source "keepalived: `reverse`";
    "vrrp.instances.NAME.hooks" "list", default "none", range "at most 16", "Commands that it runs besides those of all; as `vrrp.hooks`.", source "keepalived: `notify`";
    "vrrp.instances.NAME.per_node" "mapping by node", default "none", range "at most 64 nodes",
        "What differs between the nodes: any key of an instance but this one, under the node's name.", source "";
    "vrrp.instances.NAME.per_node.NODE" "mapping", default "", range "", "The keys that differ on this node.", source "";
}
