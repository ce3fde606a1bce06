//! The director: elects, forwards, checks.

fn main() {}
