"""What is wanted: by the control plane, and by Services."""
