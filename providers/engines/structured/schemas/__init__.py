"""JSON schemas in the form that llguidance compiles, without changing what they accept."""
