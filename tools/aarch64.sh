#!/usr/bin/env bash
# Compile the core for aarch64 and see that it gives the bytes of this machine, under qemu: `make aarch64` (by hand).
#
# An aarch64 Python of Debian and the locked packages' wheels for it lie in build/aarch64, beside the core compiled from the same C.
# Everything is fetched as this machine fetches its own packages: by apt from its sources, and by uv.
set -euo pipefail
cd "$(dirname "$0")/.."
shopt -s nullglob

ROOT="$PWD/build/aarch64"
VERSION=3.11
CC=aarch64-linux-gnu-gcc
# Python and what its standard library is linked with; libgomp1 is LightGBM's.
DEBS=(
    python$VERSION python$VERSION-minimal libpython$VERSION-minimal libpython$VERSION-stdlib libpython$VERSION-dev
    libc6 libgcc-s1 libstdc++6 libgomp1 libexpat1 zlib1g libssl3 libffi8 libbz2-1.0 liblzma5 libsqlite3-0 libuuid1 libreadline8
    libtinfo6 libncursesw6 libdb5.3 libnsl2 libtirpc3 libcrypt1
)
WHEELS=(
    msgspec lark pyyaml google-re2 cryptography cffi pycparser joserfc xxhash typing-extensions
    pytest pytest-timeout pytest-benchmark iniconfig pluggy packaging pygments hypothesis sortedcontainers
    numpy scipy lightgbm narwhals
)

for tool in $CC qemu-aarch64 qemu-x86_64 apt-get dpkg-deb; do
    command -v "$tool" >/dev/null || {
        echo "onevoice: no $tool found: on Debian apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user" >&2
        exit 1
    }
done

fetch_python() {
    [[ -x $ROOT/root/usr/bin/python$VERSION ]] && return
    mkdir -p "$ROOT"/apt/{lists/partial,debs}
    : >"$ROOT/apt/status"
    local options=(
        -q -o APT::Architecture=arm64 -o APT::Architectures::=arm64 -o APT::Sandbox::User=root -o Dir::State="$ROOT/apt"
        -o Dir::State::status="$ROOT/apt/status" -o Dir::Cache="$ROOT/apt"
    )
    apt-get "${options[@]}" update
    (cd "$ROOT/apt/debs" && apt-get "${options[@]}" download "${DEBS[@]}")
    for deb in "$ROOT"/apt/debs/*.deb; do dpkg-deb -x "$deb" "$ROOT/root"; done
}

fetch_wheels() {
    local locked
    locked=$(.venv/bin/uv pip freeze | grep -iE "^($(IFS='|' && echo "${WHEELS[*]}"))==")
    [[ -f $ROOT/wheels.txt && $(<"$ROOT/wheels.txt") == "$locked" ]] && return
    echo "$locked" >"$ROOT/wanted.txt"
    .venv/bin/uv pip install --quiet --python-platform aarch64-manylinux_2_28 --python-version $VERSION --no-deps \
        --only-binary :all: --target "$ROOT/site" -r "$ROOT/wanted.txt"
    mv "$ROOT/wanted.txt" "$ROOT/wheels.txt"
}

compile() { # a module's C, as setup.py compiles it for a release
    local module=${1#build/release/cython/}
    local library="$ROOT/lib/${module%.c}.cpython-${VERSION/./}-aarch64-linux-gnu.so"
    [[ $library -nt $1 ]] && return
    mkdir -p "$(dirname "$library")"
    $CC -O3 -g0 -fwrapv -DNDEBUG -ffp-contract=off -fPIC -shared -w -DONEVOICE_RELEASE=1 \
        -I"$ROOT/root/usr/include/python$VERSION" -I"$ROOT/root/usr/include" -Icore "$1" -o "$library" -lm
}

copy() { # what is plain Python lies beside the compiled modules, as in a wheel
    mkdir -p "$ROOT/lib"
    tar cf - --exclude '*.so' --exclude __pycache__ core hub tests pyproject.toml | tar xf - -C "$ROOT/lib"
}

here() { .venv/bin/python "$@"; }
# Neither AVX nor what came after SSE2.
plain() { qemu-x86_64 -cpu qemu64,-avx,-avx2,-sse3,-ssse3,-sse4.1,-sse4.2,-popcnt .venv/bin/python "$@"; }
there() (
    cd "$ROOT/lib"
    PYTHONPATH="$ROOT/lib:$ROOT/site" PYTHONDONTWRITEBYTECODE=1 \
        qemu-aarch64 -L "$ROOT/root" "$ROOT/root/usr/bin/python$VERSION" "$@"
)

mkdir -p "$ROOT"
exec 9>"$ROOT/lock"
flock 9 # one run at a time
fetch_python
fetch_wheels
# Headers count as part of each module: all are compiled again when one has changed.
for header in core/*.h; do
    for library in "$ROOT"/lib/core/*.so; do [[ $library -nt $header ]] || rm "$library"; done
done
for source in build/release/cython/core/*.c; do
    compile "$source" &
    while (($(jobs -r | wc -l) >= 2)); do wait -n; done
done
wait
copy

worlds="$ROOT/worlds"
rm -f "$worlds"
for machine in here plain there; do
    echo "onevoice: answers of $machine"
    $machine -m tests.machines.answers "$worlds" "${SCALE:-1}" | tee "$ROOT/$machine.txt"
done
for machine in plain there; do
    diff "$ROOT/here.txt" "$ROOT/$machine.txt" || {
        echo "onevoice: $machine answers otherwise than this machine" >&2
        exit 1
    }
done
if (($#)); then there -m pytest -p no:cacheprovider -q --benchmark-disable --timeout 900 "$@"; fi
echo "onevoice: the same bytes on $(uname -m), on plain x86-64 and on aarch64"
