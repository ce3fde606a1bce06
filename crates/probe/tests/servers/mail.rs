//! Exim: SMTP with and without STARTTLS.

use std::process::Stdio;

use holdfast_health::Code;

use crate::server::{Folder, Server, both, finds, free_port, unprivileged};

#[tokio::test]
async fn exim_greets_offers_starttls_and_refuses_when_it_is_told_to() {
    let port = free_port();
    let folder = Folder::new();
    crate::nginx::certificates(&folder, &["127.0.0.1", "::1", "mail.example"]);
    let at = folder.path().display().to_string();
    let config = format!(
        "primary_hostname = mail.example
spool_directory = {at}/spool
log_file_path = {at}/%slog
pid_file_path = {at}/pid
exim_user = nobody
exim_group = nogroup
daemon_smtp_ports = {port}
local_interfaces = <; 127.0.0.1 ; ::1
tls_certificate = {at}/server.pem
tls_privatekey = {at}/server.key
tls_advertise_hosts = *
acl_smtp_helo = helo
acl_smtp_rcpt = deny
begin acl
helo:
  deny condition = ${{if eq{{$sender_helo_name}}{{evil.example}}}}
  accept
deny:
  deny
begin routers
begin transports
begin retry
begin rewrite
begin authenticators
"
    );
    let config = folder.write("exim.conf", &config);
    let mut command = unprivileged("exim4");
    command.arg("-C").arg(config).arg("-bdf").stdin(Stdio::null());
    let mut server = Server::start(command, folder);
    for address in both(port) {
        let outcome = server.until_passes("{smtp: {}}", address).await;
        assert!(
            outcome.reason.sentence.contains(": 220 \"mail.example ESMTP Exim"),
            "{}",
            outcome.reason
        );
        let secured = format!("{{smtp: {{hello: lb1.example, starttls: {{ca: {at}/ca.pem}}}}}}");
        finds(&secured, address, Code::L7OK, ", STARTTLS").await;
        finds("{smtp: {starttls: {}}}", address, Code::L6RSP, "UnknownIssuer").await;
        let other = format!("{{smtp: {{starttls: {{ca: {at}/ca.pem, name: other.example}}}}}}");
        finds(&other, address, Code::L6RSP, "not valid for name").await;
        finds("{smtp: {hello: evil.example}}", address, Code::L7STS, "EHLO is answered by \"550")
            .await;
        finds("{tcp: {expect: {regex: '^220 '}}}", address, Code::L7OK, "it said \"220 ").await;
    }
}
