"""Parts of turns that are not plain text: what the server reads in them, and the pictures that it shows."""
