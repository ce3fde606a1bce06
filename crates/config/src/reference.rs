//! Every key of the configuration as data. The reader takes the keys that it knows from here, `holdfast explain KEY` and
//! docs/configuration.md are made from it: what is not in this table is not a key.

use crate::code::Code;
use crate::suggest;

/// A key and what is to be known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Key {
    /// Where it stands; a word in capitals stands for any name: `services.NAME.listen`.
    pub path: &'static str,
    /// The form of its value.
    pub kind: &'static str,
    /// What holds without it.
    pub default: &'static str,
    /// The values that are taken.
    pub range: &'static str,
    /// What it does.
    pub text: &'static str,
    /// The specification, kernel interface or keepalived option behind it.
    pub source: &'static str,
}

macro_rules! keys {
    ($($path:literal $kind:literal, default $default:literal, range $range:literal, $text:literal, source $source:literal;)+) => {
        /// Every key, a parent before its children.
        pub const KEYS: &[Key] = &[$(Key {
            path: $path, kind: $kind, default: $default, range: $range, text: $text, source: $source,
        }),+];
    };
}

keys! {
    "node" "text", default "the short host name", range "1 to 253 letters, digits, `-`, `_`, `.`",
        "The name of this node; picks its `per_node` overrides. Left out, the same file serves both nodes.",
        source "keepalived: `router_id`, `-i`";
    "daemon" "mapping", default "all defaults", range "", "The daemon itself.", source "";
    "daemon.control" "mapping", default "all defaults", range "", "The control socket that `holdfast` speaks to.", source "";
    "daemon.control.socket" "path", default "`/run/holdfast/control.sock`", range "absolute, at most 107 bytes",
        "The control socket. Root alone may use it (mode 0600); with `group` that group may, too (mode 0660).", source "sockaddr_un";
    "daemon.control.group" "text", default "none: root alone", range "a group of the host",
        "The group whose members may use the control socket.", source "";
    "daemon.http" "mapping", default "off", range "", "Metrics, health and a read-only status by HTTP.", source "";
    "daemon.http.listen" "address:port", default "required in `http`", range "",
        "Where they are served. There is no authentication: keep it on a loopback or management address.", source "";
    "daemon.scripts" "mapping", default "all defaults", range "", "How commands are run.", source "";
    "daemon.scripts.user" "text", default "`holdfast-script`", range "a user of the host other than root",
        "The user that commands run as.", source "keepalived: `script_user`";
    "daemon.scripts.timeout" "duration", default "`5s`", range "10ms to 1h",
        "The longest that a command may run when its check has no `timeout`; half of the check's interval where that is shorter. \
         At the limit its whole process group is killed.",
        source "keepalived: `misc_timeout`";
    "vrrp" "mapping", default "none", range "", "Which node holds the virtual addresses.", source "RFC 9568";
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
        "How often the active node advertises. The others take over after three intervals and a skew below one interval.",
        source "RFC 9568 §5.2.7, RFC 3768 §5.3.7; keepalived: `advert_int`";
    "vrrp.instances.NAME.version" "integer", default "3", range "2 or 3",
        "The protocol's version, the same on every node. IPv6 has version 3 only.", source "RFC 9568, RFC 3768; keepalived: `version`";
    "vrrp.instances.NAME.preempt" "boolean", default "true", range "",
        "Whether this node takes over from a working active node of lower priority.", source "RFC 9568 §6.1; keepalived: `nopreempt`";
    "vrrp.instances.NAME.addresses" "list of address/prefix", default "required", range "1 to 255 of IPv4 or 1 to 90 of IPv6",
        "The virtual addresses, of one family, the same on every node. Without a prefix length it is /32 or /128. Of IPv6 the first is \
         link-local, for instance `fe80::33/64`.",
        source "RFC 9568 §5.2.9; keepalived: `virtual_ipaddress`";
    "vrrp.instances.NAME.per_node" "mapping by node", default "none", range "at most 64 nodes",
        "What differs between the nodes: any key of an instance but this one, under the node's name.", source "";
    "vrrp.instances.NAME.per_node.NODE" "mapping", default "", range "", "The keys that differ on this node.", source "";
    "services" "mapping by name", default "none", range "at most 10000", "The services: pools of real servers behind virtual addresses.",
        source "ip_vs; keepalived: `virtual_server`";
    "services.NAME" "mapping", default "", range "", "One pool behind one or more listening addresses.", source "";
    "services.NAME.listen" "text or list", default "required", range "1 to 256 of `tcp|udp|sctp ADDRESS:PORT`",
        "Where the service listens; all of one address family. Each is a virtual service of the kernel with the same servers.",
        source "ipvsadm: `-t`, `-u`";
    "services.NAME.scheduler" "text or mapping", default "`wlc`", range "rr wrr lc wlc sed nq sh dh mh lblc lblcr fo ovf twos",
        "How a server is chosen for a new connection.", source "ipvsadm: `-s`; keepalived: `lvs_sched`";
    "services.NAME.scheduler.name" "text", default "required in the mapping", range "as above", "The scheduler, where it has flags.", source "";
    "services.NAME.scheduler.flags" "list of words", default "none", range "`fallback`, `port` (of sh and mh)",
        "`fallback`: another server takes the share of one that is down or drained; required with sh and mh. `port`: the client's \
         port takes part in the choice, so that one client's connections are spread.",
        source "IP_VS_SVC_F_SCHED1, IP_VS_SVC_F_SCHED2; ipvsadm: `-b`";
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
    "services.NAME.persistence.prefix" "integer", default "32 of IPv4, 128 of IPv6", range "1 to 32, 1 to 128",
        "How many leading bits of clients' addresses are one client.", source "ipvsadm: `-M`; keepalived: `persistence_granularity`";
    "services.NAME.check" "mapping", default "none: servers are always up", range "one of `tcp`, `http`, `exec`",
        "The check of every server that has none of its own: what is tried, and beside it when. `check` stands at a service, at a \
         real server, and in the list `checks`.",
        source "keepalived: `TCP_CHECK`, `HTTP_GET`, `MISC_CHECK`";
    "services.NAME.check.tcp" "mapping", default "", range "", "Connects and closes.", source "keepalived: `TCP_CHECK`";
    "services.NAME.check.tcp.port" "integer", default "the server's port", range "1 to 65535", "Another port than the server's.", source "keepalived: `connect_port`";
    "services.NAME.check.http" "mapping", default "", range "", "Makes an HTTP/1.1 GET request, without TLS.", source "keepalived: `HTTP_GET`";
    "services.NAME.check.http.path" "text", default "`/`", range "begins with `/`, at most 2048 visible ASCII characters",
        "The path and query that are asked for.", source "RFC 9112 §3.2.1; keepalived: `url path`";
    "services.NAME.check.http.host" "text", default "the server's address and port", range "1 to 255 visible ASCII characters",
        "The Host header.", source "RFC 9110 §7.2; keepalived: `virtualhost`";
    "services.NAME.check.http.port" "integer", default "the server's port", range "1 to 65535", "Another port than the server's.", source "keepalived: `connect_port`";
    "services.NAME.check.http.expect" "status, range or list", default "`200-299`", range "100 to 599",
        "The statuses that pass: `200`, `\"200-299\"`, or a list of these.", source "RFC 9110 §15; keepalived: `status_code`";
    "services.NAME.check.exec" "mapping", default "", range "",
        "Runs a command without a shell, as `daemon.scripts.user`, in a clean environment. Exit 0 passes.", source "keepalived: `MISC_CHECK`";
    "services.NAME.check.exec.command" "list of text", default "required", range "an absolute path and at most 255 arguments",
        "The program and its arguments.", source "keepalived: `misc_path`";
    "services.NAME.check.interval" "duration", default "`2s`", range "10ms to 1h", "From the start of one run to the start of the next.",
        source "keepalived: `delay_loop`; HAProxy: `inter`";
    "services.NAME.check.timeout" "duration", default "`1s` (exec: `daemon.scripts.timeout`), at most half of the interval", range "1ms up to the interval",
        "A run that takes longer has failed.", source "keepalived: `connect_timeout`; HAProxy: `timeout check`";
    "services.NAME.check.rise" "integer", default "2", range "1 to 255", "So many passes in a row bring a server up.", source "HAProxy: `rise`";
    "services.NAME.check.fall" "integer", default "3", range "1 to 255", "So many failures in a row take a server down.", source "HAProxy: `fall`; keepalived: `retry` + 1";
    "services.NAME.checks" "list", default "none", range "at most 16", "Several checks, each as under `check`; all must pass. Excludes `check`.", source "";
    "services.NAME.real_servers" "mapping by name", default "none", range "at most 10000", "The servers. A pool may be empty: `holdfast server add` fills it at run time.",
        source "keepalived: `real_server`";
    "services.NAME.real_servers.NAME" "address:port or mapping", default "", range "", "One server; the short form is its address.", source "";
    "services.NAME.real_servers.NAME.address" "address:port", default "required", range "a unicast address",
        "Where it listens. Under `direct` and `tunnel` the port is the service's and may be left out.", source "ipvsadm: `-r`";
    "services.NAME.real_servers.NAME.weight" "integer", default "1", range "0 to 2147483647",
        "Its share of new connections against the other servers'. 0: no new ones, existing ones stay.", source "IPVS_DEST_ATTR_WEIGHT; keepalived: `weight`";
    "services.NAME.real_servers.NAME.check" "mapping", default "the service's", range "", "Its own check instead of the service's.", source "";
    "services.NAME.real_servers.NAME.checks" "list", default "the service's", range "at most 16", "Its own checks instead of the service's; an empty list: none.", source "";
    "ipvs" "mapping", default "all defaults", range "", "How the kernel's table is treated.", source "";
    "ipvs.on_stop" "word", default "`keep`", range "`keep`, `remove`",
        "Whether our services stay and forward when the daemon stops.", source "keepalived: `lvs_flush_on_stop`, `-I`";
    "ipvs.poll" "duration", default "`5s`", range "10ms to 1h",
        "How often the kernel's table is compared with what it should be. The kernel reports no changes by itself.", source "";
}

/// Words of keepalived's and ipvsadm's for keys of ours.
const SYNONYMS: &[(&str, &str)] = &[
    ("virtual_router_id", "vrid"),
    ("advert_int", "interval"),
    ("virtual_ipaddress", "addresses"),
    ("vip", "addresses"),
    ("address", "addresses"),
    ("nopreempt", "preempt"),
    ("lb_algo", "scheduler"),
    ("lvs_sched", "scheduler"),
    ("lb_kind", "forward"),
    ("lvs_method", "forward"),
    ("real_server", "real_servers"),
    ("servers", "real_servers"),
    ("delay_loop", "interval"),
    ("connect_timeout", "timeout"),
    ("connect_port", "port"),
    ("virtualhost", "host"),
    ("status_code", "expect"),
    ("persistence_timeout", "persistence"),
    ("virtual_server", "services"),
    ("vrrp_instance", "vrrp"),
];

/// The keys that a mapping at `pattern` has: `priority` and others at `vrrp.instances.NAME`; of the root for an empty one.
pub(crate) fn children(pattern: &str) -> impl Iterator<Item = &'static str> + Clone {
    // A node overrides any key of the instance but the overrides themselves.
    let (pattern, left_out) = match pattern.strip_suffix(".per_node.NODE") {
        Some(instance) => (instance, "per_node"),
        None => (pattern, ""),
    };
    KEYS.iter().filter_map(move |key| match key.path.rsplit_once('.') {
        Some((parent, last)) => (parent == pattern && last != left_out).then_some(last),
        None => pattern.is_empty().then_some(key.path),
    })
}

/// The key of `pattern` that a user who wrote `word` may mean.
pub(crate) fn meant(pattern: &str, word: &str) -> Option<&'static str> {
    let synonym = SYNONYMS.iter().find(|(foreign, _)| *foreign == word).map(|(_, ours)| *ours);
    synonym
        .and_then(|ours| children(pattern).find(|child| *child == ours))
        .or_else(|| suggest::nearest(word, children(pattern)))
}

/// The mapping that has a key `word`, when there is exactly one.
pub(crate) fn parent_of(word: &str) -> Option<&'static str> {
    let mut parents = KEYS.iter().filter_map(|key| {
        key.path.rsplit_once('.').filter(|(_, last)| *last == word).map(|(parent, _)| parent)
    });
    parents.next().filter(|_| parents.next().is_none())
}

/// There is no key and no code of this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no key and no code `{topic}`{}", self.hint())]
pub struct UnknownTopic {
    topic: String,
    nearest: Option<&'static str>,
}

impl UnknownTopic {
    fn hint(&self) -> String {
        self.nearest.map_or_else(String::new, |nearest| format!("; did you mean `{nearest}`?"))
    }
}

/// The reference of a key or a code: what `holdfast explain TOPIC` prints. A key is named by its path, with real names
/// or with NAME in it (`services.web.listen`), or by the end of its path (`listen`); all that match are explained.
///
/// # Errors
/// Neither a key nor a code has this name; the error suggests the nearest one.
pub fn explain(topic: &str) -> Result<String, UnknownTopic> {
    if let Some(code) = Code::find(topic) {
        return Ok(code.explain());
    }
    let found: Vec<_> = KEYS.iter().filter(|key| key.matches(topic)).map(Key::explain).collect();
    if !found.is_empty() {
        return Ok(found.join("\n"));
    }
    let last_words = KEYS.iter().filter_map(|key| key.path.rsplit('.').next());
    let codes = Code::ALL.iter().map(|code| code.as_str());
    let last = topic.rsplit('.').next().unwrap_or(topic);
    Err(UnknownTopic {
        topic: topic.to_owned(),
        nearest: suggest::nearest(last, last_words.chain(codes)),
    })
}

impl Key {
    /// Whether `topic` is this key's path, with any name in the place of a word in capitals, or the end of it.
    fn matches(&self, topic: &str) -> bool {
        let pattern: Vec<_> = self.path.split('.').collect();
        let words: Vec<_> = topic.split('.').collect();
        let Some(skipped) = pattern.len().checked_sub(words.len()) else { return false };
        let name = |word: &str| word.chars().all(|c| c.is_ascii_uppercase());
        let agree = |(part, word): (&&str, &&str)| {
            part == word || name(part) && (words.len() > 1 && !word.is_empty())
        };
        let tail = pattern.iter().skip(skipped);
        let ends_alike = pattern
            .last()
            .zip(words.last())
            .is_some_and(|(part, word)| part == word || skipped == 0 && name(part));
        ends_alike && tail.zip(&words).all(agree)
    }

    /// The key for a reader at a terminal.
    pub fn explain(&self) -> String {
        let mut text = format!("{} ({})\n  {}\n", self.path, self.kind, self.text);
        for (title, value) in
            [("default", self.default), ("values", self.range), ("source", self.source)]
        {
            if !value.is_empty() {
                text.push_str(&format!("  {title}: {value}\n"));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_but_those_at_the_top_has_a_parent_in_the_table() {
        for key in KEYS {
            if let Some((parent, _)) = key.path.rsplit_once('.') {
                assert!(KEYS.iter().any(|key| key.path == parent), "{parent} of {}", key.path);
            }
        }
    }

    #[test]
    fn explain_finds_keys_by_real_path_by_pattern_and_by_last_word() {
        for topic in ["vrrp.instances.edge.vrid", "vrrp.instances.NAME.vrid", "vrid"] {
            let text = explain(topic).unwrap();
            assert!(text.starts_with("vrrp.instances.NAME.vrid (integer)"), "{topic}: {text}");
            assert_eq!(text.lines().filter(|line| line.ends_with("(integer)")).count(), 1);
        }
        assert!(explain("port").unwrap().matches("\n\n").count() >= 2, "every key that ends in it");
        assert!(explain("hf0201").unwrap().starts_with("HF0201 (error)"));
        let error = explain("priorty").unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no key and no code `priorty`; did you mean `priority`?"
        );
    }
}
