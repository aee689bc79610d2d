"""Bytes become rows: every format as batches of text under the contract's column names."""
