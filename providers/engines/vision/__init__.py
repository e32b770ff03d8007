"""What language models with eyes need beside those without: pictures as runs of tokens that no vocabulary has."""
