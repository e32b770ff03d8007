"""`talk`: a spoken conversation in the terminal."""
