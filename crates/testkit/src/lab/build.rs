//! Lays the namespaces, bridges and addresses out, with as few calls of `ip` as possible: in the guest each costs some
//! hundredths of a second.

use std::{
    fs,
    io::Write,
    net::{Ipv4Addr, Ipv6Addr},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};

use super::{
    INNER_VIP4, INNER_VIP6, Topology,
    node::{Addresses, Node},
    wait_until,
};

/// The interface index of `eth0`. The kernel tells a change of carrier at once only for a link whose two ends have
/// different indices, and takes up to a second otherwise; ports on the bridges count from 2.
const FIRST_INDEX: usize = 1000;

/// How long the kernel may take to bring every link up.
const CARRIER_LIMIT: Duration = Duration::from_secs(60);

/// What every node's kernel is told before it has an interface.
const SYSCTLS: &[(&str, &str)] = &[
    // Addresses work at once.
    ("net/ipv6/conf/default/accept_dad", "0"),
    ("net/ipv6/conf/default/dad_transmits", "0"),
    // IPv6 addresses survive `ip link set down`, as IPv4 ones do.
    ("net/ipv6/conf/default/keep_addr_on_down", "1"),
    ("net/ipv6/conf/default/router_solicitations", "0"),
    // Answers may come another way than the question (direct routing).
    ("net/ipv4/conf/all/rp_filter", "0"),
    ("net/ipv4/conf/default/rp_filter", "0"),
];

/// What directors are told besides.
const DIRECTOR_SYSCTLS: &[(&str, &str)] = &[
    ("net/ipv4/ip_forward", "1"),
    ("net/ipv6/conf/all/forwarding", "1"),
    // On one network a router would tell clients to go to the real server instead.
    ("net/ipv4/conf/all/send_redirects", "0"),
    ("net/ipv4/conf/default/send_redirects", "0"),
];

/// The namespace that holds the bridges.
pub(super) fn bridge_namespace(id: &str) -> String {
    format!("{id}-lan")
}

/// The nodes of a topology, not yet built, each with a folder.
pub(super) fn nodes(id: &str, folder: &Path, topology: Topology) -> Result<Vec<Node>> {
    let mut nodes = Vec::new();
    let mut add = |name: String, outer: Option<u8>, inner: Option<u8>| -> Result<()> {
        let folder = folder.join(&name);
        fs::create_dir(&folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        let outer = outer.map(|n| addresses(0x77, n));
        let inner = inner.map(|n| addresses(0x78, n));
        let (first, second) = match (outer, inner) {
            (Some(outer), inner) => (outer, inner),
            (None, Some(inner)) => (inner, None),
            (None, None) => bail!("the node {name} is on no network"),
        };
        nodes.push(Node::new(format!("{id}-{name}"), name, folder, first, second));
        Ok(())
    };
    add("client".to_owned(), Some(1), None)?;
    for (name, number) in [("lb1", 11), ("lb2", 12)] {
        add(name.to_owned(), Some(number), topology.inner.then_some(number))?;
    }
    for web in 1..=topology.webs {
        let number = Some(20 + web);
        let (outer, inner) = if topology.inner { (None, number) } else { (number, None) };
        add(format!("web{web}"), outer, inner)?;
    }
    Ok(nodes)
}

/// The addresses with this last part on network `net`: 0x77 for 10.77.0.0/24, 0x78 for 10.78.0.0/24.
fn addresses(net: u8, number: u8) -> Addresses {
    let spelled = u16::from(number / 10) << 4 | u16::from(number % 10);
    Addresses {
        ip4: Ipv4Addr::new(10, (net >> 4) * 10 + (net & 0xf), 0, number),
        ip6: Ipv6Addr::new(0xfd00, u16::from(net), 0, 0, 0, 0, 0, spelled),
        // Locally administered, and readable: 02:00:00:77:00:11 is lb1.
        mac: format!("02:00:00:{net:02x}:00:{spelled:02x}"),
    }
}

/// Makes the namespaces and everything in them.
pub(super) fn build(id: &str, nodes: &[Node], topology: Topology) -> Result<()> {
    let lan = bridge_namespace(id);
    let mut namespaces = format!("netns add {lan}\n");
    for node in nodes {
        push(&mut namespaces, format_args!("netns add {}", node.namespace()));
    }
    feed(&["ip", "-batch", "-"], &namespaces)?;
    for node in nodes {
        let is_web = node.name().starts_with("web");
        let script = node_script(node, &lan, topology.inner && is_web);
        feed(&["ip", "netns", "exec", node.namespace(), "sh", "-es"], &script)?;
    }
    feed(&["ip", "-n", &lan, "-batch", "-"], &bridges(nodes, topology))?;
    wait_until(CARRIER_LIMIT, "the lab's links to come up", || {
        let namespaces = nodes.iter().map(Node::namespace).chain([lan.as_str()]);
        namespaces.into_iter().all(links_are_up).then_some(())
    })
}

/// Whether every link of a namespace can carry packets. Those that the kernel puts into each namespace by itself (`lo`, and
/// `tunl0`, `gretap0` and others where their modules are loaded, which are down) don't count.
fn links_are_up(namespace: &str) -> bool {
    let links = Command::new("ip").args(["-n", namespace, "-oneline", "link", "show"]).output();
    links.is_ok_and(|links| {
        let text = String::from_utf8_lossy(&links.stdout);
        text.lines().all(|link| {
            let flags: Vec<_> = link.split(['<', '>']).nth(1).unwrap_or("UP").split(',').collect();
            let by_kernel = flags.contains(&"LOOPBACK") || !flags.contains(&"UP");
            by_kernel || link.contains(" state UP ")
        })
    })
}

/// What a node runs to set itself up. The far ends of its links appear in the bridges' namespace.
fn node_script(node: &Node, lan: &str, by_inner_vip: bool) -> String {
    let mut script = String::new();
    let director = if node.name().starts_with("lb") { DIRECTOR_SYSCTLS } else { &[] };
    for (key, value) in SYSCTLS.iter().chain(director) {
        push(&mut script, format_args!("echo {value} >/proc/sys/{key}"));
    }
    script.push_str("ip -batch - <<'END'\nlink set lo up\n");
    let links = [Some(node.first()), node.second()].into_iter().flatten();
    for (link, addresses) in links.enumerate() {
        let port = port_name(node, link);
        let index = FIRST_INDEX + link;
        let Addresses { ip4, ip6, mac } = addresses;
        push(
            &mut script,
            format_args!(
                "link add eth{link} index {index} address {mac} type veth peer name {port} netns {lan}\n\
                 link set eth{link} up\n\
                 address add {ip4}/24 dev eth{link}\n\
                 address add {ip6}/64 dev eth{link} nodad"
            ),
        );
    }
    if by_inner_vip {
        push(&mut script, format_args!("route add default via {INNER_VIP4}"));
        push(&mut script, format_args!("route add default via {INNER_VIP6}"));
    }
    script.push_str("END\n");
    script
}

/// The bridges' side.
fn bridges(nodes: &[Node], topology: Topology) -> String {
    let mut batch = String::new();
    for bridge in ["br0", "br1"].iter().take(1 + usize::from(topology.inner)) {
        push(
            &mut batch,
            format_args!("link add {bridge} type bridge mcast_snooping 0 stp_state 0"),
        );
        push(&mut batch, format_args!("link set {bridge} up"));
    }
    for node in nodes {
        let inner_only = topology.inner && node.name().starts_with("web");
        for link in 0..=usize::from(node.second().is_some()) {
            let bridge = usize::from(inner_only || link == 1);
            let port = port_name(node, link);
            push(&mut batch, format_args!("link set {port} master br{bridge} up"));
        }
    }
    batch
}

/// The bridge's end of a node's link: the node's name, with `-in` for the second one.
fn port_name(node: &Node, link: usize) -> String {
    if link == 0 { node.name().to_owned() } else { format!("{}-in", node.name()) }
}

fn push(text: &mut String, line: std::fmt::Arguments<'_>) {
    text.push_str(&line.to_string());
    text.push('\n');
}

/// Runs a command with `input` on its standard input.
fn feed(argv: &[&str], input: &str) -> Result<()> {
    let name = argv.join(" ");
    let (program, arguments) = argv.split_first().context("an empty command")?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {name}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that ends early says why on its standard error.
        drop(stdin.write_all(input.as_bytes()));
    }
    let output = child.wait_with_output().with_context(|| format!("cannot run {name}"))?;
    if !output.status.success() {
        bail!(
            "{name} failed: {}\nit was told:\n{input}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_are_spelled_alike() {
        let web3 = addresses(0x78, 23);
        assert_eq!(web3.ip4.to_string(), "10.78.0.23");
        assert_eq!(web3.ip6.to_string(), "fd00:78::23");
        assert_eq!(web3.mac, "02:00:00:78:00:23");
    }

    #[test]
    fn nat_webs_are_only_on_the_inner_network() {
        let folder = tempfile::tempdir().unwrap();
        let nodes = nodes("id", folder.path(), Topology::nat().webs(1)).unwrap();
        let names: Vec<_> = nodes.iter().map(Node::name).collect();
        assert_eq!(names, ["client", "lb1", "lb2", "web1"]);
        assert_eq!(nodes[3].ip4(), Ipv4Addr::new(10, 78, 0, 21));
        assert_eq!(nodes[1].inner4(), Some(Ipv4Addr::new(10, 78, 0, 11)));
        let batch = bridges(&nodes, Topology::nat());
        assert!(
            batch.contains("link set lb1 master br0 up\nlink set lb1-in master br1 up\n"),
            "{batch}"
        );
        assert!(batch.contains("link set web1 master br1 up\n"), "{batch}");
    }

    #[test]
    fn a_failed_command_shows_what_it_was_told() {
        let error = feed(&["sh", "-es"], "echo no >&2\nexit 3\n").unwrap_err().to_string();
        assert_eq!(error, "sh -es failed: no\nit was told:\necho no >&2\nexit 3\n");
    }
}
