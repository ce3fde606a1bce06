//! Health checks: what is sent to a real server, and what its answer means.
