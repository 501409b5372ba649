"""pressure: machines and another consumer of memory on one pool, by every reclaim: who is left without, and who is bounded."""
