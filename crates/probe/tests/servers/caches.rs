//! Redis and memcached.

use holdfast_health::Code;

use crate::server::{Folder, Server, both, finds, free_port, unprivileged};

/// A Redis whose command line ends with `options`.
fn redis(port: u16, folder: Folder, options: &[&str]) -> Server {
    let mut command = unprivileged("redis-server");
    command.args([
        "--port",
        &port.to_string(),
        "--bind",
        "127.0.0.1",
        "::1",
        "--save",
        "",
        "--dir",
    ]);
    command.arg(folder.path()).args(options);
    Server::start(command, folder)
}

#[tokio::test]
async fn redis_is_asked_for_its_role_with_and_without_a_password() {
    let (first, second) = (free_port(), free_port());
    let folder = Folder::new();
    let secret = folder.write("secret", "open sesame\n").display().to_string();
    let wrong = folder.write("wrong", "open barley\n").display().to_string();
    let mut primary = redis(first, folder, &["--requirepass", "open sesame"]);
    let link = first.to_string();
    let mut replica = redis(
        second,
        Folder::new(),
        &["--replicaof", "127.0.0.1", &link, "--masterauth", "open sesame"],
    );
    for address in both(first) {
        primary.until_passes(&format!("{{redis: {{password_file: {secret}}}}}"), address).await;
        let with = |more: &str| format!("{{redis: {{password_file: {secret}{more}}}}}");
        finds(&with(""), address, Code::L7OK, ": PONG").await;
        finds(&with(", user: default, role: primary"), address, Code::L7OK, "PONG, primary").await;
        finds(
            &with(", role: replica"),
            address,
            Code::L7STS,
            "it is a primary, expected a replica",
        )
        .await;
        finds("{redis: {}}", address, Code::L7STS, "NOAUTH Authentication required.").await;
        finds(&format!("{{redis: {{password_file: {wrong}}}}}"), address, Code::L7STS, "WRONGPASS")
            .await;
        finds(
            "{redis: {password_file: /nowhere}}",
            address,
            Code::SOCKERR,
            "read the password in /nowhere",
        )
        .await;
        finds("{memcached: {}}", address, Code::L7RSP, "the answer is not memcached's").await;
    }
    for address in both(second) {
        replica.until_passes("{redis: {}}", address).await;
        finds("{redis: {role: replica}}", address, Code::L7OK, "PONG, replica").await;
        finds(
            "{redis: {role: primary}}",
            address,
            Code::L7STS,
            "it is a replica, expected a primary",
        )
        .await;
    }
}

#[tokio::test]
async fn redis_is_asked_over_tls() {
    let port = free_port();
    let folder = Folder::new();
    crate::nginx::certificates(&folder, &["127.0.0.1", "::1"]);
    let at = folder.path().display().to_string();
    let (ca, pem, key) =
        (format!("{at}/ca.pem"), format!("{at}/server.pem"), format!("{at}/server.key"));
    let tls = port.to_string();
    let options = [
        "--tls-port",
        &tls,
        "--tls-cert-file",
        &pem,
        "--tls-key-file",
        &key,
        "--tls-ca-cert-file",
        &ca,
        "--tls-auth-clients",
        "no",
    ];
    let mut server = redis(0, folder, &options);
    for address in both(port) {
        server.until_passes(&format!("{{redis: {{tls: {{ca: {ca}}}}}}}"), address).await;
        finds(
            "{redis: {tls: {verify: false}, role: primary}}",
            address,
            Code::L7OK,
            "PONG, primary",
        )
        .await;
        finds("{redis: {tls: {}}}", address, Code::L6RSP, "UnknownIssuer").await;
    }
}

#[tokio::test]
async fn memcached_says_its_version() {
    let port = free_port();
    let mut command = unprivileged("memcached");
    command.args(["-p", &port.to_string(), "-U", "0", "-l", "127.0.0.1,::1", "-m", "4", "-t", "1"]);
    let mut server = Server::start(command, Folder::new());
    for address in both(port) {
        let outcome = server.until_passes("{memcached: {}}", address).await;
        assert!(outcome.reason.sentence.contains(": version 1."), "{}", outcome.reason);
        finds("{redis: {}}", address, Code::L7RSP, "the answer is not Redis's: \"ERROR\"").await;
    }
}
