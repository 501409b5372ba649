"""Gnomon: a lockless shadow MMU you can run, move and prove."""

__version__ = "0.1.0"
