"""What is asked of the operating system: whole files, digests, locks, processors, JSON."""
