"""What `rondo doctor` finds: the machine, the compiler, the packages, and whether a cell runs."""
