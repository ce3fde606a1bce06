//! The plan against a model of the kernel: a table that refuses what the kernel refuses.
#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test that can't go on fails"))]

mod examples;
mod kernel;
mod order;
mod properties;
