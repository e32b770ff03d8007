"""`POST /v1/chat/completions`: request and response, messages, tools, and response formats."""
