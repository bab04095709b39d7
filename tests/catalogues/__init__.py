"""Catalogues that tests share, as files by name."""

from pathlib import Path

FOLDER = Path(__file__).resolve().parent


def files_of(folder: Path) -> dict[str, str]:
    """The YAML files of a folder, by name."""
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.yaml"))}


def small() -> dict[str, str]:
    """One of every kind of object."""
    return files_of(FOLDER / "small")
