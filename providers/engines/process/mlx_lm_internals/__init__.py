"""Everything that touches names private to mlx-lm: underscore names, replaced functions, layouts of its tuples.

mlx-lm may rename them in any version. Each module here lists its own, and `test_names.py` or the module's own test then
fails and names what is gone. No other package uses any. The package lies in `process` because `language` uses it, and
also `sampling`, `structured`, `prefix`, `decode` and `cpu`, which may import no engine.
"""
