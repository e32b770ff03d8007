"""What a machine, or a group of machines, needs to serve models."""
