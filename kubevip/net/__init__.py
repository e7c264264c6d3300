"""The kernel: addresses, links and frames. The only place that opens netlink and packet sockets."""
