//! The size of a terminal.

use std::io::IsTerminal;
use std::os::fd::{AsFd, AsRawFd};

/// The columns and rows of the terminal that `output` is, now; none where it is no terminal or does not say.
#[expect(unsafe_code, reason = "neither the standard library nor nix asks for the size")]
pub fn size(output: &(impl AsFd + IsTerminal)) -> Option<(u16, u16)> {
    if !output.is_terminal() {
        return None;
    }
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // JUSTIFICATION: the request is not among nix's.
    // SAFETY: the descriptor is open for as long as it is borrowed, and TIOCGWINSZ writes one winsize (ioctl_tty(2)).
    let answer =
        unsafe { libc::ioctl(output.as_fd().as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
    (answer == 0 && size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col, size.ws_row))
}
