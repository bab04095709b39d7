"""C that is written for one workload and compiled when a benchmark runs: the limit that figures are held
against. Called from Python as our own functions are: a buffer in, a number or a list out."""

import importlib.util
import shutil
import subprocess
import sysconfig
from pathlib import Path
from types import ModuleType
from typing import Final

#: For this very machine, which the portable build of the core is not.
FLAGS: Final = ("-O3", "-march=native", "-ffp-contract=off", "-fPIC", "-shared")


def compile_module(name: str, source: str, folder: Path) -> ModuleType:
    """Compile an extension module's source and import it."""
    compiler = shutil.which("cc")
    assert compiler, "no C compiler: the core could not be built without one"
    path = folder / f"{name}.c"
    path.write_text(source)
    library = folder / f"{name}.so"
    include = sysconfig.get_paths()["include"]
    subprocess.run([compiler, *FLAGS, f"-I{include}", str(path), "-o", str(library), "-lm"], check=True)
    spec = importlib.util.spec_from_file_location(name, library)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def array(kind: str, name: str, values: list[object]) -> str:
    """A constant array."""
    return f"static const {kind} {name}[] = {{{', '.join(str(value) for value in values) or '0'}}};\n"
