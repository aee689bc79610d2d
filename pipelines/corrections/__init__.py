"""A returned feedback workbook becomes rows again."""
