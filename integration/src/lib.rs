//! The whole path on a real kernel: the demo and the tests in namespaces.
