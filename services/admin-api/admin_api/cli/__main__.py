"""`python -m admin_api.cli`: the same as `bitloot`."""

from admin_api.cli import main

if __name__ == "__main__":
    main()
