"""``python -m ajobs``: the same as the ``ajobs`` command."""

from .cli import console

if __name__ == "__main__":
    console()
