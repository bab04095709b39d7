"""What the shop's process is told by the supervisor, through the environment."""

import os
from dataclasses import dataclass
from pathlib import Path

PREFIX = "SHOP_"


@dataclass(frozen=True)
class ShopSettings:
    """Everything is required; `edges` are addresses, the nearest first."""

    port: int
    edges: tuple[str, ...]
    site_key: str
    site: str
    user_token_key: Path

    def as_environment(self) -> dict[str, str]:
        return {
            PREFIX + "PORT": str(self.port),
            PREFIX + "EDGES": ",".join(self.edges),
            PREFIX + "SITE_KEY": self.site_key,
            PREFIX + "SITE": self.site,
            PREFIX + "USER_TOKEN_KEY": str(self.user_token_key),
        }


def from_environment() -> ShopSettings:
    given = {name: value for name, value in os.environ.items() if name.startswith(PREFIX)}
    environment = {name.removeprefix(PREFIX): value for name, value in given.items()}
    return ShopSettings(
        port=int(environment["PORT"]),
        edges=tuple(environment["EDGES"].split(",")),
        site_key=environment["SITE_KEY"],
        site=environment["SITE"],
        user_token_key=Path(environment["USER_TOKEN_KEY"]),
    )
