"""`python -m caret` and the `caret` script."""

from caret.cli import run_command


def main() -> None:
    run_command()


if __name__ == "__main__":
    main()
