//! The way to the kernel's IPVS, and ipvsadm's words where there is none.

use std::process::Command;

use ipvs_ctl::client::{Client, ClientError};
use ipvs_ctl::model::Info;
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};

use super::terms::{Asked, errno_of};

/// What ipvsadm runs to load the module.
const MODPROBE: &str = "/sbin/modprobe";

/// Why there is no way to the kernel's IPVS.
#[derive(Debug)]
pub(super) struct Closed {
    /// ipvsadm's sentence.
    pub(super) sentence: String,
    /// The client's error.
    pub(super) error: ClientError,
}

/// Opens the client and asks for the version. Where that fails the module is loaded and it is tried once more.
///
/// # Errors
/// There is no IPVS, or this process may not have it.
pub(super) fn open() -> Result<(Client, Info), Closed> {
    let first = match attempt() {
        Ok(opened) => return Ok(opened),
        Err(error) => error,
    };
    let loaded = Command::new(MODPROBE).args(["--", "ip_vs"]).status();
    let error = if loaded.is_ok_and(|status| status.success()) {
        match attempt() {
            Ok(opened) => return Ok(opened),
            Err(error) => error,
        }
    } else {
        first
    };
    let sentence = Asked::Version.sentence(reason(&error));
    let sentence = format!(
        "Can't initialize ipvs: {sentence}\nAre you sure that IP Virtual Server is built in the kernel or as module?"
    );
    Err(Closed { sentence, error })
}

fn attempt() -> Result<(Client, Info), ClientError> {
    let mut client = Client::open()?;
    let info = client.info()?;
    Ok((client, info))
}

/// A kernel without the netlink family is asked by a raw socket's option, which not everybody may open.
fn reason(error: &ClientError) -> Errno {
    if !matches!(error, ClientError::NoIpvs) {
        return errno_of(error);
    }
    let raw = socket(AddressFamily::Inet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::Raw);
    raw.err().unwrap_or(Errno::ENOPROTOOPT)
}
