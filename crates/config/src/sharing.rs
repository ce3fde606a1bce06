//! A configuration that follows another one shares with it what is the same in both.

use std::sync::Arc;

use crate::model::{Config, RealServer, Service};

impl Config {
    /// Takes the servers and checks of `running` in the place of equal ones, so that after a reload there is one of each: who keeps a server
    /// that the reload has not changed goes on with the one that it has. Both configurations say what they said.
    pub fn share_with(&mut self, running: &Self) {
        for (name, service) in &mut self.services {
            if let Some(known) = running.services.get(name) {
                share_service(service, known);
            }
        }
    }
}

fn share_service(service: &mut Service, known: &Service) {
    if service.checks == known.checks {
        service.checks.clone_from(&known.checks);
    }
    let pairs = [
        (&mut service.real_servers, &known.real_servers),
        (&mut service.sorry_servers, &known.sorry_servers),
    ];
    for (servers, known) in pairs {
        for (name, server) in servers {
            if let Some(known) = known.get(name) {
                share_server(server, known);
            }
        }
    }
}

fn share_server(server: &mut Arc<RealServer>, known: &Arc<RealServer>) {
    if server == known {
        *server = Arc::clone(known);
    } else if server.checks == known.checks
        && let Some(server) = Arc::get_mut(server)
    {
        server.checks.clone_from(&known.checks);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Environment, parse};

    fn parsed(servers: &str) -> Config {
        let text = format!(
            "services:\n  web: {{listen: tcp 192.0.2.10:80, forward: nat, check: {{tcp: {{}}}}, real_servers: {{{servers}}}}}\n  \
             six: {{listen: 'tcp [2001:db8::10]:80', forward: nat, real_servers: {{a: '[2001:db8::11]:80'}}}}\n"
        );
        let outcome = parse("f", &text, &Environment::new("n"));
        outcome.config.clone().unwrap_or_else(|| panic!("{}", outcome.render(false)))
    }

    fn server<'a>(config: &'a Config, service: &str, server: &str) -> &'a Arc<RealServer> {
        let found = config.services.iter().find(|(name, _)| name.as_str() == service);
        let mut servers = found.unwrap().1.real_servers.iter();
        servers.find(|(name, _)| name.as_str() == server).unwrap().1
    }

    #[test]
    fn what_is_the_same_is_shared_and_what_is_not_stays_as_it_is() {
        let own = "check: {http: {}}";
        let running =
            parsed(&format!("a: 10.0.0.1:80, b: {{address: 10.0.0.2:80, weight: 2, {own}}}"));
        let text = format!(
            "a: 10.0.0.1:80, b: {{address: 10.0.0.2:80, weight: 3, {own}}}, c: 10.0.0.3:80"
        );
        let (mut new, same) = (parsed(&text), parsed(&text));
        new.share_with(&running);
        assert_eq!(new, same, "it says what it said");
        for (service, name) in [("web", "a"), ("six", "a")] {
            let (one, other) = (server(&new, service, name), server(&running, service, name));
            assert!(Arc::ptr_eq(one, other), "{service}/{name}");
        }
        let (one, other) = (server(&new, "web", "b"), server(&running, "web", "b"));
        assert_eq!((one.weight, other.weight), (3, 2));
        let check = |server: &RealServer| Arc::clone(&server.checks.as_ref().unwrap()[0]);
        assert!(Arc::ptr_eq(&check(one), &check(other)));
        let checks = |config: &Config| {
            let web = config.services.values().find(|one| one.name.as_str() == "web");
            Arc::clone(&web.unwrap().checks[0])
        };
        assert!(Arc::ptr_eq(&checks(&new), &checks(&running)));
    }
}
