"""programs: small lock-free programs of the checker's own, to learn from and to measure with."""
