"""A cluster in network namespaces on this machine, and a client that watches it: for people, and for measuring."""
