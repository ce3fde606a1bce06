//! Where health, IPVS and VRRP meet: events in, actions out.
