"""`onevoice-edge`: start an edge from command line and environment."""

import os
import sys

from edge import options
from edge.errors import EdgeError
from edge.process import configure_logging
from edge.settings import Settings
from edge.supervisor import Supervisor


def main() -> int:
    """Run until asked to stop; one line that says what to do if it cannot start."""
    try:
        settings = options.read(Settings, "onevoice-edge", sys.argv[1:], os.environ)
        configure_logging(settings.log_level, "supervisor")
        check_files(settings)
        return Supervisor(settings).run()
    except EdgeError as error:
        print(f"onevoice-edge: {error}", file=sys.stderr)
        return 2 if error.code == "settings" else 1


def check_files(settings: Settings) -> None:
    """Read what settings name once here, so that a bad file stops the start and not each worker."""
    if settings.user_token_keys:
        from edge.identity import load_token_keys

        load_token_keys(settings.user_token_keys)
    if settings.mmdb is not None:
        from edge.context import Countries

        Countries("", "", settings.mmdb).close()


if __name__ == "__main__":
    sys.exit(main())
