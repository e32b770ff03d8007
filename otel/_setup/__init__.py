"""The SDK, configured once per process."""
