//! Configuration text to domain types, with every problem found at once.

mod model;

pub use model::*;
