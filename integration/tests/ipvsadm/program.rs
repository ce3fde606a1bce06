//! The two programs, and a namespace to run them in.

use std::ffi::OsString;
use std::io::Write as _;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use holdfast_integration::Programs;
use nix::sched::{CloneFlags, unshare};

/// Debian's.
pub(crate) const IPVSADM: &str = "/usr/sbin/ipvsadm";

/// What a run of a program said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    /// The exit status, or the signal as a negative number.
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Ours.
pub(crate) fn holdfast() -> PathBuf {
    Programs::find().unwrap().holdfast
}

/// Runs a program by the name `name`, with `input` on its standard input.
pub(crate) fn run(program: &str, name: &str, words: &[Vec<u8>], input: &[u8]) -> Said {
    let mut command = Command::new(program);
    command.arg0(name).args(words.iter().cloned().map(OsString::from_vec));
    said(command, input)
}

/// Runs our program as `holdfast ipvs`, the words parted by blanks.
pub(crate) fn holdfast_ipvs(line: &str, input: &str) -> Said {
    let mut command = Command::new(holdfast());
    command.arg("ipvs").args(line.split_whitespace());
    said(command, input.as_bytes())
}

/// Runs the real ipvsadm, the words parted by blanks.
pub(crate) fn ipvsadm(line: &str) -> Said {
    let words: Vec<_> = line.split_whitespace().map(|word| word.as_bytes().to_vec()).collect();
    run(IPVSADM, "ipvsadm", &words, b"")
}

/// Runs a command with `input` on its standard input.
pub(crate) fn said(mut command: Command, input: &[u8]) -> Said {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    // A program that does not read its input closes it.
    let _written = stdin.write_all(input);
    drop(stdin);
    let output = child.wait_with_output().expect("the program ends");
    // What is not UTF-8 is told byte for byte.
    let text = |bytes: Vec<u8>| {
        String::from_utf8(bytes).unwrap_or_else(|bytes| bytes.as_bytes().escape_ascii().to_string())
    };
    Said {
        code: output
            .status
            .code()
            .or_else(|| output.status.signal().map(|signal| -signal))
            .unwrap_or(-1),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

/// Moves the thread into a fresh network namespace with an interface d0, on which multicast works.
pub(crate) fn enter_namespace() {
    unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace: run this by `cargo xtask test`");
    for line in [
        "link set lo up",
        "link add d0 type dummy",
        "address add 10.1.0.254/24 dev d0",
        "-6 address add 2001:db8:1::fe/64 dev d0 nodad",
        "link set d0 up multicast on",
    ] {
        let done = Command::new("ip").args(line.split(' ')).status().expect("ip starts");
        assert!(done.success(), "ip {line}");
    }
}
