"""Media that requests name by URL: fetched from public addresses, decoded, or read below one folder."""
