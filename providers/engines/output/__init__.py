"""Generated text: detokenizing, stops, and splitting reasoning and tool calls from content."""
