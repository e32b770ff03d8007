"""What every endpoint that generates text shares."""
