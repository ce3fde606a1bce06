//! Every command of the family.

use crate::namespace::client;

#[test]
fn info_tells_the_version_and_the_size_of_the_table() {
    let info = client().info().unwrap();
    assert_eq!(info.version, (1, 2, 1));
    assert!(info.connection_table_size >= 256);
}

#[test]
fn a_fresh_namespace_has_an_empty_table() {
    let status = client().status().unwrap();
    assert!(status.services.is_empty() && status.unreadable.is_empty());
}
