"""The warehouse: the only package that opens it, and the only one that writes it.

connection (lock, migrations) · tables (from contracts) · load (a wave is one transaction) ·
metrics (compiled from metrics.yaml) · ledger (what is known of deliveries) · pace (read for and
written by tracking) · publish (read-only generations).
"""
