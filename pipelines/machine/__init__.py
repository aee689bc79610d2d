"""The machine below us: its logs, locks and disks, and what its failures mean."""
