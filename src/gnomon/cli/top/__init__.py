"""top: a running machine in the terminal, redrawn while it runs."""
