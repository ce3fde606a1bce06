//! Logs, metrics and service-manager notification.
