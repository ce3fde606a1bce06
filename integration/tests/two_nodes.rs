//! The API between nodes: certificates by the documentation's commands, what each sees of the other, and who is refused with which
//! sentence.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holdfast_control::PeerNode;
use holdfast_integration::Director;
use holdfast_testkit::lab::{Lab, Node, Output, Topology, wait_until};
use nix::sys::signal::Signal;

/// Nothing here takes longer.
const LIMIT: Duration = Duration::from_secs(60);

const DOCUMENT: &str = include_str!("../../docs/pair.md");

/// Makes the certificates by the three commands of docs/pair.md, and gives each node its own.
fn certificates(lab: &Lab) -> Result<PathBuf> {
    let folder = lab.folder().join("authority");
    fs::create_dir_all(&folder)?;
    let commands = DOCUMENT.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next());
    let commands = commands.context("the commands of docs/pair.md")?;
    ensure!(commands.lines().count() == 3, "three commands: {commands}");
    shell(lab.lb1(), &folder, commands)?;
    for node in [lab.lb1(), lab.lb2()] {
        give(node, &folder, node.name(), node.name())?;
    }
    Ok(folder)
}

fn shell(node: &Node, folder: &Path, script: &str) -> Result<()> {
    node.sh(&format!("set -e; cd {}; {script}", folder.display())).map(drop)
}

/// Gives `node` these files of `folder` as its certificate and key.
fn give(node: &Node, folder: &Path, certificate: &str, key: &str) -> Result<()> {
    let own = node.folder().join("pair");
    fs::create_dir_all(&own)?;
    fs::copy(folder.join("ca.pem"), own.join("ca.pem"))?;
    fs::copy(folder.join(format!("{certificate}.pem")), own.join("node.pem"))?;
    fs::copy(folder.join(format!("{key}.key")), own.join("node.key"))?;
    Ok(())
}

/// A certificate that ended in 2021, and is good but for that.
fn expired(lab: &Lab, folder: &Path) -> Result<()> {
    let config = "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\npolicy=p\ncopy_extensions=copy\n[p]\ncommonName=supplied\n";
    fs::write(folder.join("ca.cnf"), config)?;
    fs::write(folder.join("index.txt"), "")?;
    shell(
        lab.lb1(),
        folder,
        "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=lb2 -addext subjectAltName=DNS:lb2 -keyout old.key -out old.csr
         openssl ca -batch -create_serial -config ca.cnf -startdate 20200101000000Z -enddate 20210101000000Z -cert ca.pem -keyfile ca.key -in old.csr -out old.pem -notext",
    )
}

fn config(node: &Node, nodes: [IpAddr; 2], more: &str, instance: &str) -> String {
    let pair = node.folder().join("pair");
    let [one, two] = nodes.map(|address| SocketAddr::new(address, 9651));
    format!(
        "daemon:
  pair:
    nodes: {{lb1: \"{one}\", lb2: \"{two}\"}}
    certificate: {0}/node.pem
    key: {0}/node.key
    ca: {0}/ca.pem
    interval: 1s
{more}
vrrp:
  instances:
    edge:
      interface: eth0
      vrid: 51
      interval: 200ms
      {instance}
",
        pair.display()
    )
}

const SAME: &str = "addresses: [10.77.0.10/24]";

fn ipv4(lab: &Lab) -> [IpAddr; 2] {
    [lab.lb1().ip4().into(), lab.lb2().ip4().into()]
}

fn ipv6(lab: &Lab) -> [IpAddr; 2] {
    [lab.lb1().ip6().into(), lab.lb2().ip6().into()]
}

/// The two, with another priority each in files of their own: that is no difference.
fn start(lab: &Lab) -> Result<(Director, Director)> {
    let of = |node, priority: &str| {
        config(node, ipv4(lab), "", &format!("{SAME}\n      priority: {priority}"))
    };
    let lb1 = Director::start(lab.lb1(), &of(lab.lb1(), "150"))?;
    let lb2 = Director::start(lab.lb2(), &of(lab.lb2(), "100"))?;
    Ok((lb1, lb2))
}

/// Waits until `director` sees the other node so.
fn wait_peer(
    director: &Director,
    state: &str,
    is_so: impl Fn(&PeerNode) -> bool,
) -> Result<PeerNode> {
    let mut last = None;
    wait_until(LIMIT, &format!("{}: the other node is {state}", director.node().name()), || {
        last = director.status().ok()?.nodes.pop();
        last.clone().filter(|peer| peer.state == state && is_so(peer))
    })
    .with_context(|| format!("{last:#?}\n{}", director.process().log_tail()))
}

fn wait_unreachable(director: &Director, says: &str) -> Result<()> {
    let says = |peer: &PeerNode| peer.error.as_ref().is_some_and(|error| error.contains(says));
    wait_peer(director, "unreachable", says).map(drop)
}

fn wait_equal(directors: [&Director; 2]) -> Result<()> {
    for director in directors {
        wait_peer(director, "equal", |_| true)?;
    }
    Ok(())
}

#[test]
fn each_sees_whether_the_other_has_the_same_over_both_families() -> Result<()> {
    let lab = Lab::with(Topology::one_arm().webs(0))?;
    certificates(&lab)?;
    let (lb1, mut lb2) = start(&lab)?;
    wait_equal([&lb1, &lb2])?;
    let seen = wait_peer(&lb1, "equal", |_| true)?;
    assert_eq!(seen.name, "lb2");
    assert_eq!(seen.version.as_deref(), Some(lb1.status()?.daemon.version.as_str()));

    // Another address is a difference, by name, on both sides, and what to do is said.
    let other = config(lab.lb2(), ipv4(&lab), "", "addresses: [10.77.0.10/24, 10.77.0.11/24]");
    lb2.reload(&other)?;
    for (director, name) in [(&lb1, "lb2"), (&lb2, "lb1")] {
        let found = wait_peer(director, "differs", |peer| !peer.differs.is_empty())?.differs;
        assert_eq!((found.len(), found[0].part.as_str(), found[0].count), (1, "vrrp", 1));
        assert_eq!(found[0].names, ["edge"]);
        let said = director.cli(&["status"])?;
        let line =
            format!("! {name} differs in vrrp (edge): give both the same file, and reload both");
        ensure!(said.contains(&line), "{said}");
    }
    ensure!(lb1.cli(&["events"])?.contains("config.peer_differs"), "{}", lb1.cli(&["events"])?);
    let metrics = lb1.node().sh(&format!(
        "curl -sS --unix-socket {} http://holdfast/metrics",
        lb1.socket().display()
    ))?;
    for line in [
        "holdfast_node_up{node=\"lb2\"} 1",
        "holdfast_node_differs{node=\"lb2\",part=\"vrrp\"} 1",
        "holdfast_node_differs{node=\"lb2\",part=\"services\"} 0",
    ] {
        ensure!(metrics.stdout.contains(line), "{line} in\n{}", metrics.stdout);
    }

    // The other family, by a reload: the listener moves, and both are equal again.
    for director in [&lb1, &lb2] {
        director.reload(&config(director.node(), ipv6(&lab), "", SAME))?;
    }
    wait_equal([&lb1, &lb2])?;
    ensure!(wait_peer(&lb1, "equal", |_| true)?.address.starts_with('['), "IPv6");

    // A node that hangs is given up, and holds nothing up meanwhile.
    lb2.process().kill(Signal::SIGSTOP)?;
    wait_unreachable(&lb1, "no answer within 8s")?;
    lb2.process().kill(Signal::SIGCONT)?;
    wait_equal([&lb1, &lb2])?;

    // A node that is down is said to be, and costs nothing.
    lb2.stop()?;
    wait_unreachable(&lb1, "does holdfastd run there, with `daemon.pair`?")?;
    let said = lb1.cli(&["status"])?;
    ensure!(said.contains("! lb2 can't be asked what it has: connect to lb2 ("), "{said}");
    lb2.restart()?;
    wait_equal([&lb1, &lb2])?;

    // Without the key there is no pair.
    lb1.reload("vrrp: {instances: {edge: {interface: eth0, vrid: 51, interval: 200ms, addresses: [10.77.0.10/24]}}}\n",
    )?;
    ensure!(lb1.status()?.nodes.is_empty(), "nobody is named");
    wait_unreachable(&lb2, "connect to lb1")
}

#[test]
fn certificates_are_read_again_by_a_reload_and_bad_ones_are_refused_with_the_reason() -> Result<()>
{
    let lab = Lab::with(Topology::one_arm().webs(0))?;
    let folder = certificates(&lab)?;
    expired(&lab, &folder)?;
    let stranger = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 9 -subj /CN=lb2 -addext subjectAltName=DNS:lb2 -addext basicConstraints=critical,CA:FALSE -keyout self.key -out self.pem";
    shell(lab.lb1(), &folder, stranger)?;
    let (lb1, lb2) = start(&lab)?;
    wait_equal([&lb1, &lb2])?;

    // What can't be one of lb2 is refused whole, with its code, and what runs goes on.
    let refused = |certificate: &str, key: &str, says: &str| -> Result<()> {
        give(lab.lb2(), &folder, certificate, key)?;
        let (code, _, stderr) = lb2.try_cli(&["reload"])?;
        ensure!(
            code == 78 && stderr.contains("HF0731") && stderr.contains(says),
            "{code} {stderr}"
        );
        Ok(())
    };
    refused("self", "self", "was not issued by an authority of")?;
    refused("lb1", "lb1", "is not of node `lb2`: its subjectAltName has to have `DNS:lb2`")?;
    refused("lb2", "lb1", "don't go together")?;
    give(lab.lb2(), &folder, "lb2", "lb2")?;
    lab.lb2().sh(&format!("chmod 0644 {}/pair/node.key", lab.lb2().folder().display()))?;
    let (code, _, stderr) = lb2.try_cli(&["reload"])?;
    ensure!(code == 78 && stderr.contains("everybody can read the key"), "{code} {stderr}");
    lab.lb2().sh(&format!("chmod 0600 {}/pair/node.key", lab.lb2().folder().display()))?;
    wait_equal([&lb1, &lb2])?;

    // One that has expired is taken with a warning; each side says what is wrong with it. Nothing else depends on it.
    give(lab.lb2(), &folder, "old", "old")?;
    lb2.cli(&["reload"])?;
    wait_unreachable(&lb1, "its certificate has expired")?;
    wait_unreachable(&lb2, "it refuses this node's certificate: it has expired")?;
    give(lab.lb2(), &folder, "lb2", "lb2")?;
    lb2.cli(&["reload"])?;
    wait_equal([&lb1, &lb2])?;

    // Other authorities on either side: neither believes the other.
    fs::create_dir_all(folder.join("other"))?;
    let commands = DOCUMENT.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next());
    shell(lab.lb1(), &folder.join("other"), commands.context("commands")?)?;
    give(lab.lb2(), &folder.join("other"), "lb2", "lb2")?;
    lb2.cli(&["reload"])?;
    wait_unreachable(&lb1, "was not issued by the authority that `daemon.pair.ca` has here")?;
    wait_unreachable(&lb2, "was not issued by the authority that `daemon.pair.ca` has here")
}

/// What curl on lb2 gets from lb1's API between nodes.
fn curl(lab: &Lab, words: &str) -> Result<Output> {
    let [one, _] = ipv4(lab);
    lab.lb2().try_run([
        "sh",
        "-c",
        &format!(
            "cd {}; curl -sS -m 20 --resolve lb1:9651:{one} --cacert ca.pem {words}",
            lab.folder().join("authority").display()
        ),
    ])
}

#[test]
fn who_is_no_node_is_refused_and_a_node_may_do_what_it_is_let() -> Result<()> {
    let lab = Lab::with(Topology::one_arm().webs(0))?;
    let folder = certificates(&lab)?;
    expired(&lab, &folder)?;
    shell(
        lab.lb1(),
        &folder,
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 9 -subj /CN=lb2 -addext subjectAltName=DNS:lb2 -addext basicConstraints=critical,CA:FALSE -keyout self.key -out self.pem
         openssl req -x509 -CA ca.pem -CAkey ca.key -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 9 -subj /CN=lb3 -addext subjectAltName=DNS:lb3 -addext basicConstraints=critical,CA:FALSE -keyout lb3.key -out lb3.pem",
    )?;
    let (lb1, _lb2) = start(&lab)?;
    let url = "https://lb1:9651/v1/status";

    // The log says why, once a second at most: so it is asked until it has.
    for (words, says) in [
        (url.to_owned(), "it showed no certificate"),
        (format!("--cert self.pem --key self.key {url}"), "was not issued by the authority"),
        (format!("--cert old.pem --key old.key {url}"), "its certificate has expired"),
        (format!("--cert lb2.pem --key lb2.key --tls-max 1.2 {url}"), "it does not speak TLS 1.3"),
        ("http://lb1:9651/v1/status".to_owned(), "it does not speak TLS"),
    ] {
        wait_until(LIMIT, &format!("the log to say that {says}"), || {
            let refused = curl(&lab, &words).ok().is_some_and(|output| output.code != 0);
            (refused && lb1.process().log().contains(says)).then_some(())
        })
        .with_context(|| format!("{:?}\n{}", curl(&lab, &words), lb1.process().log_tail()))?;
    }

    // Of the authority, and of no node.
    let output = curl(&lab, &format!("-w '%{{http_code}}' --cert lb3.pem --key lb3.key {url}"))?;
    ensure!(output.stdout.ends_with("403") && output.stdout.contains("not_a_node"), "{output:?}");

    // The other node reads the state and nothing more of the daemon.
    let node = |words: &str| -> Result<String> {
        let words = format!("-o answer -w '%{{http_code}}' --cert lb2.pem --key lb2.key {words}");
        Ok(curl(&lab, &words)?.stdout)
    };
    for (words, status) in [
        (url, "200"),
        ("https://lb1:9651/v1/fingerprint?names=true", "200"),
        ("https://lb1:9651/v1/changes", "200"),
        ("-X POST https://lb1:9651/v1/services/none/servers/x/drain", "404"),
        ("-X POST https://lb1:9651/v1/reload", "403"),
        ("https://lb1:9651/v1/export", "403"),
        ("-X POST https://lb1:9651/v1/vrrp/edge/release", "403"),
        ("https://lb1:9651/v1/nodes", "403"),
        ("https://lb1:9651/v1/nodes/lb2/v1/status", "403"),
    ] {
        assert_eq!(node(words)?, status, "{words}");
    }

    // Whoever says nothing is dropped, and so is garbage; meanwhile others are served.
    let address = SocketAddr::new(ipv4(&lab)[0], 9651);
    let connect = || -> Result<TcpStream> {
        let stream = lab.lb2().enter(|| TcpStream::connect(address))??;
        stream.set_read_timeout(Some(LIMIT))?;
        Ok(stream)
    };
    let mut silent = connect()?;
    let mut garbage = connect()?;
    garbage.write_all(&[0x16, 0x03, 0x01, 0xff, 0xff].repeat(100))?;
    drop(garbage.read_to_end(&mut Vec::new()));
    assert_eq!(node(url)?, "200");
    let mut said = Vec::new();
    silent.read_to_end(&mut said).context("it is closed, not reset")?;
    ensure!(said.is_empty(), "{said:?}");
    let ask = format!("curl -sS --unix-socket {} http://holdfast/metrics", lb1.socket().display());
    for result in ["late_handshake", "not_a_node"] {
        let begin = format!("holdfast_api_connections_total{{result=\"{result}\"}} ");
        wait_until(LIMIT, &format!("{begin}to be counted"), || {
            let metrics = lb1.node().sh(&ask).ok()?.stdout;
            let count = metrics.lines().find_map(|line| line.strip_prefix(&begin))?;
            (count != "0").then_some(())
        })?;
    }
    Ok(())
}

/// The key may be a credential of the service manager's, and then nobody but the daemon has to have it.
#[test]
fn the_key_is_taken_from_a_credential_and_missed_where_it_was_not_given() -> Result<()> {
    let lab = Lab::with(Topology::one_arm().webs(0))?;
    certificates(&lab)?;
    let folder = lab.lb1().folder().join("pair");
    let file = format!("key: {}/node.key", folder.display());
    let config = config(lab.lb1(), ipv4(&lab), "", SAME).replace(&file, "key_credential: node.key");
    let refused = Director::refusal(lab.lb1(), &config, &[])?;
    ensure!(refused.code == 1 && refused.stderr.contains("`LoadCredential=`"), "{refused:?}");
    let given = format!("CREDENTIALS_DIRECTORY={}", folder.display());
    let lb1 = Director::start_by(lab.lb1(), &config, &["env".into(), given.into()])?;
    assert_eq!(lb1.status()?.nodes.len(), 1);
    let address = SocketAddr::new(ipv4(&lab)[0], 9651);
    lab.lb2().enter(|| TcpStream::connect(address))?.context("it listens")?;
    Ok(())
}
