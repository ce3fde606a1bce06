//! The wire format: bytes that real kernels took, both ways, and properties over all attributes.
#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test that can't go on fails"))]

mod attributes;
mod golden;
mod properties;
