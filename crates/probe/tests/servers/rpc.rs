//! A server of gRPC's own library.

use holdfast_health::Code;

use crate::server::{Folder, Server, both, finds, free_port, unprivileged};

/// A health service by hand: Debian has the library (python3-grpcio) and not its health package. Field 1 of request and answer.
const SERVER: &str = r#"
import sys, time
from concurrent import futures
import grpc

def check(request, context):
    name = request[2:].decode() if request else ""
    known = {"": 1, "shop": 1, "cellar": 2, "x" * 200: 1}
    if name not in known:
        name = request[3:].decode() if len(request) > 130 else name
    if name not in known:
        context.abort(grpc.StatusCode.NOT_FOUND, "no such service")
    return bytes([8, known[name]])

server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
handler = grpc.unary_unary_rpc_method_handler(check)
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": handler}),))
port, tls, at = sys.argv[1:]
server.add_insecure_port("127.0.0.1:" + port)
server.add_insecure_port("[::1]:" + port)
read = lambda name: open(at + "/" + name, "rb").read()
credentials = grpc.ssl_server_credentials(((read("server.key"), read("server.pem")),))
server.add_secure_port("127.0.0.1:" + tls, credentials)
server.add_secure_port("[::1]:" + tls, credentials)
server.start()
server.wait_for_termination()
"#;

#[tokio::test]
async fn a_server_of_grpcs_library_says_how_its_services_are() {
    let (port, tls) = (free_port(), free_port());
    let folder = Folder::new();
    crate::nginx::certificates(&folder, &["127.0.0.1", "::1"]);
    let at = folder.path().display().to_string();
    let script = folder.write("server.py", SERVER);
    let mut command = unprivileged("python3");
    command.arg(script).args([port.to_string(), tls.to_string(), at.clone()]);
    let mut server = Server::start(command, folder);
    for address in both(port) {
        server.until_passes("{grpc: {}}", address).await;
        finds("{grpc: {service: shop}}", address, Code::L7OK, " shop: SERVING").await;
        finds(
            &format!("{{grpc: {{service: {}}}}}", "x".repeat(200)),
            address,
            Code::L7OK,
            ": SERVING",
        )
        .await;
        finds("{grpc: {service: cellar}}", address, Code::L7STS, ": NOT_SERVING").await;
        finds(
            "{grpc: {service: attic}}",
            address,
            Code::L7STS,
            "gRPC status NOT_FOUND, \"no such service\"",
        )
        .await;
        finds("{http: {}}", address, Code::L7RSP, "").await;
    }
    for address in both(tls) {
        finds(&format!("{{grpc: {{tls: {{ca: {at}/ca.pem}}}}}}"), address, Code::L7OK, ": SERVING")
            .await;
        finds("{grpc: {tls: {}}}", address, Code::L6RSP, "UnknownIssuer").await;
    }
}
