//! The shell script that starts the command in the guest: its environment, its folder, its words.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    path::Path,
};

use anyhow::{Result, bail};

/// Variables that are passed on as they are.
const PASSED: &[&str] = &[
    "CARGO_HOME",
    "CARGO_TERM_COLOR",
    "CLICOLOR",
    "CLICOLOR_FORCE",
    "COLUMNS",
    "HOME",
    "LANG",
    "LC_ALL",
    "LINES",
    "LOGNAME",
    "NO_COLOR",
    "PATH",
    "RUSTUP_HOME",
    "TERM",
    "TZ",
    "USER",
];

/// Families of variables that are passed on. Cargo's own (`CARGO_*`) describe the caller, not the command.
const PASSED_PREFIXES: &[&str] = &["HOLDFAST_", "INSTA_", "PROPTEST_", "RUST_"];

/// Where Debian keeps the administrator's programs; a user's `PATH` seldom has them.
const ADMIN_PATH: &str = ":/usr/local/sbin:/usr/sbin:/sbin";

/// The part of the caller's environment that the command inherits.
pub(super) fn inherited(
    all: impl Iterator<Item = (OsString, OsString)>,
) -> BTreeMap<OsString, OsString> {
    let mut env: BTreeMap<_, _> = all.filter(|(name, _)| is_passed(name)).collect();
    env.entry("PATH".into())
        .or_insert_with(|| "/usr/local/bin:/usr/bin:/bin".into())
        .push(ADMIN_PATH);
    env
}

fn is_passed(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| {
        PASSED.contains(&name) || PASSED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    })
}

/// The script. It ends in `exec`, so that the command's status, and its death by a signal, are the script's.
pub(super) fn command(
    argv: &[OsString],
    cwd: &Path,
    env: &BTreeMap<OsString, OsString>,
) -> Result<Vec<u8>> {
    if argv.is_empty() {
        bail!("no command to run in the guest");
    }
    let mut script = Vec::new();
    for (name, value) in env {
        if !is_name(name.as_bytes()) {
            bail!("{} can't be the name of an environment variable", name.display());
        }
        script.extend_from_slice(b"export ");
        script.extend_from_slice(name.as_bytes());
        script.push(b'=');
        push_quoted(&mut script, value);
        script.push(b'\n');
    }
    script.extend_from_slice(b"cd ");
    push_quoted(&mut script, cwd.as_os_str());
    script.extend_from_slice(b" || exit 125\nexec");
    for word in argv {
        script.push(b' ');
        push_quoted(&mut script, word);
    }
    script.push(b'\n');
    Ok(script)
}

fn is_name(name: &[u8]) -> bool {
    name.first().is_some_and(|first| !first.is_ascii_digit())
        && name.iter().all(|&b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Appends `word` in single quotes; a single quote within becomes `'\''`.
fn push_quoted(script: &mut Vec<u8>, word: &OsStr) {
    script.push(b'\'');
    for &byte in word.as_bytes() {
        match byte {
            b'\'' => script.extend_from_slice(b"'\\''"),
            other => script.push(other),
        }
    }
    script.push(b'\'');
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn words(words: &[&str]) -> Vec<OsString> {
        words.iter().map(Into::into).collect()
    }

    #[test]
    fn a_shell_reads_back_every_byte() {
        let nasty = "it's $HOME `id` \"x\" \\ * \n\ttail";
        let env = BTreeMap::from([("NASTY".into(), nasty.into())]);
        let script = command(
            &words(&["sh", "-c", "printf %s\"$1\" \"$NASTY\"", "sh", nasty]),
            Path::new("/"),
            &env,
        )
        .unwrap();
        let script = String::from_utf8(script).unwrap();
        let out = Command::new("sh").args(["-c", &script]).output().unwrap();
        assert!(out.status.success());
        assert_eq!(String::from_utf8(out.stdout).unwrap(), format!("{nasty}{nasty}"));
    }

    #[test]
    fn a_variable_cannot_smuggle_code_in_its_name() {
        let env = BTreeMap::from([("A;id".into(), "x".into())]);
        assert!(command(&words(&["true"]), Path::new("/"), &env).is_err());
    }

    #[test]
    fn no_command_is_an_error() {
        assert!(command(&[], Path::new("/"), &BTreeMap::new()).is_err());
    }

    #[test]
    fn cargo_s_own_variables_stay_behind_and_the_path_is_widened() {
        let all = [
            ("CARGO_MANIFEST_DIR", "/x"),
            ("CARGO_HOME", "/c"),
            ("RUST_BACKTRACE", "1"),
            ("SECRET", "s"),
            ("PATH", "/bin"),
        ];
        let env = inherited(all.iter().map(|(k, v)| (k.into(), v.into())));
        let names: Vec<_> = env.keys().map(|k| k.to_str().unwrap()).collect();
        assert_eq!(names, ["CARGO_HOME", "PATH", "RUST_BACKTRACE"]);
        assert_eq!(env[OsStr::new("PATH")], "/bin:/usr/local/sbin:/usr/sbin:/sbin");
    }
}
