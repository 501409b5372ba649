"""check: every interleaving of the very kernels that run, under SC and x86-TSO."""
