"""The operational database: alerts, notifications, timings of steps."""
