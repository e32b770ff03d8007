"""`/v1/realtime`: sessions, the items of their conversations, and the events of both sides."""
