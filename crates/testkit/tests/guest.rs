//! The guest runner: what goes in comes out, and nothing stays.
