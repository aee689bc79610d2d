"""Write the workbooks that go back to departments."""
