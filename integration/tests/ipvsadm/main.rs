//! `holdfast` under the name `ipvsadm`, and `holdfast ipvs`, against the real ipvsadm on a real kernel.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "this is test code: what goes wrong here is a failed test, and a panic says where"
)]

mod beyond;
mod connections;
mod differences;
mod program;
mod script;
mod streams;
mod table;
mod without_root;
