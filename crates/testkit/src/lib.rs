//! The test lab: virtual LAN and clock, namespaces, guest kernel.
