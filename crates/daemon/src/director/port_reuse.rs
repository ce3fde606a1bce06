//! The one setting of the kernel's IPVS that the daemon makes: what happens to a client's port that is used again.
//!
//! Under direct routing and tunnels the kernel sees only what clients send. It keeps a closed connection in FIN_WAIT for two
//! minutes, and by default gives a new connection from the same port to the same server. Where that server has been removed
//! meanwhile, it drops the new connection instead: a removal would cost some clients a timeout. With bit 2 of
//! `net.ipv4.vs.conn_reuse_mode` the kernel chooses a server anew (Documentation/networking/ipvs-sysctl.rst).

use std::fs;
use std::io;

const SETTING: &str = "/proc/sys/net/ipv4/vs/conn_reuse_mode";

/// Also when the old connection is in FIN_WAIT.
const FIN_WAIT: u32 = 2;

/// What to do about a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Nothing.
    Leave,
    /// Write this.
    Set(u32),
    /// The operator turned reuse off: leave it and say what that means.
    Off,
}

/// Lets new connections from used ports have a server chosen anew. What can't be done is logged: the daemon works without.
pub(super) fn allow() {
    let step = match fs::read_to_string(SETTING) {
        Ok(text) => step(&text),
        // Kernels before 4.1 have no such setting, and no such rule.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return,
        Err(error) => return tracing::warn!(setting = SETTING, %error, "{RISK}"),
    };
    match step {
        Step::Leave => {}
        Step::Off => tracing::warn!(setting = SETTING, value = 0, "{RISK}"),
        Step::Set(value) => match fs::write(SETTING, value.to_string()) {
            Ok(()) => tracing::info!(setting = SETTING, value, "the kernel's setting was changed"),
            Err(error) => tracing::warn!(setting = SETTING, %error, "{RISK}"),
        },
    }
}

const RISK: &str = "clients that use a port again within two minutes may get no answer after a server was removed: `sysctl -w net.ipv4.vs.conn_reuse_mode=3`";

/// What to do where the setting reads `text`.
fn step(text: &str) -> Step {
    match text.trim().parse::<u32>() {
        Ok(0) => Step::Off,
        Ok(value) if value & FIN_WAIT == 0 => Step::Set(value | FIN_WAIT),
        // A value that is no number is one of a kernel to come.
        Ok(_) | Err(_) => Step::Leave,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bit_is_added_and_an_operators_choice_is_left() {
        assert_eq!(step("1\n"), Step::Set(3));
        assert_eq!(step("3\n"), Step::Leave);
        assert_eq!(step("2\n"), Step::Leave);
        assert_eq!(step("0\n"), Step::Off);
        assert_eq!(step("yes\n"), Step::Leave);
    }
}
