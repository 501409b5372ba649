"""litmus: herd's x86 litmus tests, explored under SC or TSO, or run on the host's own CPU."""
