"""The wire: classes that mirror the OpenAI API, one module a resource, and one converter. Imports nothing of ours."""
