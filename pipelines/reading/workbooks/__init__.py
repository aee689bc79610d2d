"""Workbooks: .xlsx, .xls, .xlsb, .ods."""
