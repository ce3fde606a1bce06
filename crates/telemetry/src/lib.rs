//! What the daemon tells the outside while it works: logs, metrics, and word to the service manager.

pub mod checks;
pub mod log;
pub mod metrics;
pub mod service_manager;
pub mod tally;
