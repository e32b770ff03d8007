"""`/v1/responses` and the store behind it."""
