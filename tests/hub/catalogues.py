"""The small catalogue as files, and changes to it."""

from pathlib import Path

SMALL = Path(__file__).resolve().parent.parent / "catalogues" / "small"


def small_files() -> dict[str, str]:
    """Text by name."""
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(SMALL.glob("*.yaml"))}


def changed(file: str, old: str, new: str, files: dict[str, str] | None = None) -> dict[str, str]:
    """The small catalogue with one text replaced."""
    files = dict(small_files() if files is None else files)
    assert old in files[file]
    files[file] = files[file].replace(old, new)
    return files


def two_approvals() -> dict[str, str]:
    """A catalogue that needs two approvals."""
    return changed("governance.yaml", "approvals: 1", "approvals: 2")


def central() -> dict[str, str]:
    """A catalogue in which ben, an approver, is a publisher too."""
    return changed("governance.yaml", "roles: [owner, approver]", "roles: [owner, approver, publisher]")
