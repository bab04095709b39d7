"""Bring a fresh checkout to a working environment, doing only what has changed since the last time.

`python3 tools/prepare.py` makes `.venv`, installs the locked packages with their hashes, generates the gRPC
code, compiles the extensions in place and installs the checkout as editable. `--debug` makes the debug copy
in `build/debug/lib` as well, `--sanitize` the one that AddressSanitizer and UndefinedBehaviorSanitizer watch
in `build/sanitize/lib`; `--browser` installs Debian's Chromium where that is possible; `--peers` makes a
second environment in `build/peers`, which has what the benchmarks compare with as well.

Each step is remembered in `.stamps/` under a digest of everything it depends on, so contents count, not file
times. A lock file serialises two runs in one checkout. Only the standard library is used, and the syntax
stays old enough for an outdated interpreter to reach its own error message.
"""

import argparse
import fcntl
import functools
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
PEERS = ROOT / "build" / "peers"
STAMPS = ROOT / ".stamps"

PYTHON_MIN = (3, 11)
PACKAGES = ("core", "edge", "hub")
NATIVE_SUFFIXES = (".pyx", ".pxd", ".pxi", ".h", ".c")
DEBIAN_COMPILER = "apt-get install gcc libc6-dev python3-dev"
DEBIAN_SANITIZERS = "apt-get install gcc"
SANITIZER_LIBRARIES = ("libasan.so", "libubsan.so")
DEBIAN_VENV = "apt-get install python3-venv"

PIP = (PYTHON, "-m", "pip", "install", "--quiet", "--require-hashes", "--only-binary=:all:")
UV_PIP = (VENV / "bin" / "uv", "pip")


class PrepareError(Exception):
    """A step cannot be done here; the message says what to do about it."""


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--debug", action="store_true", help="also build the debug copy in build/debug/lib")
    parser.add_argument(
        "--sanitize", action="store_true", help="also build the watched copy in build/sanitize/lib"
    )
    parser.add_argument("--browser", action="store_true", help="install Debian's Chromium if it is missing")
    parser.add_argument("--peers", action="store_true", help="also make build/peers for `make bench-full`")
    options = parser.parse_args()
    try:
        check_python()
        STAMPS.mkdir(exist_ok=True)
        with (STAMPS / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            prepare(options)
    except PrepareError as error:
        sys.exit("onevoice: {}".format(error))
    except subprocess.CalledProcessError as error:
        sys.exit("onevoice: `{}` failed (exit {})".format(" ".join(map(str, error.cmd)), error.returncode))


def prepare(options):
    interpreter = "{}.{} {}".format(sys.version_info[0], sys.version_info[1], sys.base_prefix)
    locked = digest(["requirements/dev.txt", "requirements/uv.lock.txt"], interpreter, str(ROOT))
    protos = digest([*under("protos", (".proto",)), "setup.py"], locked)
    toolchain = digest(["setup.py"], locked)
    native = digest(native_sources(), toolchain)
    install = digest(["pyproject.toml", "setup.py"], locked)

    step("packages", locked, sync_packages, done=PYTHON.exists())
    step("protos", protos, generate_protos, done=generated_is_complete())
    step("compiled", native, lambda: compile_release(toolchain), done=extensions_exist(ROOT))
    step("install", install, install_checkout)
    if options.sanitize:
        check_sanitizers()
    for mode in ("debug", "sanitize"):
        if getattr(options, mode):
            step(mode, native, functools.partial(compile_copy, mode), done=extensions_exist(copy_of(mode)))
            copy_sources(mode)
    if options.browser:
        install_browser()
    if options.peers:
        peers = digest(["requirements/bench.txt"], install)
        step("peers", peers, sync_peers, done=python_of(PEERS).exists())


def step(name, key, action, done=True):
    """Run `action` unless it last succeeded for the same key and its results are still there."""
    stamp = STAMPS / name
    if done and stamp.exists() and stamp.read_text() == key:
        return
    started = time.monotonic()
    if stamp.exists():
        stamp.unlink()
    action()
    stamp.write_text(key)
    say("{} done in {:.1f} s".format(name, time.monotonic() - started))


def check_python():
    if sys.version_info < PYTHON_MIN:
        versions = PYTHON_MIN + tuple(sys.version_info[:2])
        advice = "install one and name it, as in `make run PYTHON=python3.11`"
        raise PrepareError("expected Python {}.{} or newer, got {}.{}: ".format(*versions) + advice)


def compiler_name():
    return (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]


def check_compiler():
    compiler = compiler_name()
    if not (shutil.which(compiler) or shutil.which("cc") or shutil.which("gcc")):
        raise PrepareError("no C compiler found: install one (Debian: `{}`)".format(DEBIAN_COMPILER))
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        raise PrepareError("no Python.h found: install the headers (Debian: `{}`)".format(DEBIAN_COMPILER))


def check_sanitizers():
    """The compiler answers with a path where it has the library, and with the bare name where not."""
    for library in SANITIZER_LIBRARIES:
        found = subprocess.run(
            [compiler_name(), "-print-file-name=" + library], stdout=subprocess.PIPE, universal_newlines=True
        ).stdout.strip()
        if not os.path.isabs(found):
            raise PrepareError("no {} found: install gcc (Debian: `{}`)".format(library, DEBIAN_SANITIZERS))


def sync_packages():
    check_compiler()
    if not PYTHON.exists():
        say("creating .venv")
        try:
            import ensurepip  # noqa: F401
        except ImportError as error:
            raise PrepareError(
                "no venv in this Python: install it (Debian: `{}`)".format(DEBIAN_VENV)
            ) from error
        run(sys.executable, "-m", "venv", "--clear", VENV)
    say("installing the locked packages (about 250 MB on a fresh machine)")
    run(*PIP, "-r", "requirements/uv.lock.txt")
    run(*UV_PIP, "sync", "--python", PYTHON, "--require-hashes", "requirements/dev.txt")
    forget("install")


def sync_peers():
    """Apart from .venv, so that no test can lean on a peer; a package that both have is a link."""
    say("installing the benchmarks' peers in build/peers (about 300 MB to fetch, 1 GB on the disk)")
    if not python_of(PEERS).exists():
        run(VENV / "bin" / "uv", "venv", "--quiet", "--clear", "--python", PYTHON, PEERS)
    run(
        *UV_PIP, "sync", "--quiet", "--python", python_of(PEERS), "--require-hashes", "requirements/bench.txt"
    )
    install_checkout(python_of(PEERS))


def generate_protos():
    say("generating gRPC code")
    run(PYTHON, "setup.py", "--quiet", "build_protos")


def compile_release(toolchain):
    """Compile what has changed; all, if directives or flags may have, which file times do not show."""
    check_compiler()
    known = STAMPS / "toolchain"
    force = [] if known.exists() and known.read_text() == toolchain else ["--force"]
    say("compiling the core" if force else "compiling what has changed")
    run(PYTHON, "setup.py", "--quiet", "build_ext", "--inplace", *force, mode="release")
    remove_orphans()
    known.write_text(toolchain)


def remove_orphans():
    """A module that has lost its .pyx would otherwise go on being importable."""
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    for package in PACKAGES:
        for module in (ROOT / package).rglob("*" + suffix):
            if not module.with_name(module.name[: -len(suffix)] + ".pyx").exists():
                module.unlink()


def copy_of(mode):
    return ROOT / "build" / mode / "lib"


def compile_copy(mode):
    """A debug or sanitize build is always made whole."""
    say("compiling the {} build".format(mode))
    shutil.rmtree(str(copy_of(mode)), ignore_errors=True)
    base = "build/" + mode
    command = ("build", "--build-base", base, "--build-lib", base + "/lib", "--build-temp", base + "/temp")
    run(PYTHON, "setup.py", "--quiet", *command, "--force", mode=mode)


def copy_sources(mode):
    """Renew a copy's Python files; copies and not links, so that the builds stay apart. `build_py` and not
    `build`, which would compile all of it again.
    """
    for name in PACKAGES:
        for copied in list((copy_of(mode) / name).rglob("*.py")):
            copied.unlink()
    library = str(copy_of(mode).relative_to(ROOT))
    run(PYTHON, "setup.py", "--quiet", "build_py", "--force", "--build-lib", library, mode=mode)


def python_of(environment):
    return environment / "bin" / "python"


def install_checkout(python=PYTHON):
    say("installing the checkout as editable")
    run(*UV_PIP, "install", "--quiet", "--python", python, "--no-build-isolation", "--no-deps", "-e", ".")


def install_browser():
    """Browser tests drive Debian's Chromium; where it cannot be installed they skip and say so."""
    if shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome"):
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        say("no Chromium: browser tests will be skipped (Debian: `apt-get install chromium`)")
        return
    say("installing Chromium for the browser tests (about a minute)")
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    apt = ("apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300")
    for arguments in (("update",), ("install", "-y", "--no-install-recommends", "chromium")):
        if subprocess.call(apt + arguments, env=environment, stdout=subprocess.DEVNULL) != 0:
            say("`apt-get {}` failed: browser tests will be skipped".format(" ".join(arguments)))
            return


def run(*command, mode=None):
    environment = dict(os.environ)
    if mode:
        environment["ONEVOICE_BUILD_MODE"] = mode
    subprocess.run([str(part) for part in command], cwd=str(ROOT), check=True, env=environment)


def say(text):
    print("onevoice: {}".format(text), flush=True)


def forget(name):
    if (STAMPS / name).exists():
        (STAMPS / name).unlink()


def native_sources():
    return [path for package in PACKAGES for path in under(package, NATIVE_SUFFIXES)]


def under(folder, suffixes):
    found = (path for path in (ROOT / folder).rglob("*") if path.suffix in suffixes)
    return sorted(str(path.relative_to(ROOT)) for path in found)


def digest(paths, *context):
    hasher = hashlib.sha256(repr(context).encode())
    for path in paths:
        hasher.update(path.encode() + b"\0" + hashlib.sha256((ROOT / path).read_bytes()).digest())
    return hasher.hexdigest()


def extensions_exist(base):
    """Whether each .pyx has its shared object below `base`."""
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    modules = (base / path for path in native_sources() if path.endswith(".pyx"))
    return all(module.with_suffix(suffix).exists() for module in modules)


def generated_is_complete():
    return all(
        (ROOT / path).with_name(Path(path).stem + ending).exists()
        for path in under("protos", (".proto",))
        for ending in ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py")
    )


if __name__ == "__main__":
    main()
