"""Between JSON or forms and contracts: the converter, its hooks, and readable problems."""
