"""`python -m server.cli`: the command, where the script is not on the path."""

from server.cli import main

if __name__ == "__main__":
    main()
