//! What this host has: interfaces, users, groups, programs.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use holdfast_config::SecretFrom;
use holdfast_config::host::{CheckFile, Facts, Program, Questions};
use holdfast_net::MonitorError;
use holdfast_probe::{files, trust};
use nix::errno::Errno;
use nix::unistd::{Group, User, geteuid};

use crate::{interfaces, pair, secret};

/// Why the host did not tell.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FactsError {
    /// The interfaces could not be listed.
    #[error("list the interfaces")]
    Interfaces(#[source] MonitorError),
    /// A user or group could not be looked up, which is more than that there is none.
    #[error("look up `{name}` among the users and groups")]
    Account {
        /// The user or group.
        name: String,
        /// What the host answered.
        #[source]
        source: Errno,
    },
}

/// Answers `questions` and lists the interfaces of this network namespace.
///
/// # Errors
/// The kernel or the user database fails to answer.
pub fn facts(questions: &Questions) -> Result<Facts, FactsError> {
    let mut facts = Facts { interfaces: interfaces::list()?, ..Facts::default() };
    let mut script_user = None;
    for name in &questions.users {
        let user = User::from_name(name).map_err(account(name))?;
        facts.users.insert(name.clone(), user.as_ref().map(|user| user.uid.as_raw()));
        script_user = user;
    }
    for name in &questions.groups {
        let group = Group::from_name(name).map_err(account(name))?;
        facts.groups.insert(name.clone(), group.map(|group| group.gid.as_raw()));
    }
    for path in &questions.programs {
        facts.programs.insert(path.clone(), program(path, script_user.as_ref()));
    }
    facts.firewall = questions.firewall.then(has_nft);
    for file in &questions.check_files {
        facts.check_files.extend(fault(file).map(|why| (file.clone(), why)));
    }
    for place in &questions.secrets {
        facts.secrets.insert(place.clone(), secret::read(place));
    }
    if let Some((pair, node)) = &questions.pair {
        facts.pair = pair::faults(pair, node);
    }
    Ok(facts)
}

/// What is wrong with a file of a check. What this user may not look at, root may: that is no finding.
fn fault(file: &CheckFile) -> Option<String> {
    let hidden = |path: &Path| {
        !geteuid().is_root()
            && fs::File::open(path)
                .is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
    };
    match file {
        CheckFile::Authorities(path) if !hidden(path) => files::authorities(path).err(),
        CheckFile::Identity(certificate, key) if !hidden(certificate) && !hidden(key) => {
            files::identity(certificate, key).err()
        }
        CheckFile::Password(SecretFrom::File(path)) if hidden(path) => None,
        // The service manager gives it to the daemon: elsewhere nobody can look.
        CheckFile::Password(SecretFrom::Credential(_))
            if std::env::var_os(files::CREDENTIALS).is_none() =>
        {
            None
        }
        CheckFile::Password(from) => files::password(from).err(),
        CheckFile::Folder(path) => {
            (!path.is_dir()).then(|| format!("the folder {} is not there", path.display()))
        }
        CheckFile::Authorities(_) | CheckFile::Identity(..) => None,
    }
}

/// Whether the daemon would find `nft`: in its path, which under a service manager has the folders for administrators' programs, also
/// where that of who asks does not.
fn has_nft() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let administrators = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(administrators)
        .any(|folder| program(&folder.join("nft").to_string_lossy(), None) != Program::Missing)
}

/// This host's name up to the first dot; `localhost` where it has none.
pub fn short_host_name() -> String {
    let full = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    let full = full.unwrap_or_default();
    match full.split('.').next() {
        None | Some("") => "localhost".to_owned(),
        Some(short) => short.to_owned(),
    }
}

fn account(name: &str) -> impl FnOnce(Errno) -> FactsError {
    let name = name.to_owned();
    move |source| FactsError::Account { name, source }
}

/// Whether `path` is a program for `user`; for anybody where the user is not known.
fn program(path: &str, user: Option<&User>) -> Program {
    let Ok(metadata) = fs::metadata(path) else { return Program::Missing };
    let mode = metadata.permissions().mode();
    let executable = match user {
        Some(user) if user.uid.is_root() => mode & 0o111 != 0,
        Some(user) if user.uid.as_raw() == metadata.uid() => mode & 0o100 != 0,
        Some(user) if user.gid.as_raw() == metadata.gid() => mode & 0o010 != 0,
        Some(_) => mode & 0o001 != 0,
        None => mode & 0o111 != 0,
    };
    if !metadata.is_file() || !executable {
        return Program::NotExecutable;
    }
    match untrusted(path, user) {
        Some(why) => Program::Untrusted { why },
        None => Program::Executable,
    }
}

/// Why a daemon that is root would not start `path`; none where it would, and where no such daemon is meant.
///
/// A daemon that is not root runs commands as its own user and asks nobody's permission. So who looks as that user looks for such a
/// daemon; anybody else looks for root's.
fn untrusted(path: &str, user: Option<&User>) -> Option<String> {
    let ourselves = geteuid();
    if !ourselves.is_root() && user.is_some_and(|user| user.uid == ourselves) {
        return None;
    }
    let distrust = trust::examine(Path::new(path)).err()?;
    // What this user may not look at, root may: that is no finding.
    let hidden = |error: &io::Error| error.kind() == io::ErrorKind::PermissionDenied;
    (!distrust.cause().is_some_and(hidden)).then(|| distrust.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_others_than_root_could_replace_is_not_trusted() {
        assert!(geteuid().is_root(), "this test gives files away: run it as root");
        let folder = tempfile::tempdir_in("/tmp").unwrap();
        let path = folder.path().join("check");
        fs::write(&path, "#!/bin/sh\n").unwrap();
        let mode = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        mode(folder.path(), 0o755);
        mode(&path, 0o755);
        let found = || program(path.to_str().unwrap(), None);
        assert_eq!(found(), Program::Executable);
        mode(&path, 0o777);
        let Program::Untrusted { why } = found() else { panic!("{:?}", found()) };
        assert!(why.contains("check is writable by group or others (mode 0777)"), "{why}");
        mode(&path, 0o755);
        mode(folder.path(), 0o777);
        assert!(matches!(found(), Program::Untrusted { .. }), "its directory");
        mode(folder.path(), 0o755);
        std::os::unix::fs::chown(&path, Some(1234), None).unwrap();
        assert!(matches!(found(), Program::Untrusted { .. }), "its owner");
    }

    #[test]
    fn the_loopback_interface_and_the_root_user_are_found_and_others_are_not() {
        let mut questions = Questions::default();
        questions.users.insert("root".into());
        questions.users.insert("hf-nobody-of-this-name".into());
        questions.programs.extend(["/bin/sh".into(), "/".into(), "/hf/none".into()]);
        let facts = facts(&questions).unwrap();
        assert!(facts.interfaces.iter().any(|interface| interface.name == "lo"));
        assert_eq!(facts.users["root"], Some(0));
        assert_eq!(facts.users["hf-nobody-of-this-name"], None);
        assert_eq!(facts.programs["/bin/sh"], Program::Executable);
        assert_eq!(facts.programs["/"], Program::NotExecutable);
        assert_eq!(facts.programs["/hf/none"], Program::Missing);
        assert_eq!(facts.firewall, None, "not asked");
    }

    #[test]
    fn files_of_checks_are_looked_into() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        let found = |file: CheckFile| fault(&file).unwrap_or_default();
        let password = || CheckFile::Password(SecretFrom::File(path.clone()));
        assert!(found(password()).ends_with("/password: no such file or directory (ENOENT)"));
        fs::write(&path, "\n").unwrap();
        assert!(found(password()).ends_with("has no password in its first line"));
        fs::write(&path, "secret\n").unwrap();
        assert_eq!(fault(&password()), None);
        let authorities = CheckFile::Authorities(path.clone());
        assert!(found(authorities).ends_with("/password has no certificate in PEM"));
        let identity = CheckFile::Identity(path.clone(), path.clone());
        assert!(found(identity).ends_with("/password has no certificate in PEM"));
        assert_eq!(fault(&CheckFile::Folder(folder.path().to_owned())), None);
        assert!(found(CheckFile::Folder("/hf/none".into())).contains("/hf/none is not there"));
    }
}
