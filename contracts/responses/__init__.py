"""`/v1/responses`: request and response, items, events, and tools."""
