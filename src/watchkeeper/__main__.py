"""The command `watchkeeper`: says in one line when the operational packages are missing."""

import sys
from importlib.util import find_spec


def main() -> None:
    """Run the command line; exits with the documented code."""
    from watchkeeper.cli.main import run

    run(sys.argv[1:], ops_installed=find_spec("sqlmodel") is not None and find_spec("prefect") is not None)


if __name__ == "__main__":
    main()
