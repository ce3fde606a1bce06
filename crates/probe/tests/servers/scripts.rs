//! The ready-made scripts of `examples/checks`, each against the server that it is for.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use holdfast_health::{Asked, Verdict};
use holdfast_probe::{Convention, Exec, Found, Probe};
use tempfile::TempDir;

use crate::server::{Folder, PATIENCE, Server, free_port, unprivileged};

/// The scripts where only root can write, as they are to be installed.
struct Scripts(TempDir);

impl Scripts {
    fn new() -> Self {
        let folder = tempfile::tempdir_in("/tmp").expect("a folder");
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/checks");
        for script in ["dns", "mysql-lag", "galera", "ldap", "smb", "load"] {
            let installed = Command::new("install")
                .args(["-D", "-o", "root", "-m", "0755"])
                .arg(examples.join(script))
                .arg(folder.path().join("checks").join(script))
                .status();
            assert!(installed.expect("install (coreutils) starts").success());
        }
        let folder_of_all = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(folder.path(), folder_of_all).expect("ours");
        Self(folder)
    }

    async fn run(&self, words: &[&str], server: SocketAddr) -> Found {
        let (script, words) = words.split_first().expect("a script's name");
        let weighs = *script == "load";
        let script = self.0.path().join("checks").join(script).display().to_string();
        let words = words.iter().map(ToString::to_string);
        let command = std::iter::once(script).chain(words).collect();
        let exec = Exec::new(command, "nobody", "service", "server", server);
        let convention = if weighs { Convention::Weight } else { Convention::Nagios };
        Probe::Exec(Exec { convention, ..exec }).find(PATIENCE).await
    }

    async fn finds(&self, words: &[&str], server: SocketAddr, verdict: Verdict, says: &str) {
        let Found { outcome, .. } = self.run(words, server).await;
        let sentence = &outcome.reason.sentence;
        assert_eq!(outcome.verdict, verdict, "{words:?}: {sentence}");
        assert!(sentence.contains(says), "{words:?}: {sentence}");
    }

    /// Waits until a script passes.
    async fn until_passes(&self, words: &[&str], server: SocketAddr) {
        self.until_finds(words, server, Verdict::Pass, "").await;
    }

    /// Waits until it finds this.
    async fn until_finds(&self, words: &[&str], server: SocketAddr, verdict: Verdict, says: &str) {
        let started = Instant::now();
        loop {
            let Found { outcome, .. } = self.run(words, server).await;
            if outcome.verdict == verdict && outcome.reason.sentence.contains(says) {
                return;
            }
            assert!(started.elapsed() < 6 * PATIENCE, "{words:?}: {}", outcome.reason);
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn local6(port: u16) -> SocketAddr {
    SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, port))
}

const PASS: Verdict = Verdict::Pass;
const FAIL: Verdict = Verdict::Fail;
const UNKNOWN: Verdict = Verdict::Inconclusive;

#[tokio::test]
async fn dns_asks_a_name_server() {
    let (scripts, port) = (Scripts::new(), free_port());
    let mut server = crate::names::unbound(port, "x");
    server.until_passes("{dns: {name: test}}", local(port)).await;
    scripts.finds(&["dns", "www.test"], local(port), PASS, "NOERROR 192.0.2.").await;
    scripts.finds(&["dns", "www.test", "A", "192.0.2.2"], local(port), PASS, "NOERROR").await;
    scripts.finds(&["dns", "test", "TXT", "\"v=spf1 -all\""], local(port), PASS, "-all").await;
    scripts.finds(&["dns", "test", "MX", "10 mail.test."], local(port), PASS, "10 mail").await;
    let other = ["dns", "www.test", "A", "192.0.2.9"];
    scripts.finds(&other, local(port), FAIL, "but not 192.0.2.9").await;
    scripts.finds(&["dns", "none.test"], local(port), FAIL, "NXDOMAIN").await;
    scripts.finds(&["dns", "www.test", "A", "192.0.2.2"], local6(port), PASS, "NOERROR").await;
    scripts.finds(&["dns", "x.refused"], local(port), FAIL, "REFUSED").await;
    scripts.finds(&["dns"], local(port), UNKNOWN, "usage").await;
    drop(server);
    scripts.finds(&["dns", "www.test"], local(port), FAIL, "no answer").await;
}

fn client(folder: &Folder, password: &str) -> PathBuf {
    folder.write("client.cnf", &format!("[client]\nuser=monitor\npassword={password}\n"))
}

#[tokio::test]
async fn mysql_lag_asks_a_replica() {
    let (scripts, first, second) = (Scripts::new(), free_port(), free_port());
    let users = "CREATE USER monitor IDENTIFIED BY 'open sesame';\n\
                 GRANT REPLICA MONITOR, REPLICATION SLAVE ON *.* TO monitor;\n";
    let link = format!(
        "{users}CHANGE MASTER 'west' TO MASTER_HOST='127.0.0.1', MASTER_PORT={first}, MASTER_USER='monitor', \
         MASTER_PASSWORD='open sesame', MASTER_CONNECT_RETRY=1, MASTER_USE_GTID=no;\nSTART SLAVE 'west';\n"
    );
    let primary =
        crate::databases::mariadb(first, Folder::new(), users, &["--server-id=1", "--log-bin=log"]);
    let options = ["--server-id=2", "--replicate-ignore-db=mysql", "--slave-skip-errors=all"];
    let _replica = crate::databases::mariadb(second, Folder::new(), &link, &options);
    let (folder, wrong) = (Folder::new(), Folder::new());
    let defaults = client(&folder, "open sesame").display().to_string();
    let refused = client(&wrong, "open barley").display().to_string();
    scripts.until_passes(&["mysql-lag", &defaults, "3600"], local(second)).await;
    scripts.finds(&["mysql-lag", &defaults, "3600"], local(second), PASS, " s behind").await;
    // A warning passes.
    scripts.finds(&["mysql-lag", &defaults, "3600", "0"], local(second), PASS, "status 1").await;
    scripts.finds(&["mysql-lag", &defaults, "0"], local(second), FAIL, " s behind").await;
    let nobody = "it replicates from nobody";
    scripts.finds(&["mysql-lag", &defaults, "30"], local(first), FAIL, nobody).await;
    scripts.finds(&["mysql-lag", &refused, "30"], local(second), FAIL, "Access denied").await;
    scripts.finds(&["mysql-lag", &defaults, "3600"], local6(second), PASS, " s behind").await;
    scripts.finds(&["mysql-lag", &defaults], local(second), UNKNOWN, "usage").await;
    scripts.finds(&["mysql-lag", &defaults, "ten"], local(second), UNKNOWN, "in seconds").await;
    // What this host lacks is no fault of a server.
    for words in [&["mysql-lag", "/nowhere.cnf", "30"][..], &["galera", "/nowhere.cnf"]] {
        scripts.finds(words, local(second), UNKNOWN, "can't be read by nobody").await;
    }
    scripts.finds(&["galera", &defaults], local(first), FAIL, "it is no node of Galera").await;
    drop(primary);
    let stands = "its replication stands: error reconnecting to master";
    scripts.until_finds(&["mysql-lag", &defaults, "3600"], local(second), FAIL, stands).await;
}

#[tokio::test]
async fn galera_asks_a_node_of_a_cluster() {
    let (scripts, port, group) = (Scripts::new(), free_port(), free_port());
    let users = "CREATE USER monitor IDENTIFIED BY 'open sesame';\n";
    let folder = Folder::new();
    let options = [
        "--wsrep-on=1",
        "--wsrep-provider=/usr/lib/galera/libgalera_smm.so",
        "--wsrep-cluster-address=gcomm://",
        "--wsrep-new-cluster",
        "--binlog-format=ROW",
        "--innodb-autoinc-lock-mode=2",
        "--wsrep-node-address=127.0.0.1",
        &format!(
            "--wsrep-provider-options=base_port={group};gmcast.listen_addr=tcp://127.0.0.1:{group};ist.recv_addr=127.0.0.1:{}",
            free_port()
        ),
    ];
    let _node = crate::databases::mariadb(port, folder, users, &options);
    let folder = Folder::new();
    let defaults = client(&folder, "open sesame").display().to_string();
    scripts.until_passes(&["galera", &defaults], local(port)).await;
    for server in [local(port), local6(port)] {
        scripts.finds(&["galera", &defaults], server, PASS, "Synced, Primary, ready ON").await;
    }
    // A node that stands apart, as one does that gives another its state.
    let apart = unprivileged("mariadb")
        .args([
            &format!("--defaults-file={defaults}"),
            "--host=127.0.0.1",
            &format!("--port={port}"),
            "--user=root",
            "--password=",
            "--protocol=tcp",
            "--execute=SET GLOBAL wsrep_desync=ON",
        ])
        .output()
        .expect("the client starts");
    assert!(apart.status.success(), "{}", String::from_utf8_lossy(&apart.stderr));
    scripts.finds(&["galera", &defaults], local(port), FAIL, "Donor/Desynced").await;
    scripts.finds(&["galera", &defaults, "donor"], local(port), PASS, "Donor/Desynced").await;
}

#[tokio::test]
async fn ldap_asks_a_directory() {
    let (scripts, port) = (Scripts::new(), free_port());
    let folder = Folder::new();
    let at = folder.path().display().to_string();
    let config = format!(
        "include /etc/ldap/schema/core.schema\npidfile {at}/pid\n\
         database ldif\nsuffix \"dc=example\"\ndirectory {at}\nrootdn \"cn=admin,dc=example\"\n"
    );
    let config = folder.write("slapd.conf", &config);
    let entries = folder.write(
        "entries.ldif",
        "dn: dc=example\nobjectClass: dcObject\nobjectClass: organization\no: example\ndc: example\n\n\
         dn: cn=web,dc=example\nobjectClass: organizationalRole\ncn: web\n\n\
         dn: cn=mail,dc=example\nobjectClass: organizationalRole\ncn: mail\n",
    );
    let added = unprivileged("slapadd").arg("-f").arg(&config).arg("-l").arg(entries).output();
    let added = added.expect("slapadd starts");
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    let mut command = unprivileged("slapd");
    let urls = format!("ldap://127.0.0.1:{port}/ ldap://[::1]:{port}/");
    command.args(["-d", "0", "-h", &urls, "-f"]).arg(config);
    let server = Server::start(command, folder);
    scripts.until_passes(&["ldap", "dc=example"], local(port)).await;
    for server in [local(port), local6(port)] {
        scripts.finds(&["ldap", "dc=example"], server, PASS, "dn: dc=example").await;
    }
    let many = ["ldap", "dc=example", "(objectClass=organizationalRole)"];
    scripts.finds(&many, local(port), PASS, "dn: cn=").await;
    let none = ["ldap", "dc=example", "(cn=nobody)"];
    scripts.finds(&none, local(port), FAIL, "nothing matches (cn=nobody)").await;
    scripts.finds(&["ldap", "dc=elsewhere"], local(port), FAIL, "").await;
    scripts.finds(&["ldap"], local(port), UNKNOWN, "usage").await;
    drop(server);
    scripts.finds(&["ldap", "dc=example"], local(port), FAIL, "Can't contact LDAP").await;
}

#[tokio::test]
async fn smb_asks_a_file_server() {
    let (scripts, port) = (Scripts::new(), free_port());
    // smbd changes its user for each client, so it is root's, on the loopback.
    let folder = tempfile::tempdir_in("/tmp").expect("a folder");
    let at = folder.path().display().to_string();
    let config = format!(
        "[global]\nserver role = standalone server\nmap to guest = Bad User\nguest account = nobody\nbind interfaces only = yes\n\
         interfaces = lo\nsmb ports = {port}\nload printers = no\ndisable spoolss = yes\nlog level = 0\nlock directory = {at}\nstate directory = {at}\n\
         cache directory = {at}\npid directory = {at}\nprivate dir = {at}\nncalrpc dir = {at}/ncalrpc\nlog file = {at}/log\n\
         [public]\npath = {at}\nguest ok = yes\nread only = yes\n"
    );
    let config_file = folder.path().join("smb.conf");
    std::fs::write(&config_file, config).expect("ours");
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig=KILL", "/usr/sbin/smbd", "--foreground", "--no-process-group"]);
    command.arg(format!("--configfile={}", config_file.display()));
    let server = Server::start(command, Folder::new());
    scripts.until_passes(&["smb"], local(port)).await;
    scripts.finds(&["smb"], local(port), PASS, " shares").await;
    for server in [local(port), local6(port)] {
        scripts.finds(&["smb", "public"], server, PASS, " shares").await;
    }
    scripts.finds(&["smb", "secret"], local(port), FAIL, "it has no share secret").await;
    drop(server);
    scripts.finds(&["smb"], local(port), FAIL, "").await;
}

/// A web server that has the text of a load average.
#[tokio::test]
async fn load_is_a_weight() {
    let (scripts, port) = (Scripts::new(), free_port());
    let folder = Folder::new();
    folder.write("idle", "0.00 0.01 0.05 1/123 4567\n");
    folder.write("half", "# HELP node_load1 1m load average.\nnode_load1 2.02\nnode_load15 9\n");
    folder.write("busy", "node_load1 17.5\n");
    folder.write("none", "hello\n");
    let mut server = crate::nginx::files(port, folder);
    server.until_passes("{http: {path: /idle}}", local(port)).await;
    for (path, weight) in [("/idle", 100), ("/half", 50), ("/busy", 1)] {
        let words = ["load", &port.to_string(), "4", path];
        for server in [local(80), local6(80)] {
            let Found { outcome, feedback } = scripts.run(&words, server).await;
            assert_eq!(outcome.verdict, PASS, "{path}: {}", outcome.reason);
            assert_eq!(feedback.weight, Some(Asked::Weight(weight)), "{path}: {}", outcome.reason);
        }
    }
    let port = port.to_string();
    let none = ["load", &port, "4", "/none"];
    scripts.finds(&none, local(80), FAIL, "has no load average").await;
    scripts.finds(&["load", &port, "4", "/missing"], local(80), FAIL, "404").await;
    scripts.finds(&["load", &port, "0", "/idle"], local(80), FAIL, "no number of").await;
    scripts.finds(&["load"], local(80), FAIL, "usage").await;
}
