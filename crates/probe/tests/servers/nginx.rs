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

#[tokio::test]
async fn nginx_is_asked_over_http_and_https_in_both_versions_and_families() {
    let folder = Folder::new();
    certificates(&folder, &["127.0.0.1", "::1", "shop.example"]);
    let (plain, modern, old, strict) = (free_port(), free_port(), free_port(), free_port());
    let at = folder.path().display().to_string();
    let listen = |port: u16, options: &str| {
        format!("listen 127.0.0.1:{port} {options}; listen [::1]:{port} {options};")
    };
    let tls = format!("ssl_certificate {at}/server.pem; ssl_certificate_key {at}/server.key;");
    let config = format!(
        "daemon off; worker_processes 1; pid {at}/pid; error_log stderr warn;
events {{}}
http {{
  access_log off; client_body_temp_path {at}/1; proxy_temp_path {at}/2; fastcgi_temp_path {at}/3; uwsgi_temp_path {at}/4;
  scgi_temp_path {at}/5; default_type text/plain;
  server {{ {} location / {{ return 200 'by $server_protocol to $host'; }} location /down {{ return 503; }}
    location /auth {{ if ($http_x_token != 'let me in') {{ return 401; }} return 204; }}
    location /chunks {{ proxy_pass http://127.0.0.1:{plain}/; sub_filter_types *; sub_filter by BY; }} }}
  server {{ {} {tls} ssl_protocols TLSv1.3; location / {{ return 200 'by $server_protocol to $host, $ssl_protocol'; }} }}
  server {{ {} {tls} ssl_protocols TLSv1.2; location / {{ return 200 'by $server_protocol to $host, $ssl_protocol'; }} }}
  server {{ {} {tls} ssl_client_certificate {at}/ca.pem; ssl_verify_client on; location / {{ return 200 'hello $ssl_client_s_dn'; }} }}
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
    let mut server = Server::start(command, folder);
    for address in both(plain) {
        server.until_passes("{http: {}}", address).await;
        finds(
            "{http: {host: shop.example, body: by HTTP/1.1 to shop.example}}",
            address,
            Code::L7OK,
            "200 OK",
        )
        .await;
        finds("{http: {path: [/, /down]}}", address, Code::L7STS, "/down: 503 Service Unavailable")
            .await;
        finds("{http: {path: /auth}}", address, Code::L7STS, "401 Unauthorized").await;
        finds(
            "{http: {path: /auth, headers: {x-token: let me in}}}",
            address,
            Code::L7OK,
            "204 No Content",
        )
        .await;
        finds("{http: {path: /chunks, body: BY HTTP/1.0}}", address, Code::L7OK, "200 OK").await;
        finds("{http: {method: HEAD}}", address, Code::L7OK, "HEAD http").await;
        finds("{https: {}}", address, Code::L6RSP, "").await;
    }
    for address in both(modern) {
        let options = format!("tls: {{ca: {at}/ca.pem}}");
        finds(
            &format!("{{https: {{{options}, body: by HTTP/2.0}}}}"),
            address,
            Code::L7OK,
            "200 OK",
        )
        .await;
        let named = format!(
            "{{https: {{{options}, host: shop.example, body: {{regex: 'to shop.example, TLSv1.3$'}}}}}}"
        );
        finds(&named, address, Code::L7OK, "200 OK").await;
        let foreign = format!("{{https: {{{options}, host: mail.example}}}}");
        finds(&foreign, address, Code::L6RSP, "not valid for name \"mail.example\"").await;
        finds(
            &format!("{{https: {{{options}, method: HEAD, path: /x}}}}"),
            address,
            Code::L7OK,
            "200 OK",
        )
        .await;
        finds("{https: {}}", address, Code::L6RSP, "UnknownIssuer").await;
        finds("{http: {}}", address, Code::L7STS, "400 Bad Request").await;
    }
    for address in both(old) {
        finds("{https: {tls: {verify: false}, body: by HTTP/1.1}}", address, Code::L7OK, "200 OK")
            .await;
        finds("{tls: {verify: false}}", address, Code::L6OK, "TLS 1.2").await;
    }
    for address in both(strict) {
        let own = format!("certificate: {at}/client.pem, key: {at}/client.key");
        let with = format!("{{https: {{tls: {{ca: {at}/ca.pem, {own}}}, body: hello}}}}");
        finds(&with, address, Code::L7OK, "200 OK").await;
        let without = format!("{{https: {{tls: {{ca: {at}/ca.pem}}}}}}");
        finds(&without, address, Code::L7STS, "400 Bad Request").await;
    }
}
