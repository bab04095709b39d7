"""The build under test is the one that was asked for, here and in child processes."""

import os
import subprocess
import sys
from pathlib import Path

import core
from core import _build

ROOT = Path(__file__).resolve().parent.parent
MODE = os.environ.get("ONEVOICE_BUILD_MODE", "release")
HOME = ROOT if MODE == "release" else ROOT / "build" / MODE / "lib"


def test_compiled_core_has_the_mode_under_test() -> None:
    assert _build.BUILD_MODE == MODE


def test_packages_come_from_the_build_under_test() -> None:
    assert Path(core.__file__ or "").parent == HOME / "core"
    assert Path(_build.__file__).parent == HOME / "core"


def test_child_processes_import_the_same_build() -> None:
    command = [sys.executable, "-c", "import core._build as build; print(build.__file__)"]
    printed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert printed.strip() == _build.__file__


def test_generated_grpc_code_is_importable() -> None:
    from onevoice.v1 import common_pb2

    assert common_pb2.DESCRIPTOR.package == "onevoice.v1"
