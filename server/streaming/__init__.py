"""Speech to files: the formats it is sent in, encoded and streamed as it is made."""
