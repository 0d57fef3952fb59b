"""`python -m customhouse` is the command `customhouse`."""

from customhouse.cli.main import main

if __name__ == "__main__":
    main()
