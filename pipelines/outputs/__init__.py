"""What leaves the house: notifications (and, later, reports, pages and feedback workbooks)."""
