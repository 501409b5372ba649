"""scenarios: what is checked of Gnomon itself. Each right one stands beside mutants that break one rule and must be refuted."""
