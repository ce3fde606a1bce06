//! The control API: its types, and a client for them.
