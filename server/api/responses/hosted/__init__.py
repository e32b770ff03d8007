"""Tools that the server itself runs for a response, and the items that they become."""
