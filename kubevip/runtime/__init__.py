"""Drives the pure core: tasks, timers and the order of effects. asyncio alone, structured by anyio."""
