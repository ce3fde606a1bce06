//! MariaDB and PostgreSQL.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use holdfast_health::Code;

use crate::server::{Folder, PATIENCE, Server, ask, both, finds, free_port, unprivileged};

/// Newer releases reserve room for a pool of terabytes, which not every kernel has.
const SMALL: &str = "--loose-innodb-buffer-pool-size-max=64M";

/// A MariaDB that runs `sql` when it starts.
pub(crate) fn mariadb(port: u16, folder: Folder, sql: &str, options: &[&str]) -> Server {
    let at = folder.path().display().to_string();
    let mut install = unprivileged("mariadb-install-db");
    install.args([
        "--no-defaults",
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
        "--basedir=/usr",
    ]);
    install.arg(SMALL).arg(format!("--datadir={at}/data")).arg(format!("--tmpdir={at}"));
    let made = install.output().expect("mariadb-install-db starts");
    assert!(
        made.status.success(),
        "{}{}",
        String::from_utf8_lossy(&made.stdout),
        String::from_utf8_lossy(&made.stderr)
    );
    let sql = folder.write("start.sql", sql).display().to_string();
    let mut command = unprivileged("mariadbd");
    command.args([
        "--no-defaults",
        "--skip-name-resolve",
        "--innodb-buffer-pool-size=8M",
        "--bind-address=127.0.0.1,::1",
    ]);
    command.arg(SMALL).args([
        format!("--datadir={at}/data"),
        format!("--tmpdir={at}"),
        format!("--socket={at}/socket"),
    ]);
    command
        .args([
            format!("--port={port}"),
            format!("--init-file={sql}"),
            format!("--pid-file={at}/pid"),
        ])
        .args(options);
    Server::start(command, folder)
}

#[tokio::test]
async fn mariadb_greets_logs_in_and_says_what_it_is_and_how_far_behind() {
    let (first, second) = (free_port(), free_port());
    let secrets = Folder::new();
    let secret = secrets.write("secret", "open sesame\n").display().to_string();
    let wrong = secrets.write("wrong", "open barley\n").display().to_string();
    let users = "CREATE USER monitor IDENTIFIED BY 'open sesame'; GRANT REPLICA MONITOR, REPLICATION SLAVE ON *.* TO monitor;\n\
                 CREATE USER nopass IDENTIFIED BY '';\n";
    let users = users.replace("; ", ";\n");
    let mut primary = mariadb(first, Folder::new(), &users, &["--server-id=1", "--log-bin=log"]);
    let link = format!(
        "{users}CHANGE MASTER 'west' TO MASTER_HOST='127.0.0.1', MASTER_PORT={first}, MASTER_USER='monitor', \
         MASTER_PASSWORD='open sesame', MASTER_CONNECT_RETRY=1, MASTER_USE_GTID=no;\nSTART SLAVE 'west';\nSET GLOBAL read_only=1;\n"
    );
    let options = ["--server-id=2", "--replicate-ignore-db=mysql", "--slave-skip-errors=all"];
    let mut replica = mariadb(second, Folder::new(), &link, &options);
    let with = |more: &str| format!("{{mysql: {{user: monitor, password_file: {secret}{more}}}}}");
    for address in both(first) {
        primary.until_passes(&with(""), address).await;
        finds("{mysql: {}}", address, Code::L7OK, ": version ").await;
        finds(&with(", role: primary"), address, Code::L7OK, ", takes writes").await;
        finds(
            &with(", role: replica"),
            address,
            Code::L7STS,
            "it takes writes, expected a replica",
        )
        .await;
        finds(&with(", max_lag: 10s"), address, Code::L7STS, "it replicates from nobody").await;
        finds("{mysql: {user: nopass}}", address, Code::L7OK, ": version ").await;
        let refused = format!("{{mysql: {{user: monitor, password_file: {wrong}}}}}");
        finds(&refused, address, Code::L7STS, "error 1045 \"Access denied for user 'monitor'")
            .await;
        finds("{postgres: {}}", address, Code::L7RSP, "").await;
        finds("{redis: {}}", address, Code::L7RSP, "").await;
    }
    for address in both(second) {
        replica.until_passes(&with(", role: replica, max_lag: 1h"), address).await;
        finds(&with(", role: replica, max_lag: 1h"), address, Code::L7OK, " s behind").await;
        finds(
            &with(", role: primary"),
            address,
            Code::L7STS,
            "it is read-only, expected a primary",
        )
        .await;
    }
    // The greeting alone is broken off, and the server still greets after more than max_connect_errors of it.
    let [address, _] = both(first);
    for _ in 0..120 {
        let outcome = ask("{mysql: {}}", address).await;
        assert_eq!(outcome.reason.code, Code::L7OK, "{}", outcome.reason);
    }
    drop(primary);
    let stands = with(", max_lag: 1h");
    let [address, _] = both(second);
    until_fails(&stands, address, "its replication stands: \"error reconnecting to master").await;
}

async fn until_fails(check: &str, address: SocketAddr, says: &str) {
    let started = std::time::Instant::now();
    let mut pace = tokio::time::interval(std::time::Duration::from_millis(50));
    loop {
        pace.tick().await;
        let outcome = ask(check, address).await;
        if outcome.reason.sentence.contains(says) {
            assert_eq!(outcome.reason.code, Code::L7STS);
            return;
        }
        assert!(started.elapsed() < 3 * PATIENCE, "{}", outcome.reason);
    }
}

/// The newest PostgreSQL of this host.
fn postgresql() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is installed");
    let newest = versions.filter_map(Result::ok).map(|entry| entry.path().join("bin")).max();
    newest.expect("PostgreSQL is installed")
}

/// Makes a cluster in the folder `data` of `folder`.
fn cluster(folder: &Folder) {
    let password = folder.write("secret", "open sesame\n");
    let mut init = unprivileged(&postgresql().join("initdb").display().to_string());
    init.args([
        "--auth=scram-sha-256",
        "--username=monitor",
        "--no-sync",
        "--encoding=UTF8",
        "--locale=C",
    ]);
    init.arg("--pwfile").arg(&password).arg("-D").arg(folder.path().join("data"));
    let made = init.output().expect("initdb starts");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

fn postgres(port: u16, folder: Folder, options: &[String]) -> Server {
    let mut command = unprivileged(&postgresql().join("postgres").display().to_string());
    command.arg("-D").arg(folder.path().join("data")).arg("-k").arg(folder.path());
    command.args([
        "-p",
        &port.to_string(),
        "-c",
        "listen_addresses=127.0.0.1,::1",
        "-c",
        "fsync=off",
    ]);
    for option in options {
        command.args(["-c", option]);
    }
    Server::start(command, folder)
}

#[tokio::test]
async fn postgresql_is_ready_logs_in_and_says_whether_it_is_in_recovery() {
    let (first, second) = (free_port(), free_port());
    let folder = Folder::new();
    cluster(&folder);
    crate::nginx::certificates(&folder, &["127.0.0.1", "::1"]);
    let at = folder.path().display().to_string();
    let standby = Folder::new();
    // A copy that was never a primary: what a standby needs is a data folder and the signal.
    let copied = unprivileged("cp")
        .args(["-a", &format!("{at}/data"), &standby.path().display().to_string()])
        .status();
    assert!(copied.expect("cp starts").success());
    standby.write("data/standby.signal", "");
    let secret = format!("{at}/secret");
    let wrong = folder.write("wrong", "open barley\n").display().to_string();
    let tls = [
        "ssl=on".to_owned(),
        format!("ssl_cert_file={at}/server.pem"),
        format!("ssl_key_file={at}/server.key"),
    ];
    let mut primary = postgres(first, folder, &tls);
    let nowhere = "primary_conninfo=host=127.0.0.1 port=1".to_owned();
    let mut standby = postgres(second, standby, std::slice::from_ref(&nowhere));
    let with = |more: &str| {
        format!(
            "{{postgres: {{user: monitor, database: postgres, password_file: {secret}{more}}}}}"
        )
    };
    for address in both(first) {
        primary.until_passes("{postgres: {}}", address).await;
        finds("{postgres: {}}", address, Code::L7OK, "takes connections").await;
        finds(&with(""), address, Code::L7OK, "logged in").await;
        finds(&with(", role: primary"), address, Code::L7OK, "not in recovery").await;
        finds(
            &with(", role: replica"),
            address,
            Code::L7STS,
            "it is not in recovery, expected a replica",
        )
        .await;
        let tls = format!(", role: primary, tls: {{ca: {at}/ca.pem}}");
        finds(&with(&tls), address, Code::L7OK, "not in recovery").await;
        finds(&with(", tls: {}"), address, Code::L6RSP, "UnknownIssuer").await;
        let refused = format!("{{postgres: {{user: monitor, password_file: {wrong}}}}}");
        finds(&refused, address, Code::L7STS, "28P01 \"password authentication failed").await;
        finds("{postgres: {user: monitor}}", address, Code::L7STS, "it wants a password").await;
    }
    for address in both(second) {
        standby.until_passes(&with(", role: replica"), address).await;
        finds(&with(", role: replica"), address, Code::L7OK, "in recovery").await;
        finds(
            &with(", role: primary"),
            address,
            Code::L7STS,
            "it is in recovery, expected a primary",
        )
        .await;
        finds("{postgres: {tls: {}}}", address, Code::L7STS, "it does not offer TLS").await;
    }
    // It recovers and takes nobody: SQLSTATE 57P03 (cannot_connect_now).
    let (folder, port) = (std::mem::replace(&mut standby.folder, Folder::new()), free_port());
    drop(standby);
    let _shut = postgres(port, folder, &[nowhere, "hot_standby=off".to_owned()]);
    for address in both(port) {
        until_fails("{postgres: {}}", address, "57P03").await;
        finds(&with(""), address, Code::L7STS, "57P03").await;
    }
}
