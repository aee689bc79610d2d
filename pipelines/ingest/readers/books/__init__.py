"""Workbooks and pages: grids of cells, on sheets or in tables."""
