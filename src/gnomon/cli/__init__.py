"""cli: the commands. Every module here is light to import; what is heavy (Numba, the machine) is imported by the command that needs it."""
