"""The declared configuration: sources, metrics, targets, departments, suites; no database."""
