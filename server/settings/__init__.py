"""Options, their parsers, the settings they make, and their documentation."""
