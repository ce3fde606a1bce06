//! VRRP, ARP and ND sockets, addresses and links of this host.
