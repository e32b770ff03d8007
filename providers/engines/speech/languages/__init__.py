"""Reading: from the text of a language to words with phonemes of Kokoro's alphabet. A module per way of reading."""
