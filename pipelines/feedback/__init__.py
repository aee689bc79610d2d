"""The workbooks that go back to departments."""
