"""The wire format: attrs classes that mirror the OpenAI API, one module per resource, and one converter.

The package imports nothing of ours and no web framework.
"""
