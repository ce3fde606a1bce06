//! Every code. One that is no longer used is not given to another problem.

use super::Severity;

codes! {
    NotUtf8 "HF0001" Error "the file is not UTF-8",
        why "YAML files are UTF-8. In another encoding a name or an address could be read as something else.",
        fix "Save the file as UTF-8; `iconv -f latin1 -t utf-8` converts an old one.";
    TooLarge "HF0002" Error "the file is too large",
        why "A limit keeps a wrong file (a log, a disk image) from filling the memory of a director.",
        fix "Four mebibytes hold about sixty thousand real servers. Check that the right file is named.";
    ControlCharacter "HF0003" Error "the file has a control character",
        why "A NUL or another control character in a configuration is the mark of a damaged or binary file.",
        fix "Remove the character; write it as an escape in double quotes (\"\\x07\") where it is really meant.";
    Empty "HF0004" Error "the configuration is empty",
        why "A daemon that silently did nothing would look as if it worked.",
        fix "Write at least one entry under `vrrp.instances` or `services`. `{}` is a configuration that is meant to be empty.";
    NotAMapping "HF0005" Error "the configuration is not a mapping",
        why "At its top a configuration has keys such as `vrrp:` and `services:`.",
        fix "Begin lines with `key:`; a leading `-` makes a list.";
    BadInclude "HF0006" Error "an `include` that can't be followed",
        why "What belongs to the configuration has to be plain from its first file: patterns stand in the last part of a path alone, and included files include nothing.",
        fix "Name the files, or a folder with a pattern such as `conf.d/*.yaml`, in the first file.";
    Syntax "HF0101" Error "not YAML",
        why "The text can't be read as YAML, so nothing after this place is known.",
        fix "Look at the marked line and the one above it: a missing colon, quote or bracket, or wrong indentation.";
    Tab "HF0102" Error "a tab in the indentation",
        why "YAML forbids tabs in indentation, since editors disagree on their width.",
        fix "Indent with spaces.";
    Indentation "HF0103" Error "indentation that fits no line above",
        why "In YAML the column of a key says what it belongs to. This line's column is that of no open mapping.",
        fix "Give the line the same column as its siblings.";
    DuplicateKey "HF0104" Error "a key appears twice",
        why "One of the two values would be ignored, and readers disagree on which.",
        fix "Remove one, or give the two entries different names.";
    SeveralDocuments "HF0105" Error "more than one document",
        why "What follows a `---` line in the middle of a file would be ignored.",
        fix "Remove the `---` line or move what follows it to a file of its own.";
    Anchor "HF0106" Error "an anchor or alias",
        why "Anchors (`&name`), aliases (`*name`) and merge keys (`<<`) are refused: a value is what stands at its place, every \
             message can point at it, and a file can't unfold to a thousand times its size.",
        fix "Write the value out. `check` at a service already holds for all of its real servers.";
    Tag "HF0107" Error "a YAML tag",
        why "Tags (`!name`) change the type of a value behind the reader's back. No key needs one.",
        fix "Remove the tag; put text in quotes.";
    TooDeep "HF0108" Error "nested too deeply",
        why "The deepest key of the configuration has eight levels. Deeper nesting is a mistake or an attack.",
        fix "Count the brackets and the indentation above the marked place.";
    KeyNotText "HF0109" Error "a key that is not a word",
        why "A list or mapping is used as a key, often because `{name}` was written for a placeholder.",
        fix "Use a plain word as the key; put it in quotes when it begins with a bracket or brace.";
    UnknownKey "HF0201" Error "an unknown key",
        why "A mistyped key that is ignored leaves its default in force, and nobody notices until it matters.",
        fix "Correct the key. `holdfast explain KEY` and docs/configuration.md list those that exist.";
    WrongType "HF0202" Error "a value of the wrong type",
        why "The key takes another kind of value: text, a whole number, true or false, a list or a mapping.",
        fix "Write the value in the form that the message names. Text that looks like a number or a boolean needs quotes.";
    MissingKey "HF0203" Error "a required key is missing",
        why "The key has no default that would be right for every network.",
        fix "Add the key.";
    Conflict "HF0204" Error "keys that exclude each other",
        why "Two keys say the same thing twice, or a check says two things to try.",
        fix "Keep one of them. Several checks go into a list: `checks: [{tcp: {}}, {http: {}}]`.";
    BadName "HF0205" Error "a name with characters that names don't have",
        why "Names appear in logs, metrics, commands and file names. They have 1 to 63 letters, digits, `-`, `_` or `.`, and \
             begin with a letter or digit.",
        fix "Choose another name.";
    UnknownWord "HF0206" Error "a word that the key does not take",
        why "The key takes one of a few words.",
        fix "Write one of the words that the message lists.";
    TooMany "HF0207" Error "too many entries",
        why "Every list has a limit, so that no file makes the daemon slow or large without bound.",
        fix "Remove entries; the message names the limit.";
    EmptyList "HF0208" Error "an empty list",
        why "The key needs at least one entry to mean anything.",
        fix "Add an entry, or remove the whole object.";
    OutOfRange "HF0301" Error "a number out of its range",
        why "The protocol or the kernel has room for the named range only. Cutting the number to fit would be a surprise.",
        fix "Choose a number within the range.";
    BadDuration "HF0302" Error "not a duration, or one out of its range",
        why "Durations carry their unit, so that nobody mistakes seconds for milliseconds.",
        fix "Write a whole number and a unit: `250ms`, `2s`, `5m` or `1h`.";
    BadAddress "HF0303" Error "not an address",
        why "Addresses are numeric. Host names are not looked up: a name server that fails must not stop a load balancer.",
        fix "Write an IPv4 address such as `192.0.2.10` or an IPv6 address such as `2001:db8::10`.";
    Brackets "HF0304" Error "an IPv6 address and a port without brackets",
        why "In `2001:db8::1:80` nobody can tell where the address ends.",
        fix "Put the address in brackets: `[2001:db8::1]:80`.";
    MissingPort "HF0305" Error "an address without a port",
        why "The port can't be guessed: a service needs it to listen, and a server under `forward: nat` may use any.",
        fix "Add the port: `192.0.2.10:80` or `[2001:db8::10]:80`.";
    UnusableAddress "HF0306" Error "an address that can't be used here",
        why "Unspecified, multicast, broadcast and network addresses belong to no single host, and the kernel refuses a \
             link-local IPv6 address as a real server.",
        fix "Use a unicast address of a host.";
    BadListen "HF0307" Error "not a listening address",
        why "A listening address is a transport, an address and a port: IPVS keeps TCP, UDP and SCTP apart.",
        fix "Write `tcp 192.0.2.10:80`, `udp [2001:db8::10]:53` and the like.";
    BadPath "HF0308" Error "not an absolute path",
        why "The daemon has no meaningful working directory, and commands are run without a shell and without a search path.",
        fix "Write the whole path, beginning with `/`.";
    BadHttp "HF0309" Error "not usable in an HTTP request",
        why "The value goes into the request as it is. Spaces and control characters would break or forge it.",
        fix "Paths begin with `/` and are percent-encoded; statuses are like `200`, `200-299` or `[200, 301-302]`.";
    Yaml11 "HF0310" Error "a word that YAML 1.1 and 1.2 read differently",
        why "`yes`, `no`, `on`, `off` are booleans to YAML 1.1 and text to YAML 1.2; `22:30` is 1350 to the one and text to \
             the other, `010` is 8 or text.",
        fix "Write `true` or `false`; write numbers in decimal without leading zeros; put text in quotes.";
    CheckTimeout "HF0311" Error "a timeout that is not shorter than its interval",
        why "A run that may last longer than the interval would still be going when the next is due.",
        fix "Shorten the timeout or lengthen the interval. Without `timeout` half of the interval is taken, at most 1s.";
    BadInterface "HF0312" Error "not an interface name",
        why "The kernel's interface names have 1 to 15 characters, no slash and no space (IFNAMSIZ).",
        fix "Write the name as `ip link` prints it, without what follows an `@`.";
    BadPassword "HF0313" Error "a password that version 2 has no room for",
        why "Version 2 sends eight bytes. A longer password would be cut, and two that begin alike would be one. Messages never \
             show it.",
        fix "Choose one of 1 to 8 bytes.";
    BadTtl "HF0314" Error "not a TTL or a range of them",
        why "TTLs and hop limits are 1 to 255, and a range's first is not above its last.",
        fix "Write `254` or `\"253-255\"`.";
    BadMark "HF0315" Error "not a packet mark",
        why "A mark is a number of 32 bits. One with bits that its mask leaves out is never seen.",
        fix "Write `16`, or with a mask `\"16/255\"` or `\"0x10/0xff\"`.";
    BadUrl "HF0316" Error "a URL that nothing can be posted to",
        why "Events are posted to `http://` or `https://`, a host name or address, a port and a path. A user and a password in it would \
             be seen by too many; the message does not show the URL, which may have a token in it.",
        fix "Write it in full: `https://hooks.example.org/holdfast`. To prove who sends, use `secret_file`.";
    BadPattern "HF0330" Error "a regular expression that can't be compiled",
        why "The syntax is that of the Rust crate `regex`, which is RE2's: no look-around and no back-references, so that a search \
             takes time linear in the text that a server sends. Compiled it may take one mebibyte.",
        fix "Correct the expression; put it in single quotes, in which YAML leaves backslashes alone.";
    BadCheckValue "HF0331" Error "a value that a check can't use",
        why "The value is sent to servers or compared with what they send, and has to be of the form that the protocol has.",
        fix "Write it in the form that the message names.";
    IntervalUnit "HF0401" Error "an interval that the protocol's version can't say",
        why "Version 3 counts in steps of 10 ms up to 40.95 s (RFC 9568 §5.2.7), version 2 in whole seconds up to 255 \
             (RFC 3768 §5.3.7).",
        fix "Choose an interval in the version's steps; for less than a second use version 3 on every node.";
    Version2Ipv6 "HF0402" Error "version 2 with IPv6 addresses",
        why "VRRP version 2 is IPv4's alone (RFC 3768 §1).",
        fix "Remove `version: 2`: version 3 serves both families.";
    MixedFamilies "HF0403" Error "IPv4 and IPv6 addresses in one instance",
        why "An advertisement carries addresses of one family. The two families are two virtual routers, each with its own \
             election (RFC 9568 §1).",
        fix "Make two instances, one for each family; they may have the same vrid.";
    FirstNotLinkLocal "HF0404" Error "the first IPv6 address is not link-local",
        why "The first address of an IPv6 virtual router is its link-local address, which hosts use as their router's \
             (RFC 9568 §5.2.9 and erratum 8300); routers that follow it drop other advertisements.",
        fix "Put a link-local address first, the same on every node: `fe80::VRID/64` with the instance's number is a good choice.";
    TooManyAddresses "HF0405" Error "more addresses than an advertisement holds",
        why "The count is one byte, and the packet has to fit an MTU of 1500: 255 addresses of IPv4, 90 of IPv6 (RFC 9568 §5.2.5).",
        fix "Divide the addresses between two instances with different vrids.";
    DuplicateVrid "HF0406" Error "two instances with the same vrid, interface and family",
        why "Packets of one could not be told from those of the other: to VRRP they are the same virtual router.",
        fix "Give one of them another vrid. An IPv4 and an IPv6 instance may share theirs.";
    AddressInTwoInstances "HF0407" Error "an address in two instances",
        why "Each instance would add and remove it on its own, so that two nodes could hold it at once.",
        fix "Keep it in one instance.";
    DuplicateAddress "HF0408" Error "an address twice in one instance",
        why "The second is a slip for another address, or of no use.",
        fix "Remove or correct one.";
    EqualPriorities "HF0409" Warning "nodes with equal priorities",
        why "With equal priorities the primary IP address decides (RFC 9568 §6.4.3), and neither node preempts the other: \
             which one is active depends on which started first.",
        fix "Give the preferred node a higher priority, for instance 150 against 100.";
    OwnerPreempts "HF0410" Error "priority 255 with `preempt: false`",
        why "Priority 255 is the address owner's, which always takes over, whatever preempt says (RFC 9568 §6.1).",
        fix "Use a priority of at most 254, or remove `preempt: false`.";
    BadGroup "HF0411" Error "not a multicast group that VRRP can use",
        why "Advertisements stay on their link, and only groups of the link are forwarded by no router: 224.0.0.0/24 (RFC 5771 §4) \
             and ff02::/16 (RFC 4291 §2.7). The group is of the family of the addresses.",
        fix "Remove `multicast_group`: VRRP has 224.0.0.18 and ff02::12. Another of the link is right only if all nodes have it.";
    PeerFamily "HF0412" Error "a peer of another address family",
        why "Advertisements go out in the family of the addresses, and a BFD session has one family at both ends.",
        fix "Use an address of the same family; IPv6 peers are usually link-local.";
    PeerIsSelf "HF0413" Error "a peer that is no other node",
        why "An instance that is its own peer, or has a virtual address for one, would hear nobody and become active beside another.",
        fix "Name the other nodes' own addresses; `per_node` gives each node its list.";
    DuplicatePeer "HF0414" Error "a peer twice",
        why "The second is a slip for another node, which would not be heard, or of no use.",
        fix "Remove or correct one.";
    UnicastAndGroup "HF0415" Error "`unicast` and `multicast_group`",
        why "With `unicast` nothing is sent to a group.",
        fix "Remove one of the two.";
    PasswordVersion3 "HF0416" Error "a password with version 3",
        why "Version 3 has no authentication (RFC 9568 §9); a password that is written and not sent would promise what is not there.",
        fix "Remove `authentication`, or write `version: 2` on every node.";
    PreemptDelay "HF0417" Error "`preempt_delay` with `preempt: false`",
        why "Who never preempts has nothing to delay.",
        fix "Remove one of the two.";
    OwnerAccepts "HF0418" Error "priority 255 with `accept: false`",
        why "The address owner has the addresses itself and accepts packets to them, whatever Accept_Mode is (RFC 9568 §6.1).",
        fix "Use a priority of at most 254, or remove `accept: false`.";
    VirtualMacUnicast "HF0419" Error "`unicast` and `virtual_mac`",
        why "Networks that need unicast deliver by the MAC addresses that they gave out, and drop frames with another. keepalived asks \
             for `vmac_xmit_base` in this case.",
        fix "Remove one of the two.";
    VirtualMacName "HF0420" Error "an interface's name for two purposes",
        why "Each virtual MAC address has a macvlan interface of its own. Two instances with the same vrid and family on different \
             interfaces would by default want the same name.",
        fix "Give one of them a name: `virtual_mac: {name: vrrp.lan}`.";
    BadLabel "HF0421" Error "not a label of an IPv4 address",
        why "Labels are the interface's name and a suffix after a colon, at most 15 bytes (IFNAMSIZ). ifconfig takes others for interfaces.",
        fix "Write `label: \"eth0:web\"` with the name of the address's interface, or leave it out.";
    BadRoute "HF0422" Error "a route that can't be",
        why "The kernel would refuse the route at the moment of the takeover, when it is too late to correct it.",
        fix "Do what the message says; `ip route add` with the same words tells more.";
    BadRule "HF0423" Error "a policy rule that can't be",
        why "The kernel would refuse it at the moment of the takeover, or no packet would ever match.",
        fix "Do what the message says.";
    DuplicateRoute "HF0424" Error "a route or policy rule twice",
        why "The kernel has one for a destination, table and metric. Each instance would add and remove it on its own.",
        fix "Keep it in one instance, or give the two different metrics or tables.";
    UnknownTracker "HF0430" Error "a tracker that does not exist",
        why "An instance that tracks nothing by this name would stay active when what it depends on is gone.",
        fix "Correct the name, or add the tracker under `vrrp.trackers`.";
    DuplicateTrack "HF0431" Error "a tracker twice in one list",
        why "A tracker has one effect; of two weights nobody could say which is meant.",
        fix "Keep one of them.";
    UnusedTracker "HF0432" Warning "a tracker that nobody uses",
        why "It is watched, and nothing follows: probably it was meant for an instance.",
        fix "Name it under `track` of an instance or group, or remove it.";
    OwnerTracked "HF0433" Warning "trackers at priority 255",
        why "The address owner's priority never changes, and no fault of a tracker takes its addresses away (RFC 9568 §6.1).",
        fix "Use a priority of at most 254.";
    DuplicateSession "HF0434" Error "two BFD sessions with one peer",
        why "Two systems have one session over an interface (RFC 5881 §3). The second would take the first one's packets.",
        fix "Keep one tracker; several instances and groups can name it.";
    UnknownInstance "HF0435" Error "a group's instance that does not exist",
        why "The group would wait for ever for an instance that never becomes active.",
        fix "Correct the name, or add the instance under `vrrp.instances`.";
    InstanceInTwoGroups "HF0436" Error "an instance in two groups",
        why "Two groups that share an instance are one: they can only be active together.",
        fix "Join the groups, or remove the instance from one.";
    SmallGroup "HF0437" Error "a group of fewer than two instances",
        why "A group keeps instances together; one alone needs none.",
        fix "Name at least two instances, or remove the group.";
    SlowInterface "HF0438" Warning "an interface that counts as down after the takeover",
        why "Backups take over after `down_adverts` intervals without an advertisement. A node that only then notices that its link is \
             gone is active beside them.",
        fix "Choose a `down_delay` below (`down_adverts` − 1) × `interval`.";
    NearPriorities "HF0439" Warning "priorities that are near each other",
        why "How long a Backup waits differs by an interval divided by 256 for each step of priority. A busy host is later than that, and two \
             nodes become active at once.",
        fix "Keep priorities at least 10 apart, for instance 150, 120 and 100.";
    WeightTooSmall "HF0440" Warning "weights that can't change who is active",
        why "With everything down the better node still has the higher priority, so the weights do nothing.",
        fix "Use weights that add up to more than the distance of the priorities, or none: then a tracker that is down is a fault.";
    WeightWithoutPreempt "HF0441" Warning "a weight where a node does not preempt",
        why "A weight makes another node the better one. With `preempt: false` that node takes over only from an Active that it has seen fall: \
             not when it starts later, and not when it is keepalived, which with `nopreempt` never takes over from a weight.",
        fix "Leave `weight` out, so that a tracker that is down is a fault, or remove `preempt: false`.";
    PeerIsFault "HF0442" Warning "a BFD session with the other node that is a fault when it is lost",
        why "When the other node dies, this one would take no part either, and nobody had the addresses. The loss of an Active makes its \
             Backup take over without any entry.",
        fix "Remove the entry of `track`; the tracker itself is enough.";
    LoopbackInterface "HF0443" Error "an instance on the loopback",
        why "What is sent there comes back to this host and to nobody else: no other node is heard, so that each of them is active.",
        fix "Name the interface of the LAN that the addresses are for.";
    UnknownScheduler "HF0501" Error "an unknown scheduler",
        why "The kernel would look for a module of that name and refuse the service.",
        fix "Choose one of those that the message lists; `wlc` is the usual one.";
    SchedulerFlag "HF0502" Error "a flag that the scheduler does not have",
        why "The kernel stores unknown flags and ignores them. `fallback` and `port` are flags of `sh` and `mh`.",
        fix "Remove the flag or choose another scheduler.";
    NoFallback "HF0503" Error "`mh` or `sh` without `fallback`",
        why "These schedulers give each server a fixed share of all clients. Without the flag the share of a server that is \
             down or drained is refused instead of served by another.",
        fix "Write `scheduler: {name: mh, flags: [fallback]}`, with `port` as well where a client's connections should be spread.";
    DirectPort "HF0504" Error "another port than the service's under `direct` or `tunnel`",
        why "Direct routing and tunnels deliver the packet unchanged: it arrives at the service's port, whatever is written \
             at the server.",
        fix "Give the server the service's port, or use `forward: nat`, which can change it.";
    FamilyMismatch "HF0505" Error "IPv4 and IPv6 mixed between a service and its servers, or among its addresses",
        why "NAT and direct routing can't cross address families; only a tunnel can carry one in the other. The addresses of \
             one service are of one family.",
        fix "Use a server of the service's family, or `forward: tunnel`. Make a second service for the other family.";
    ServerIsVip "HF0506" Error "a real server with a virtual address",
        why "Packets for it would be caught by the service again: a loop, or a check that asks itself.",
        fix "Use the server's own address.";
    DuplicateListen "HF0507" Error "a listening address twice",
        why "The kernel has one service for a transport, address and port.",
        fix "Remove one of the two.";
    DuplicateServer "HF0508" Error "a real server twice in one service",
        why "The kernel has one destination for an address and port; two entries would contend for its weight.",
        fix "Remove or correct one; a double share is `weight: 2`.";
    DuplicateServerName "HF0509" Error "a real server's name that the service has already",
        why "Commands and logs speak of a server by its name.",
        fix "Choose another name.";
    NoInstanceHolds "HF0511" Warning "a service listens on an address that no instance holds",
        why "Addresses are moved between the nodes by VRRP. One that no instance has must reach this node in another way.",
        fix "Add it to the `addresses` of an instance, or ignore the warning where a route or another program brings it.";
    PortZero "HF0520" Error "every port of an address without persistence",
        why "The kernel schedules port 0 in persistent services only: a client's connections to several ports belong together, and \
             without persistence it drops them (`ip_vs_schedule`).",
        fix "Add `persistence: {}`, name the port, or mark a range of ports: `listen: {fwmark: 7, match: tcp 192.0.2.10:8000-8999}`.";
    OnePacketTransport "HF0521" Error "`one_packet` in a service without UDP",
        why "The kernel schedules datagrams of UDP by themselves and nothing else; connections of TCP and SCTP would be broken by it.",
        fix "Remove `one_packet`, or listen on UDP.";
    EngineTransport "HF0522" Error "`engine: sip` with another transport than UDP",
        why "The engine reads the Call-ID of UDP datagrams. Packets of any other transport that come to such a service are dropped \
             (`ip_vs_sip_fill_param`).",
        fix "Make a service of its own for the other transport, without the engine.";
    EngineWithoutOnePacket "HF0523" Warning "`engine: sip` without `one_packet`",
        why "The kernel remembers a client's address and port, and sends what comes from there to the same server whatever its Call-ID \
             is. A proxy that sends all its calls from one port would have one server.",
        fix "Add `one_packet: true`.";
    LowerThreshold "HF0524" Error "a lower threshold above the upper one",
        why "A server is full at `upper_threshold` connections and takes new ones again below `lower_threshold`. The kernel refuses the \
             other order (ERANGE).",
        fix "Make the lower one the smaller one, or leave it out: three quarters of the upper one.";
    BadMatch "HF0525" Error "not a range of packets",
        why "Packets are told by transport, destination addresses and destination ports.",
        fix "Write `tcp 192.0.2.10:8000-8999`, `udp 192.0.2.10-192.0.2.20:53`, `tcp 192.0.2.16/28` or `tcp [2001:db8::10]:80`.";
    OverlappingMatch "HF0526" Error "packets that two services want",
        why "A packet has one mark, and a mark comes before an address: one of the two services would never see these packets.",
        fix "Choose ranges of addresses or ports that have nothing in common.";
    KeptPort "HF0527" Error "a server's port that packets never get to",
        why "In a persistent service of a mark or of every port the kernel keeps the port that the client chose, also under `nat` \
             (`ip_vs_sched_persist`).",
        fix "Leave the server's port out.";
    CheckNeedsPort "HF0528" Error "a check of a server without a port",
        why "Servers of a mark or of every port have no port of their own that a check could go to.",
        fix "Name one in the check: `check: {tcp: {port: 8000}}`.";
    BadNetmask "HF0529" Error "not a netmask",
        why "The mask says which leading bits of clients' addresses are one client.",
        fix "Write `netmask: 255.255.255.0` or `prefix: 24`; IPv6 has `prefix` only.";
    CheckFamily "HF0530" Error "a check's source of another family than its target",
        why "A packet has two addresses of one family.",
        fix "Give the check a source of the servers' family, or `address` a target of the source's.";
    UnknownSession "HF0531" Error "a check of a BFD session that there is not",
        why "The sessions are those of `vrrp.trackers`; a check only looks at one.",
        fix "Add a tracker `bfd: {peer: …}` to `vrrp.trackers`, or correct the name.";
    SlowStart "HF0540" Error "a slow start under a scheduler that does not share by weight",
        why "A slow start raises the weight of a server that came up in steps. `rr` and `lc` ignore weights, `sh`, `dh` and `mh` move \
             other servers' clients at each step, and for `fo` and `ovf` a weight is not a share.",
        fix "Use `wrr`, `wlc` or another scheduler that shares by weight, or remove `slow_start`.";
    SorryIsReal "HF0541" Error "a sorry server that is a real server of its service",
        why "The kernel has one destination for an address and port. It would take clients when the others fail and when they don't, and its \
             own failure would go unnoticed.",
        fix "Give the sorry server an address or port of its own.";
    AllDownConflict "HF0542" Error "`all_down` and `sorry_servers` that contradict each other",
        why "Sorry servers are used under `all_down: sorry` and nowhere else.",
        fix "Remove one of the two keys; `all_down: sorry` is the default where there are sorry servers.";
    QuorumTooHigh "HF0543" Warning "a quorum that the servers can't reach",
        why "The quorum is gained when the weights of the servers that can serve add up to `quorum` + `hysteresis`. With all servers up they \
             don't, so the service counts as down for ever, or once it was down (keepalived silently lowers such a quorum).",
        fix "Lower `quorum` or `hysteresis`, or ignore the warning where `holdfast server add` brings more servers.";
    WithdrawsNothing "HF0544" Error "`withdraw_vip` where no instance can give the addresses away",
        why "The addresses are withdrawn by a fault of the instance that holds them. Nothing would happen.",
        fix "Add the service's addresses to an instance of a priority up to 254, or choose another `all_down`.";
    UnknownService "HF0545" Error "a tracker of a service that does not exist",
        why "An instance that tracks nothing by this name would stay active when what it depends on is gone.",
        fix "Correct the name, or add the service under `services`.";
    FastInterval "HF0546" Error "a `fast_interval` that is not shorter than the interval",
        why "It is for a server that changes, to know sooner whether it is up or down.",
        fix "Choose a shorter one, or remove the key.";
    BadSyncGroup "HF0601" Error "not a multicast group",
        why "The sync daemons speak to a multicast group; the kernel refuses any other address.",
        fix "Remove `group`: IPVS has 224.0.0.81. Another one, of either family, is right if all nodes have it.";
    SyncFollowsNobody "HF0602" Error "connection synchronisation that follows nobody",
        why "Under `role: follow` the state of an instance or group says which of the two daemons runs. Without one nobody would tell, \
             and nobody would listen.",
        fix "Name an instance or a sync group in `ipvs.sync.follows`, or write `role: both`.";
    SyncMixedFamilies "HF0603" Error "connection synchronisation with a tunnel between the families",
        why "The messages have no place for it: while a sync daemon runs the kernel refuses a real server of another family than its \
             service's, and while there is such a server it refuses to start a daemon (EINVAL).",
        fix "Use servers of the service's family, or remove `ipvs.sync`.";
    SyncWithoutServices "HF0604" Warning "connection synchronisation without services",
        why "Where nothing is forwarded there are no connections to tell of. The daemons are not started.",
        fix "Add services, or remove `ipvs.sync`.";
    WaitWithoutSync "HF0605" Error "`wait_for_sync` without `ipvs.sync`",
        why "Nothing would ever be learned, and the node would only be late.",
        fix "Configure `ipvs.sync`, or use `preempt_delay`.";
    WaitTooShort "HF0606" Warning "a `wait_for_sync` that can't end early",
        why "The kernel tells a returned director nothing by itself. It learns connections as they are told of anew, once in a \
             `sync_refresh_period` while they have traffic. It has them all after two such periods and three seconds; where that is not \
             before the wait's end, the wait is a mere delay. Priority 255 waits for nothing (RFC 9568 §6.1).",
        fix "Wait longer, or set a shorter `ipvs.sysctls.sync_refresh_period`; use `preempt_delay` for a mere delay.";
    BadSysctl "HF0607" Error "a value that a sysctl does not take",
        why "The kernel would refuse it when it is set.",
        fix "Use a value of the range that the message says.";
    SysctlConflict "HF0608" Warning "a sysctl against what a service needs",
        why "What is written in `ipvs.sysctls` holds, and the service does less than it seems.",
        fix "Remove the sysctl: what services need is set by itself; or ignore the warning where the loss is meant.";
    SysctlDefeats "HF0609" Error "a sysctl with which nothing is forwarded",
        why "Packets of the service, or of all of them, would reach no server or no client.",
        fix "Remove the sysctl: what services need is set by itself.";
    NoSuchInterface "HF0701" Warning "an interface that this host does not have",
        why "The instance is in fault until the interface is there, and takes part then. Interfaces may come later than the daemon, so \
             that this alone refuses no configuration; a name with a mistake in it never comes.",
        fix "Correct the name, set it by `per_node` where nodes differ, or ignore the warning where the interface comes later.";
    InterfaceDown "HF0702" Warning "an interface that is down",
        why "The instance stays out of the election until its interface is up.",
        fix "Bring it up: `ip link set NAME up`.";
    NoSubnet "HF0703" Warning "a virtual address in no subnet of its interface",
        why "Hosts on the LAN ask for an address by ARP or neighbour discovery only when they take it for local; routers \
             need a route to it otherwise.",
        fix "Check the address and the interface. With a route to it, or on a pure routed network, the warning does not matter.";
    NoSuchUser "HF0704" Error "a user that this host does not have",
        why "Commands run as this user. Falling back to root would be unsafe.",
        fix "Create it: `useradd --system --no-create-home --shell /usr/sbin/nologin holdfast-script`; or name another in `daemon.scripts.user`.";
    NoSuchGroup "HF0705" Error "a group that this host does not have",
        why "The control socket is given to this group.",
        fix "Create it: `groupadd --system holdfast`; or remove `daemon.control.group`: then root alone may use the socket.";
    NoSuchCommand "HF0706" Error "a command that does not exist",
        why "A check or tracker of it could never pass, and a hook would never run.",
        fix "Install the program or correct the path.";
    NotExecutable "HF0707" Error "a command that can't be executed",
        why "It could never run: the file is a directory, or the user that runs commands has no execute permission.",
        fix "`chmod 0755 FILE`; a script also needs a first line such as `#!/bin/sh`.";
    RootScripts "HF0708" Error "commands would run as root",
        why "Commands handle the answers of servers, which may be hostile: they run as a user without rights.",
        fix "Name an unprivileged user in `daemon.scripts.user`.";
    UntrustedCommand "HF0709" Error "a command that others than root could replace",
        why "A daemon that runs as root starts a command only if the file, every directory on the way to it and every symbolic link \
             belong to root and are writable by nobody else. It would refuse this one at every run.",
        fix "`chown root` and `chmod go-w` what the message names, or put the program where root alone writes, such as /usr/local/lib.";
    NoFirewall "HF0710" Error "the program `nft` is missing",
        why "With `accept: false` the active node drops packets to the addresses, and with `match` packets are marked for a service: \
             both by rules of nftables.",
        fix "Install the package nftables, or remove what needs it.";
    NoTrackedInterface "HF0711" Warning "a tracker of an interface that this host does not have",
        why "The tracker is down until there is an interface of this name.",
        fix "Correct the name, or ignore the warning where the interface comes later or is the other node's.";
    OwnerWithoutAddress "HF0712" Warning "an owner without its address",
        why "Priority 255 says that the address is this node's own, also while the daemon does not run (RFC 9568 §5.2.4). Such a node \
             takes over from everybody at its start, and hands over to nobody at its stop.",
        fix "Give the interface the address outside of this program, or choose a priority up to 254.";
    NoSecret "HF0713" Error "a secret that can't be read",
        why "Without the password the instance would send advertisements that the other nodes discard, and discard theirs.",
        fix "Make the file, with the password in its first line, readable by the daemon alone; credentials are named by `LoadCredential=` of the unit.";
    CredentialElsewhere "HF0714" Warning "a credential that can't be seen from here",
        why "Credentials are given to the daemon by the service manager, in a folder of its own. Whoever checks a configuration has none.",
        fix "Nothing, where the unit has `LoadCredential=` for it: the daemon looks at its start, and refuses to start without it.";
    OwnAddress "HF0715" Error "a virtual address that is this node's own",
        why "The interface has the address, and neither this program nor keepalived put it there (IFA_PROTO). As a Backup the node would take it \
             off: with the node's only address goes the way to the node, and with the first one of a subnet may go the others. Where it \
             stayed, two nodes would answer for it.",
        fix "Choose an address that no host has; or take it out of the interface's own configuration, `ip address del` it, and let VRRP bring it; \
             or choose priority 255 where it is the node's own and shall be (RFC 9568 §5.2.4). A keepalived that was killed may have left it: \
             `ip address del` it.";
    PerhapsOwnAddress "HF0716" Warning "a virtual address that may be this node's own",
        why "The interface has the address, and a kernel before 5.18 does not tell who put it there. A killed daemon leaves its addresses, \
             which is as it should be. If it is the node's own, it is taken off as soon as the node is a Backup.",
        fix "Choose an address that no host has, or priority 255. Ignore the warning where VRRP brought the address.";
    PortInterface "HF0717" Warning "an interface that is a port of another one",
        why "What a port of a bridge, a bond or a team receives is the master's: an instance there hears nobody, and hosts can't reach an \
             address on it. The instance is in fault until the interface is a port no longer.",
        fix "Name the master, as the message says.";
    UntrustedConfiguration "HF0720" Error "a configuration that others could write",
        why "Who can write the file, or replace it or a directory on the way to it, decides where every packet goes and which commands \
             run. It has to belong to root, or to the user that the daemon runs as, and nobody else may write to it.",
        fix "`chown root` and `chmod go-w` what the message names. `--offline` leaves this out, for a draft.";
    BadPairFile "HF0731" Error "a certificate or key of the pair that is not what it should be",
        why "Without it this node could not prove to the others who it is, or not know them: nothing would be compared, and `--all-nodes` \
             would reach nobody. A key that others can read is theirs as well.",
        fix "docs/pair.md makes certificates with three commands. A node's certificate bears its name; key and configuration belong to root, or to the daemon's user.";
    NoPair "HF0732" Warning "a node that is no part of the pair",
        why "`daemon.pair.nodes` does not name this node, or nobody else: nothing is compared, and `--all-nodes` reaches nobody.",
        fix "Name every node with its address. Where the configuration is that of another node, say which: `--node NAME`.";
    PairCertificateTime "HF0733" Warning "a certificate of the pair that is not valid now",
        why "The other nodes refuse this one until it has another. Nothing else depends on it: the director elects, checks and forwards as always.",
        fix "Make another certificate (docs/pair.md) and reload; look at the clock where the certificate is new.";
    PairFileLater "HF0734" Warning "a certificate or key of the pair that a successor goes on without",
        why "A worker that died, or an upgrade, is followed by one that goes on with the addresses: it waits for no certificate. Until there is a \
             good one it is no part of the pair's API: nothing is compared, and `--all-nodes` does not reach it.",
        fix "Put the file right, which HF0731 of `holdfast check` names, and reload.";
    BadCheckFile "HF0751" Error "a file of a check that is not what it should be",
        why "The check could never be made: the file is missing, can't be read, or has no certificate, key or password.",
        fix "Correct the path or the file. Certificates and keys are in PEM; a password is the file's first line.";
    NoCheckFolder "HF0752" Warning "a file check whose folder is not there",
        why "Until the folder is there, its files count as not there.",
        fix "Make the folder, or ignore the warning where another program makes it later.";
}
