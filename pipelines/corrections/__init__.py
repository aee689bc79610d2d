"""Returned feedback workbooks: their rows replace rows of the delivery that they correct."""
