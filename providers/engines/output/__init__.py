"""Generated text: detokenizing, and separating content, reasoning and tool calls."""
