"""vm: the machine: memory map, devices, hart threads, guest files, state."""
