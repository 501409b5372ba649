"""Specifications of layers that are verified by themselves, to stand in their place in a scenario that says so.

A specification allows everything that the layer promises to allow and waits for nothing else; scenarios/refine.py shows that the
shipped layer does nothing that its specification forbids.
"""
