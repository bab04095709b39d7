"""Extensions and generated gRPC code; everything else about the distribution is in pyproject.toml.

`ONEVOICE_BUILD_MODE=debug` compiles with checks and without optimisation. It does not change what the code
means: `cdivision` and `wraparound` stay as they are. `sanitize` has AddressSanitizer and
UndefinedBehaviorSanitizer watch the code of a release: Cython's own checks stay off, for they would stand
before the reads and writes that are to be watched.
"""

import os
import re
import sys
from pathlib import Path

import Cython.Compiler.Errors
import Cython.Compiler.Options
import Cython.Compiler.PyrexTypes
import Cython.Compiler.Symtab
from Cython.Build import cythonize
from setuptools import Command, Extension, find_packages, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

PACKAGES = ("core", "edge", "hub")
PROTOS = Path("protos")
GENERATED = ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py")
DATA = ["*.pyx", "*.pxd", "*.pxi", "*.pyi", "py.typed", "*.h", "*.lark", "*.js", "*.json", "*.proto"]
COMPILER_PROCESSES = 2

MODE = os.environ.get("ONEVOICE_BUILD_MODE", "release")
if MODE not in ("release", "debug", "sanitize"):
    sys.exit(f"ONEVOICE_BUILD_MODE: expected release, debug or sanitize, got {MODE}")
DEBUG = MODE == "debug"
SANITIZE = MODE == "sanitize"

DIRECTIVES = {
    "language_level": 3,
    "embedsignature": True,
    "boundscheck": DEBUG,
    "wraparound": False,
    "initializedcheck": DEBUG,
    "nonecheck": DEBUG,
    "overflowcheck": DEBUG,
    "cdivision": True,
}

# The same floating-point results on every machine: no contraction to fused multiply-add, never -ffast-math,
# and portable code, so no -march.
OPTIMISATION = {"release": ["-O3", "-g0"], "debug": ["-O0", "-g"], "sanitize": ["-O1", "-g"]}
# A finding of either ends the process. `undefined` lacks casts of floating point; floats are divided by zero
# on purpose, as IEEE 754 and CEL have it.
SANITIZERS = [
    "-fsanitize=address,undefined,float-cast-overflow",
    "-fno-sanitize-recover=all",
    "-fno-omit-frame-pointer",
]
FLAGS = [
    *OPTIMISATION[MODE],
    *(SANITIZERS if SANITIZE else []),
    "-ffp-contract=off",
    "-Wall",
    "-Wno-unused-function",
    "-Wno-unreachable-code",
    "-Werror=implicit-function-declaration",
    "-Werror=incompatible-pointer-types",
    "-Werror=int-conversion",
    "-Werror=return-type",
    "-Werror=uninitialized",
]


def refuse_performance_hint(position, message, env):
    """Stand in for Cython's own function: its hints, mostly of hidden GIL round trips, are errors here."""
    if env.directives["show_performance_hints"]:
        Cython.Compiler.Errors.error(position, f"performance hint: {message}")


# The two modules hold the function under their own name; worker processes are forked and keep the change.
for module in (Cython.Compiler.PyrexTypes, Cython.Compiler.Symtab):
    module.performance_hint = refuse_performance_hint


NEEDED = re.compile(
    r"""^from\s+([\w.]+)\s+cimport|^cdef\s+extern\s+from\s+"([\w.]+)"|^\s*\#\s*include\s+"([\w.]+)\"""",
    re.MULTILINE,
)


def headers_of(source: Path) -> list[str]:
    """The headers that a module's C comes to include, through what it cimports too, so that a changed header
    compiles again those modules alone that see it. Cython finds the first level only.
    """
    found: set[Path] = set()
    waiting = [source, source.with_suffix(".pxd")]
    while waiting:
        path = waiting.pop()
        if path in found or not path.exists():
            continue
        found.add(path)
        for module, extern, include in NEEDED.findall(path.read_text()):
            header = extern or include
            waiting.append(Path("core", header) if header else Path(*module.split(".")).with_suffix(".pxd"))
    return sorted(str(path) for path in found if path.suffix == ".h")


def extensions() -> list[Extension]:
    return [
        Extension(
            ".".join(path.with_suffix("").parts),
            [str(path)],
            depends=headers_of(path),
            include_dirs=["core"],
            define_macros=[(f"ONEVOICE_{MODE.upper()}", "1")],
            extra_compile_args=FLAGS,
            extra_link_args=SANITIZERS[:1] if SANITIZE else [],
        )
        for package in PACKAGES
        for path in sorted(Path(package).rglob("*.pyx"))
    ]


class BuildProtos(Command):
    """Generate `onevoice.v1` from the .proto files, next to them, and drop what has lost its .proto file."""

    description = "generate gRPC code from protos/"
    user_options = []

    def initialize_options(self) -> None:
        """Nothing can be chosen."""

    def finalize_options(self) -> None:
        """Nothing can be chosen."""

    def run(self) -> None:
        import grpc_tools
        from grpc_tools import protoc

        for pattern in GENERATED:
            for stale in PROTOS.rglob(pattern):
                stale.unlink()
        sources = sorted(str(path) for path in PROTOS.rglob("*.proto"))
        if not sources:
            return
        well_known = str(Path(grpc_tools.__file__).parent / "_proto")
        outputs = [f"--{kind}_out={PROTOS}" for kind in ("python", "pyi", "grpc_python")]
        status = protoc.main(["protoc", f"-I{PROTOS}", f"-I{well_known}", *outputs, *sources])
        if status != 0:
            sys.exit(f"protoc failed (exit {status})")


def protos_are_stale() -> bool:
    for proto in PROTOS.rglob("*.proto"):
        for pattern in GENERATED:
            generated = proto.with_name(pattern.replace("*", proto.stem))
            if not generated.exists() or generated.stat().st_mtime < proto.stat().st_mtime:
                return True
    return False


class BuildPy(build_py):
    """Generated modules are part of the packages, so they are made first."""

    def run(self) -> None:
        if protos_are_stale():
            self.run_command("build_protos")
        super().run()


class BuildExt(build_ext):
    """Translate and compile two files at once, and keep the objects of every in-place build in one folder."""

    def finalize_options(self) -> None:
        # Here and not in setup(): the other commands need no translated core.
        try:
            self.distribution.ext_modules = cythonize(
                extensions(),
                compiler_directives=DIRECTIVES,
                build_dir=f"build/{MODE}/cython",
                nthreads=COMPILER_PROCESSES,
                quiet=not self.verbose,
                force=bool(self.force) or MODE != "release",
            )
        except Cython.Compiler.Errors.CompileError as error:
            sys.exit(f"Cython refused {error}, for the reasons above")
        super().finalize_options()

    def run(self) -> None:
        self.parallel = self.parallel or COMPILER_PROCESSES
        if self.inplace or self.editable_mode:
            self.build_lib = f"build/{MODE}/lib-inplace"
            self.build_temp = f"build/{MODE}/temp"
        super().run()


setup(
    packages=[
        *find_packages(include=[f"{name}{end}" for name in PACKAGES for end in ("", ".*")]),
        "onevoice",
        "onevoice.v1",
    ],
    package_dir={"onevoice": "protos/onevoice"},
    package_data={"": DATA},
    include_package_data=False,
    options={"build_py": {"compile": False}},
    ext_modules=extensions(),
    cmdclass={"build_protos": BuildProtos, "build_py": BuildPy, "build_ext": BuildExt},
)
