"""`models`: the weights on this machine."""
