//! The project's own tasks: demo, test, check, guest, layers.

fn main() {}
