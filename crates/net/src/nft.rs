//! The program `nft`, which loads tables of nftables in one transaction each.
//!
//! Nothing here is quick but [`is_there`]: a process is started, and waited for.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::answer::Answer;
use crate::clock::now;
use crate::netlink::RouteSocket;
use crate::wake::wait_until;

/// It needs milliseconds; after this time it is killed.
const TIMEOUT: Duration = Duration::from_secs(5);
/// So much of what it complains of is kept.
const ANSWER_LEN: usize = 4096;
/// So much of a listing is read. A table of ours with all that a configuration may have is a fifth of it.
const LISTING_LEN: u64 = 4 << 20;

/// `NFNL_SUBSYS_NFTABLES` of linux/netfilter/nfnetlink.h and `NFT_MSG_GETTABLE` of linux/netfilter/nf_tables.h.
const GET_TABLE: u16 = (10 << 8) | 1;
/// `NFPROTO_INET` of linux/netfilter.h.
const FAMILY_INET: u8 = 1;
/// `NFTA_TABLE_NAME` of linux/netfilter/nf_tables.h.
const TABLE_NAME: u16 = 1;

/// Whether the kernel has `table`: one question to it, and no process. `purpose` is for the error.
pub(crate) fn is_there(table: &str, purpose: &'static str) -> Result<bool, NftError> {
    let asked = RouteSocket::for_netfilter()
        .and_then(|mut netfilter| netfilter.question(GET_TABLE, &by_name(table)));
    match asked {
        Ok(()) => Ok(true),
        // No such table; no nf_tables; no netfilter.
        Err(Errno::ENOENT | Errno::EINVAL | Errno::EPROTONOSUPPORT) => Ok(false),
        Err(errno) => Err(NftError::Question {
            purpose,
            table: table.to_owned(),
            answer: Answer::of_netlink(errno),
        }),
    }
}

/// `struct nfgenmsg`, and the attribute that names the table.
fn by_name(table: &str) -> Vec<u8> {
    let name = [table.as_bytes(), &[0]].concat();
    let length = u16::try_from(4 + name.len()).unwrap_or(u16::MAX);
    let mut bytes = vec![FAMILY_INET, 0, 0, 0];
    bytes.extend(length.to_ne_bytes());
    bytes.extend(TABLE_NAME.to_ne_bytes());
    bytes.extend(name);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// The commands that remove `table`, whether it is there or not: it is declared before it is deleted.
pub(crate) fn removal(table: &str) -> String {
    format!("add table inet {table}\ndelete table inet {table}\n")
}

/// What the kernel has of `table`, counters left out; none when there is no such table. `purpose` is for the error.
pub(crate) fn listing(table: &str, purpose: &'static str) -> Result<Option<String>, NftError> {
    match run(&format!("list table inet {table}\n"), purpose) {
        Ok(text) => Ok(Some(text)),
        Err(NftError::Refused { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Runs `nft` on `script`, one transaction: what it answers. `purpose` is for the error.
pub(crate) fn run(script: &str, purpose: &'static str) -> Result<String, NftError> {
    let failed = |source| NftError::Start { purpose, source };
    let mut output = scratch().map_err(failed)?;
    let copy = output.try_clone().map_err(failed)?;
    let mut child = start(script, copy).map_err(failed)?;
    let complaint = listen(&mut child);
    if complaint.is_none() {
        // It may have ended at this moment; the wait tells.
        drop(child.kill());
    }
    let status = child.wait().map_err(failed)?;
    match complaint {
        None => Err(NftError::Silent { purpose }),
        Some(_) if status.success() => {
            let mut bytes = Vec::new();
            output.rewind().map_err(failed)?;
            output.take(LISTING_LEN).read_to_end(&mut bytes).map_err(failed)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        }
        Some(text) => {
            let answer = text.lines().next().unwrap_or_default().trim().to_owned();
            Err(NftError::Refused { purpose, answer })
        }
    }
}

/// A file in memory, which needs no pipe that somebody would have to fill or to empty.
fn scratch() -> io::Result<File> {
    Ok(File::from(memfd_create(c"holdfast-nft", MFdFlags::MFD_CLOEXEC)?))
}

/// `nft` reading `script`.
fn start(script: &str, output: File) -> io::Result<Child> {
    let mut file = scratch()?;
    file.write_all(script.as_bytes())?;
    file.rewind()?;
    Command::new("nft")
        .args(["--stateless", "-f", "-"])
        .env_clear()
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .stdin(file)
        .stdout(output)
        .stderr(Stdio::piped())
        .spawn()
}

/// What it complains of until it ends; none when it takes too long.
fn listen(child: &mut Child) -> Option<String> {
    let mut pipe = child.stderr.take()?;
    fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).ok()?;
    let deadline = now() + TIMEOUT;
    let mut said = Vec::new();
    let mut buffer = [0; 1024];
    loop {
        wait_until(&[pipe.as_fd()], Some(deadline)).ok()?;
        if now() >= deadline {
            return None;
        }
        match pipe.read(&mut buffer) {
            Ok(0) => return Some(String::from_utf8_lossy(&said).into_owned()),
            Ok(length) if said.len() < ANSWER_LEN => {
                said.extend_from_slice(buffer.get(..length).unwrap_or_default());
            }
            Ok(_) => {}
            // A signal ends the wait, too.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
                ) => {}
            Err(_) => return None,
        }
    }
}

/// Why a table of nftables is not as it should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NftError {
    /// The kernel does not say whether it has a table.
    #[error("look for the table {table} of nftables for {purpose}: {answer}")]
    Question {
        /// What the table is for.
        purpose: &'static str,
        /// Its name.
        table: String,
        /// What the kernel answered.
        answer: Answer,
    },
    /// There is no `nft`.
    #[error("start nft for {purpose}: install nftables")]
    Start {
        /// What the table is for.
        purpose: &'static str,
        /// What the operating system answered.
        source: io::Error,
    },
    /// It did not end.
    #[error("nft did not answer within {TIMEOUT:?} and was killed; {purpose} is not in force")]
    Silent {
        /// What the table is for.
        purpose: &'static str,
    },
    /// It, or the kernel, refused.
    #[error("nft refused the table for {purpose}: {answer}")]
    Refused {
        /// What the table is for.
        purpose: &'static str,
        /// The first line of its answer.
        answer: String,
    },
}
