//! Holds a lab, or a guest, until it is killed: for the tests, which kill it and look at what stays, and for a person who
//! wants a lab to look around in (`cargo run -p holdfast-testkit --bin testkit-hold -- lab`).
//!
//! `testkit-hold lab` prints the lab's id and how to enter its nodes; `testkit-hold guest FOLDER` keeps its run folder in
//! FOLDER, and prints what the guest prints, which is `up`; `testkit-hold kept FOLDER` leaves a guest up whose command
//! has failed, and prints `kept`.

#![expect(clippy::print_stdout, reason = "a program talks to its terminal")]

use std::io;

use anyhow::{Result, bail};
use holdfast_testkit::{guest::Guest, lab::Lab};

/// A process of its own session and one that never sleeps: both must go with the guest.
const STUBBORN: &str = "echo up; setsid sleep 100000 & while :; do :; done";

fn main() -> Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["lab"] => {
            let lab = Lab::new()?;
            let _sleeper = lab.web(1).spawn("sleeper", ["sleep", "100000"])?;
            println!("{}", lab.id());
            for node in lab.nodes() {
                println!("ip netns exec {} bash", node.namespace());
            }
            loop {
                std::thread::park();
            }
        }
        ["guest", base] => {
            let guest = Guest::new(["sh", "-c", STUBBORN]).base(base);
            guest.run(&mut io::stdout(), &mut io::stderr()).map(drop)
        }
        ["kept", base] => {
            let guest = Guest::new(["sh", "-c", "echo left >/run/mark; exit 3"]).base(base);
            let guest = guest.keep(|_| println!("kept"));
            guest.run(&mut io::stdout(), &mut io::stderr()).map(drop)
        }
        _ => {
            bail!("usage: testkit-hold lab | testkit-hold guest FOLDER | testkit-hold kept FOLDER")
        }
    }
}
