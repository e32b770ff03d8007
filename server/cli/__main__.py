"""`python -m server.cli`: the command for environments whose script is not on the path."""

from server.cli import main

if __name__ == "__main__":
    main()
