//! nginx: http, https in both versions, virtual hosts, chunks, client certificates.

use holdfast_health::Code;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use crate::server::{Folder, Server, both, finds, free_port, unprivileged};

/// An authority, a server's and a client's certificate, in files of `folder`.
pub(crate) fn certificates(folder: &Folder, names: &[&str]) {
    let mut parameters = CertificateParams::new(vec![]).unwrap();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.distinguished_name.push(DnType::CommonName, "authority of a test");
    let key = KeyPair::generate().unwrap();
    let certificate = parameters.self_signed(&key).unwrap();
    folder.write("ca.pem", &certificate.pem());
    let authority = Issuer::new(parameters, key);
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    for (name, names) in [("server", names), ("client", vec!["director".to_owned()])] {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
        folder.write(&format!("{name}.pem"), &certificate.pem());
        folder.write(&format!("{name}.key"), &key.serialize_pem());
    }
}

/// nginx with a plain port, one with TLS 1.3 and HTTP/2, one with TLS 1.2, and one that wants a client's certificate.
fn nginx([plain, modern, old, strict]: [u16; 4]) -> Server {
    let folder = Folder::new();
    certificates(&folder, &["127.0.0.1", "::1", "shop.example"]);
    let at = folder.path().display().to_string();
    let listen = |port: u16, options: &str| {
        format!("listen 127.0.0.1:{port} {options}; listen [::1]:{port} {options};")
    };
    let tls = format!("ssl_certificate {at}/server.pem; ssl_certificate_key {at}/server.key;");
    let hello = "location / { return 200 'by $server_protocol to $host, $ssl_protocol'; }";
    let config = format!(
        "daemon off; worker_processes 1; pid {at}/pid; error_log stderr warn;
events {{}}
http {{
  access_log off; client_body_temp_path {at}/1; proxy_temp_path {at}/2; fastcgi_temp_path {at}/3; uwsgi_temp_path {at}/4;
  scgi_temp_path {at}/5; default_type text/plain;
  server {{ {} {hello} location /down {{ return 503; }}
    location /auth {{ if ($http_x_token != 'let me in') {{ return 401; }} return 204; }}
    location /chunks {{ proxy_pass http://127.0.0.1:{plain}/; sub_filter_types *; sub_filter by BY; }} }}
  server {{ {} {tls} ssl_protocols TLSv1.3; {hello} }}
  server {{ {} {tls} ssl_protocols TLSv1.2; {hello} }}
  server {{ {} {tls} ssl_client_certificate {at}/ca.pem; ssl_verify_client on;
    location / {{ return 200 'hello $ssl_client_s_dn'; }} }}
}}
",
        listen(plain, ""),
        listen(modern, "ssl http2"),
        listen(old, "ssl"),
        listen(strict, "ssl"),
    );
    let config = folder.write("nginx.conf", &config);
    let mut command = unprivileged("nginx");
    command.arg("-e").arg("stderr").arg("-p").arg(folder.path()).arg("-c").arg(&config);
    Server::start(command, folder)
}

/// nginx with a plain port and the files of `folder`.
pub(crate) fn files(port: u16, folder: Folder) -> Server {
    let at = folder.path().display().to_string();
    let config = format!(
        "daemon off; worker_processes 1; pid {at}/pid; error_log stderr warn;
events {{}}
http {{
  access_log off; client_body_temp_path {at}/1; proxy_temp_path {at}/2; fastcgi_temp_path {at}/3; uwsgi_temp_path {at}/4;
  scgi_temp_path {at}/5; default_type text/plain;
  server {{ listen 127.0.0.1:{port}; listen [::1]:{port}; root {at}; }}
}}
"
    );
    let config = folder.write("nginx.conf", &config);
    let mut command = unprivileged("nginx");
    command.arg("-e").arg("stderr").arg("-p").arg(folder.path()).arg("-c").arg(&config);
    Server::start(command, folder)
}

#[tokio::test]
async fn nginx_is_asked_over_http_and_https_in_both_versions_and_families() {
    let ports = [(); 4].map(|()| free_port());
    let [plain, modern, old, strict] = ports;
    let mut server = nginx(ports);
    let at = server.folder.path().display().to_string();
    for address in both(plain) {
        server.until_passes("{http: {}}", address).await;
        for (options, code, says) in [
            ("host: shop.example, body: by HTTP/1.1 to shop.example", Code::L7OK, "200 OK"),
            ("path: [/, /down]", Code::L7STS, "/down: 503 Service Unavailable"),
            ("path: /auth", Code::L7STS, "401 Unauthorized"),
            ("path: /auth, headers: {x-token: let me in}", Code::L7OK, "204 No Content"),
            ("path: /chunks, body: BY HTTP/1.0", Code::L7OK, "200 OK"),
            ("method: HEAD", Code::L7OK, "HEAD http"),
        ] {
            finds(&format!("{{http: {{{options}}}}}"), address, code, says).await;
        }
        finds("{https: {}}", address, Code::L6RSP, "").await;
    }
    let https = |options: &str| format!("{{https: {{{options}}}}}");
    let ca = format!("tls: {{ca: {at}/ca.pem}}");
    for address in both(modern) {
        for (options, code, says) in [
            ("body: by HTTP/2.0", Code::L7OK, "200 OK"),
            (
                "host: shop.example, body: {regex: 'to shop.example, TLSv1.3$'}",
                Code::L7OK,
                "200 OK",
            ),
            ("host: mail.example", Code::L6RSP, "not valid for name \"mail.example\""),
            ("method: HEAD, path: /x", Code::L7OK, "200 OK"),
        ] {
            finds(&https(&format!("{ca}, {options}")), address, code, says).await;
        }
        finds(&https(""), address, Code::L6RSP, "UnknownIssuer").await;
        finds("{http: {}}", address, Code::L7STS, "400 Bad Request").await;
    }
    for address in both(old) {
        finds(&https("tls: {verify: false}, body: by HTTP/1.1"), address, Code::L7OK, "200").await;
        finds("{tls: {verify: false}}", address, Code::L6OK, "TLS 1.2").await;
    }
    for address in both(strict) {
        let own = format!("certificate: {at}/client.pem, key: {at}/client.key");
        let with = https(&format!("tls: {{ca: {at}/ca.pem, {own}}}, body: hello"));
        finds(&with, address, Code::L7OK, "200 OK").await;
        finds(&https(&ca), address, Code::L7STS, "400 Bad Request").await;
    }
}
