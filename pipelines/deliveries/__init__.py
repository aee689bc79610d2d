"""Deliveries, judgements, reasons, the form of feedback workbooks: they pass between rooms."""
