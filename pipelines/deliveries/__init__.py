"""What passes between rooms: deliveries, judgements, reasons, the form of a feedback workbook."""
