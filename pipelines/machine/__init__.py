"""What the operating system does to us: logs, locks, disks and how their errors read."""
