"""The built-in API server's figures, by the benchmark that is beside its tests."""
