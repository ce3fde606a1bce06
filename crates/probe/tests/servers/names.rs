//! Unbound: the DNS over UDP and TCP.

use holdfast_health::Code;

use crate::server::{Folder, Server, both, finds, free_port, unprivileged};

/// Unbound with a zone of its own.
pub(crate) fn unbound(port: u16, long: &str) -> Server {
    let folder = Folder::new();
    let many: String =
        (0..12).map(|n| format!("  local-data: 'long.test. TXT \"{n} {long}\"'\n")).collect();
    let config = format!(
        "server:
  directory: \"{0}\"
  chroot: \"\"
  username: \"\"
  pidfile: \"{0}/pid\"
  use-syslog: no
  num-threads: 1
  interface: 127.0.0.1@{port}
  interface: ::1@{port}
  do-daemonize: no
  module-config: \"iterator\"
  access-control: 127.0.0.0/8 allow
  access-control: ::1/128 allow
  local-zone: \"test.\" static
  local-data: \"test. SOA ns.test. admin.test. 7 3600 1200 604800 300\"
  local-data: \"test. NS ns.test.\"
  local-data: \"www.test. A 192.0.2.1\"
  local-data: \"www.test. A 192.0.2.2\"
  local-data: \"www.test. AAAA 2001:db8::1\"
  local-data: \"alias.test. CNAME www.test.\"
  local-data: \"test. MX 10 mail.test.\"
  local-data: 'test. TXT \"v=spf1 -all\"'
  local-data: \"_x._tcp.test. SRV 1 2 80 www.test.\"
  local-data: \"test. CAA 0 issue \\\"ca.test\\\"\"
  local-data: \"back.test. PTR www.test.\"
  local-data: \"test. NAPTR 10 20 s SIP+D2U \\\"\\\" _sip._udp.test.\"
  local-data: \"_443._tcp.www.test. TLSA 3 1 1 {hash}\"
  local-data: \"sub.test. DS 1 13 2 {hash}\"
  local-data: \"www.test. HTTPS 1 . alpn=h2\"
  local-data: \"svc.test. SVCB 1 www.test. port=53\"
  local-data: \"test. DNSKEY 257 3 13 {key}\"
  local-data: \"test. RRSIG SOA 13 1 3600 20300101000000 20200101000000 1 test. {key}\"
{many}  local-zone: \"refused.\" refuse
",
        folder.path().display(),
        hash = "0a".repeat(32),
        key = "A".repeat(86) + "==",
    );
    let config = folder.write("unbound.conf", &config);
    let mut command = unprivileged("unbound");
    command.args(["-d", "-p", "-c"]).arg(config);
    Server::start(command, folder)
}

#[tokio::test]
async fn unbound_is_asked_over_udp_and_tcp() {
    let port = free_port();
    let long = "x".repeat(200);
    let mut server = unbound(port, &long);
    for address in both(port) {
        server.until_passes("{dns: {name: test}}", address).await;
        for transport in ["udp", "tcp"] {
            let dns = |options: &str| format!("{{dns: {{transport: {transport}, {options}}}}}");
            for (options, says) in [
                ("name: test", "noerror, 1 record"),
                ("name: www.test, type: A, answer: [192.0.2.2, 192.0.2.1]", "noerror, 2 records"),
                ("name: WWW.test., type: AAAA, answer: '2001:db8:0:0::1'", "noerror, 1 record"),
                ("name: alias.test, type: CNAME, answer: WWW.test.", "noerror, 1 record"),
                ("name: test, type: MX, answer: 10 mail.test", "noerror, 1 record"),
                ("name: test, type: TXT, answer: v=spf1 -all", "noerror, 1 record"),
                ("name: test, type: NS, answer: ns.test", "noerror, 1 record"),
                ("name: test, type: SOA, answer: ns.test admin.test 7", "noerror, 1 record"),
                ("name: test, type: CAA", "noerror, 1 record"),
                ("name: _x._tcp.test, type: SRV, answer: 1 2 80 www.test", "noerror, 1 record"),
                ("name: back.test, type: PTR, answer: www.test", "noerror, 1 record"),
                ("name: test, type: NAPTR", "noerror, 1 record"),
                ("name: _443._tcp.www.test, type: TLSA", "noerror, 1 record"),
                ("name: sub.test, type: DS", "noerror, 1 record"),
                ("name: www.test, type: HTTPS", "noerror, 1 record"),
                ("name: svc.test, type: SVCB", "noerror, 1 record"),
                ("name: test, type: DNSKEY", "noerror, 1 record"),
                ("name: test, type: RRSIG", "noerror, 1 record"),
                ("name: none.test, rcode: [nxdomain, noerror]", "nxdomain, 0 records"),
                ("name: x.refused, type: A, rcode: refused", "refused, 0 records"),
                // Over UDP it is cut short, and asked for again over TCP.
                (&format!("name: long.test, type: TXT, answer: 11 {long}"), "noerror, 12 records"),
            ] {
                finds(&dns(options), address, Code::L7OK, says).await;
            }
            finds(&dns("name: none.test"), address, Code::L7STS, "nxdomain, expected noerror")
                .await;
            let other = "name: www.test, type: A, answer: 192.0.2.9";
            finds(&dns(other), address, Code::L7STS, "instead of \"192.0.2.9\"").await;
            finds(
                &dns("name: test, type: A, answer: 192.0.2.9"),
                address,
                Code::L7STS,
                "noerror, but nothing instead of",
            )
            .await;
        }
    }
}
