"""The Kubernetes API: the only place that imports kubernetes_asyncio, and the only one that knows wall-clock text."""
