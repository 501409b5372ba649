"""stress: the dirty log under every churn at once, on real threads. guest.py stores, churn.py disturbs, oracle.py asks, soak.py repeats."""
