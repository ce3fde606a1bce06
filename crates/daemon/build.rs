//! The build script of both programs: has the linker pack their relocations where the C library can unpack them.
//!
//! A program that may be loaded anywhere has some twenty thousand words in it that are moved by where that is. Each has 24 bytes that the loader
//! reads before the program begins; packed (DT_RELR), it is a bit of a word. So 140 pages less are read at a start, and kept.
//!
//! The loader of glibc can do it since 2.36. Who builds with an older one, or for another machine, gets the relocations as they were.

use std::env;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=../daemon/build.rs");
    let gnu = env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|of_target| of_target == "gnu");
    let native = env::var_os("HOST") == env::var_os("TARGET");
    if gnu && native && glibc().is_some_and(|version| version >= (2, 36)) {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// The version of this machine's glibc; none where there is no other or nobody knows.
fn glibc() -> Option<(u32, u32)> {
    let told = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    let told = String::from_utf8(told.stdout).ok()?;
    let (major, minor) = told.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
