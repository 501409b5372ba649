"""mem: one pool of page frames, and slab caches of objects on it."""
