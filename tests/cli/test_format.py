"""Numbers as text."""

from ajobs.cli._format import megabytes


def test_megabytes() -> None:
    """Sizes are in millions of bytes."""
    assert megabytes(12_345_678_901) == "12,345.7 MB"
