//! The files that checks name: certificates, keys, passwords, and the folders of files that say what is to be done with a server.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::code::Code;
use crate::diagnostic::{Problem, Problems, Spot};
use crate::model::{Check, CheckKind, Config, Login, SecretFrom, Talk, Tls};
use crate::path::Path;
use crate::source::Source;
use crate::whereabouts::{Whereabouts, checks};

use super::Facts;

/// Something that a check reads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CheckFile {
    /// A PEM file with authorities (`ca`).
    Authorities(PathBuf),
    /// PEM files with our own certificate and its key.
    Identity(PathBuf, PathBuf),
    /// A file or a credential whose first line is a password (`password_file`, `password_credential`).
    Password(SecretFrom),
    /// The folder of the file of a file check.
    Folder(PathBuf),
}

/// All of them.
pub(super) fn questions(config: &Config) -> BTreeSet<CheckFile> {
    named(config).into_iter().map(|(file, _)| file).collect()
}

/// What is wrong with them.
pub(super) fn check(config: &Config, source: &Source, facts: &Facts, problems: &mut Problems) {
    for (file, place) in named(config) {
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
        let at = Spot::Value(place.path(source));
        problems.push(Problem::new(code, why.clone()).at(at, "").help(help));
    }
}

/// Where a file is named: below a check.
#[derive(Clone, Copy)]
struct Place<'a> {
    check: Whereabouts<'a>,
    /// The way from the check to the key; an empty step is none.
    steps: [&'static str; 3],
}

impl Place<'_> {
    fn path(&self, source: &Source) -> Path {
        let steps = self.steps.iter().filter(|step| !step.is_empty());
        steps.fold(self.check.path(source), |path, step| path.key(step))
    }
}

/// Every such file and where it is named.
fn named(config: &Config) -> Vec<(CheckFile, Place<'_>)> {
    let mut found = vec![];
    for (at, check) in checks(config.services.values()) {
        files(check, at, &mut found);
    }
    found
}

fn files<'a>(check: &Check, at: Whereabouts<'a>, found: &mut Vec<(CheckFile, Place<'a>)>) {
    let mut add = |file, below: &'static str, key: &'static str| {
        let steps = [check.kind.name(), below, key];
        found.push((file, Place { check: at, steps }));
    };
    match &check.kind {
        CheckKind::Network(network) => match &network.talk {
            Talk::Tls(tls) => secured(Some(tls), "", &mut add),
            Talk::Http(http) => secured(http.tls.as_ref(), "tls", &mut add),
            Talk::Redis(redis) => {
                login(&redis.login, &mut add);
                secured(redis.tls.as_ref(), "tls", &mut add);
            }
            Talk::Mysql(mysql) => login(&mysql.login, &mut add),
            Talk::Postgres(postgres) => {
                login(&postgres.login, &mut add);
                secured(postgres.tls.as_ref(), "tls", &mut add);
            }
            Talk::Smtp(smtp) => secured(smtp.starttls.as_ref(), "starttls", &mut add),
            Talk::Grpc(grpc) => secured(grpc.tls.as_ref(), "tls", &mut add),
            Talk::Tcp(_) | Talk::Icmp | Talk::Udp(_) | Talk::Dns(_) | Talk::Memcached => {}
            Talk::Agent { .. } => {}
        },
        CheckKind::File { path, .. } => {
            let folder = std::path::Path::new(path).parent();
            // One that depends on names is not looked for.
            if let Some(folder) = folder.filter(|folder| !folder.to_string_lossy().contains('{')) {
                add(CheckFile::Folder(folder.to_owned()), "", "path");
            }
        }
        CheckKind::Exec { .. } | CheckKind::Bfd { .. } => {}
    }
}

/// Takes a file, what the key is below in its check, and the key.
type Add<'a> = dyn FnMut(CheckFile, &'static str, &'static str) + 'a;

fn secured(tls: Option<&Tls>, below: &'static str, add: &mut Add<'_>) {
    let Some(tls) = tls else { return };
    if let Some(ca) = &tls.ca {
        add(CheckFile::Authorities(ca.clone()), below, "ca");
    }
    if let Some((certificate, key)) = &tls.identity {
        add(CheckFile::Identity(certificate.clone(), key.clone()), below, "certificate");
    }
}

fn login(login: &Login, add: &mut Add<'_>) {
    let Some(from) = &login.password else { return };
    let key = match from {
        SecretFrom::File(_) => "password_file",
        SecretFrom::Credential(_) => "password_credential",
    };
    add(CheckFile::Password(from.clone()), "", key);
}
