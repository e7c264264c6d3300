"""Virtual IP addresses for Kubernetes control planes and LoadBalancer Services."""
