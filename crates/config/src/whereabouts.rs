//! Every check of a configuration, and where it stands: looked up when somebody asks, because a text of ten thousand real servers is
//! read once more for the first place below `services`.

use std::sync::Arc;

use crate::model::{Check, Name, Service};
use crate::path::Path;
use crate::source::Source;

/// Whose check it is, and which one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Whereabouts<'a> {
    service: &'a Name,
    /// None = the service's own, which hold for all servers.
    server: Option<&'a Name>,
    index: usize,
}

/// All checks: of each service its own, then those of its servers.
pub(crate) fn checks<'a>(
    services: impl Iterator<Item = &'a Service>,
) -> impl Iterator<Item = (Whereabouts<'a>, &'a Check)> {
    services.flat_map(|service| {
        let own = service.real_servers.values().filter_map(|server| {
            let checks = server.checks.as_deref()?;
            Some(of(service, Some(&server.name), checks))
        });
        of(service, None, &service.checks).chain(own.flatten())
    })
}

fn of<'a>(
    service: &'a Service,
    server: Option<&'a Name>,
    checks: &'a [Arc<Check>],
) -> impl Iterator<Item = (Whereabouts<'a>, &'a Check)> {
    let service = &service.name;
    let each = checks.iter().enumerate();
    each.map(move |(index, check)| (Whereabouts { service, server, index }, &**check))
}

impl Whereabouts<'_> {
    /// The path of the check: `check`, or an item of `checks`, or of what that puts together.
    pub(crate) fn path(&self, source: &Source) -> Path {
        let mut owner = Path::of(&["services", self.service.as_str()]);
        if let Some(server) = self.server {
            owner = owner.key("real_servers").key(server.as_str());
        }
        let single = owner.key("check");
        if source.has(&single) {
            return single;
        }
        let list = owner.key("checks");
        let mut below = ["any", "all"].map(|word| list.key(word)).into_iter();
        below.find(|path| source.has(path)).unwrap_or(list).item(self.index)
    }
}

#[cfg(test)]
mod tests {
    use crate::host::{self, Facts, Program};
    use crate::{Environment, parse};

    const CHECKS: &str = "\
vrrp:
  trackers: {rack2: {bfd: {peer: 192.0.2.2}}}
services:
  web:
    listen: tcp 192.0.2.10:80
    forward: nat
    checks: [{tcp: {}}, {exec: {command: [/bin/true]}}, {bfd: {session: rack2}}]
    real_servers:
      web1: 10.0.0.1:80
      web2: {address: 10.0.0.2:80, check: {https: {tls: {ca: /etc/ca.pem}}}}
      web3: {address: 10.0.0.3:80, checks: {any: [{exec: {command: [/bin/false]}}]}}
";

    #[test]
    fn a_configuration_of_which_there_is_nothing_to_say_is_read_once() {
        let mut outcome = parse("f", CHECKS, &Environment::new("lb1"));
        assert_eq!(outcome.diagnostics, []);
        let config = outcome.config.take().unwrap();
        let asked = host::questions(&config);
        assert_eq!((asked.programs.len(), asked.check_files.len()), (2, 1));
        let mut facts = Facts::default();
        assert!(host::check(&config, &outcome.source, &facts).is_empty());
        assert!(!outcome.source.was_read_again());

        let missing = |path: &str| (path.to_owned(), Program::Missing);
        facts.programs = ["/bin/true", "/bin/false"].map(missing).into();
        let found = host::check(&config, &outcome.source, &facts);
        let paths: Vec<_> =
            found.iter().map(|one| one.path.as_deref().unwrap_or_default()).collect();
        assert_eq!(
            paths,
            [
                "services.web.checks[1].exec.command[0]",
                "services.web.real_servers.web3.checks.any[0].exec.command[0]"
            ]
        );
        assert!(outcome.source.was_read_again());
    }
}
