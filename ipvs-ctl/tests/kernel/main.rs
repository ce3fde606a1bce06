//! Against a real kernel: these tests need root and ip_vs, and fail without. `cargo xtask test` runs them where both are.
//!
//! Each test has a network namespace of its own, which the kernel removes with the test's thread.
#![cfg_attr(
    test,
    expect(clippy::expect_used, clippy::unwrap_used, reason = "a test that can't go on fails")
)]

mod namespace;
mod objects;
mod raw;

mod batches;
mod commands;
mod forged;
mod golden;
mod ipvsadm;
mod refusals;
mod settings;
