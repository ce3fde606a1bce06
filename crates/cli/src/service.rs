//! The verbs of `holdfast service`: the services at a glance, and one with all of its servers.

use holdfast_control::{Client, Service};

use crate::args;
use crate::failure::Failure;
use crate::output::{Answer, to_answer};
use crate::render;
use crate::table::Table;

pub(crate) async fn run(client: &Client, verb: args::Service) -> Result<Answer, Failure> {
    match verb {
        args::Service::List => {
            to_answer(&client.services().await?, |services| list(services.as_slice()))
        }
        args::Service::Show { service } => to_answer(&client.service(&service).await?, show),
    }
}

/// One with its servers, and why the kernel refuses it.
fn show(service: &Service) -> String {
    let mut text = render::service(service);
    for why in &service.refused {
        text.push_str("! ");
        text.push_str(why);
        text.push('\n');
    }
    text
}

/// A line each.
fn list(services: &[Service]) -> String {
    let mut table =
        Table::new(["SERVICE", "STATE", "UP", "LISTEN", "SCHEDULER", "FORWARD", "CONN/S"]);
    for service in services {
        let state = match (service.refused.is_empty(), service.quorum.state.as_str()) {
            (false, _) => "REFUSED".to_owned(),
            (true, "down") => "DOWN".to_owned(),
            (true, state) => state.to_owned(),
        };
        let rate = service.traffic.as_ref().map(|traffic| traffic.connections_per_s.to_string());
        table.row([
            service.name.clone(),
            state,
            format!("{}/{}", service.up, service.servers.len()),
            service.listen.join(", "),
            service.scheduler.clone(),
            service.forward.clone(),
            rate.unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    table.render(0)
}

#[cfg(test)]
mod tests {
    use holdfast_control::Quorum;

    use super::*;

    #[test]
    fn a_service_is_a_line_that_says_whether_it_serves() {
        let service = |name: &str, state: &str, refused: &[&str]| Service {
            name: name.to_owned(),
            listen: vec!["tcp 192.0.2.10:80".to_owned(), "tcp [2001:db8::10]:80".to_owned()],
            scheduler: "wlc".to_owned(),
            forward: "direct".to_owned(),
            quorum: Quorum { state: state.to_owned(), ..Quorum::default() },
            refused: refused.iter().map(|&why| why.to_owned()).collect(),
            up: 0,
            sorry_servers: Vec::new(),
            weight_scale: 1,
            traffic: None,
            discovery: None,
            servers: Vec::new(),
        };
        let all =
            [service("a", "up", &[]), service("b", "down", &[]), service("c", "up", &["EINVAL"])];
        let text = list(&all);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("SERVICE  STATE    UP   LISTEN"), "{text}");
        let whole = "a        up       0/0  tcp 192.0.2.10:80, tcp [2001:db8::10]:80  wlc        direct   -";
        assert_eq!(lines[1], whole);
        assert!(lines[2].contains("DOWN") && lines[3].contains("REFUSED"), "{text}");
    }
}
