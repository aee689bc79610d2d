"""Outputs that leave the house: notifications."""
