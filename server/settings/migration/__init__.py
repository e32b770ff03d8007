"""Names that other servers have for options, and the page of documentation about them."""
