"""Catalogues that tests share, as files by name."""

from pathlib import Path

import yaml

FOLDER = Path(__file__).resolve().parent


def files_of(folder: Path) -> dict[str, str]:
    """The YAML files of a folder, by name."""
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.yaml"))}


def small() -> dict[str, str]:
    """One of every kind of object."""
    return files_of(FOLDER / "small")


class TimesStayTexts(yaml.SafeLoader):
    """As the reader has it."""


TimesStayTexts.yaml_implicit_resolvers = {
    key: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for key, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
