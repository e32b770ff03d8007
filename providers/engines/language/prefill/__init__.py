"""When prompts are computed: their chunks beside running answers, and what arriving ones share."""
