//! The files that checks name: certificates, keys, passwords, and the folders of files that say what is to be done with a server.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::code::Code;
use crate::diagnostic::{Problem, Problems, Spot};
use crate::model::{Check, CheckKind, Config, Login, Talk, Tls};
use crate::path::Path;
use crate::source::Source;

use super::Facts;

/// Something that a check reads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CheckFile {
    /// A PEM file with authorities (`ca`).
    Authorities(PathBuf),
    /// PEM files with our own certificate and its key.
    Identity(PathBuf, PathBuf),
    /// A file whose first line is a password (`password_file`).
    Password(PathBuf),
    /// The folder of the file of a file check.
    Folder(PathBuf),
}

/// All of them.
pub(super) fn questions(config: &Config) -> BTreeSet<CheckFile> {
    named(config, None).into_iter().map(|(file, _)| file).collect()
}

/// What is wrong with them.
pub(super) fn check(config: &Config, source: &Source, facts: &Facts, problems: &mut Problems) {
    for (file, path) in named(config, Some(source)) {
        let Some(why) = facts.check_files.get(&file) else { continue };
        let (code, help) = match file {
            CheckFile::Folder(_) => (
                Code::NoCheckFolder,
                "the file counts as not there (`missing`) until the folder is",
            ),
            CheckFile::Authorities(_) | CheckFile::Identity(..) | CheckFile::Password(_) => {
                (Code::BadCheckFile, "correct the path or the file; `--offline` skips this check")
            }
        };
        problems.push(Problem::new(code, why.clone()).at(Spot::Value(path), "").help(help));
    }
}

/// Every such file and where it is named.
fn named(config: &Config, source: Option<&Source>) -> Vec<(CheckFile, Path)> {
    let mut found = vec![];
    for service in config.services.values() {
        let path = Path::of(&["services", service.name.as_str()]);
        let servers = path.key("real_servers");
        for (at, check) in places(&service.checks, &path, source) {
            files(check, &at, &mut found);
        }
        for server in service.real_servers.values() {
            let checks = server.checks.as_deref().unwrap_or_default();
            let path = servers.key(server.name.as_str());
            for (at, check) in places(checks, &path, source) {
                files(check, &at, &mut found);
            }
        }
    }
    found
}

fn places<'a>(
    checks: &'a [Check],
    owner: &Path,
    source: Option<&Source>,
) -> Vec<(Path, &'a Check)> {
    let single = owner.key("check");
    let is_single = source.is_some_and(|source| source.has(&single));
    let each = checks.iter().enumerate().map(|(index, check)| {
        (if is_single { single.clone() } else { owner.key("checks").item(index) }, check)
    });
    each.collect()
}

fn files(check: &Check, at: &Path, found: &mut Vec<(CheckFile, Path)>) {
    let at = at.key(check.kind.name());
    match &check.kind {
        CheckKind::Network(network) => match &network.talk {
            Talk::Tls(tls) => secured(Some(tls), &at, found),
            Talk::Http(http) => secured(http.tls.as_ref(), &at.key("tls"), found),
            Talk::Redis(redis) => {
                login(&redis.login, &at, found);
                secured(redis.tls.as_ref(), &at.key("tls"), found);
            }
            Talk::Mysql(mysql) => login(&mysql.login, &at, found),
            Talk::Postgres(postgres) => {
                login(&postgres.login, &at, found);
                secured(postgres.tls.as_ref(), &at.key("tls"), found);
            }
            Talk::Smtp(smtp) => secured(smtp.starttls.as_ref(), &at.key("starttls"), found),
            Talk::Grpc(grpc) => secured(grpc.tls.as_ref(), &at.key("tls"), found),
            Talk::Tcp(_) | Talk::Icmp | Talk::Udp(_) | Talk::Dns(_) | Talk::Memcached => {}
            Talk::Agent { .. } => {}
        },
        CheckKind::File { path, .. } => {
            let folder = std::path::Path::new(path).parent();
            // One that depends on names is not looked for.
            if let Some(folder) = folder.filter(|folder| !folder.to_string_lossy().contains('{')) {
                found.push((CheckFile::Folder(folder.to_owned()), at.key("path")));
            }
        }
        CheckKind::Exec { .. } | CheckKind::Bfd { .. } => {}
    }
}

fn secured(tls: Option<&Tls>, at: &Path, found: &mut Vec<(CheckFile, Path)>) {
    let Some(tls) = tls else { return };
    found.extend(tls.ca.iter().map(|ca| (CheckFile::Authorities(ca.clone()), at.key("ca"))));
    found.extend(tls.identity.iter().map(|(certificate, key)| {
        (CheckFile::Identity(certificate.clone(), key.clone()), at.key("certificate"))
    }));
}

fn login(login: &Login, at: &Path, found: &mut Vec<(CheckFile, Path)>) {
    let file = login.password_file.iter();
    found.extend(file.map(|path| (CheckFile::Password(path.clone()), at.key("password_file"))));
}
