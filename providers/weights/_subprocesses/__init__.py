"""Processes that a pull starts, none of which survives an interrupted pull."""
