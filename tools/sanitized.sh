#!/usr/bin/env bash
# Run a command on the copy in build/sanitize/lib. A finding of a sanitizer ends its process and makes the whole fail.
# AddressSanitizer's reports, those of child processes among them, are printed last; UndefinedBehaviorSanitizer of gcc
# knows no other place than stderr, which pytest must not capture (--capture=sys).
set -euo pipefail
cd "$(dirname "$0")/.."

# The interpreter is not built with the sanitizers, so their libraries are loaded before anything else, and with them
# C++'s, whose `throw` AddressSanitizer wants to find when it starts.
libraries=()
for name in libasan.so libubsan.so libstdc++.so.6; do
    libraries+=("$(readlink -f "$("${CC:-gcc}" -print-file-name="$name")")")
done
export LD_PRELOAD="${libraries[*]}"
reports="$PWD/build/sanitize/reports"
rm -rf "$reports"
mkdir -p "$reports"
# Python keeps much until its end, so leaks are not looked for; its objects come from the watched allocator.
export ASAN_OPTIONS="detect_leaks=0:halt_on_error=1:detect_stack_use_after_return=1:allocator_may_return_null=1:log_path=$reports/asan"
export UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1"
export PYTHONMALLOC=malloc
export ONEVOICE_BUILD_MODE=sanitize PYTHONSAFEPATH=1 PYTHONPATH="$PWD/build/sanitize/lib:$PWD"
status=0
"$@" || status=$?
unset LD_PRELOAD
for report in "$reports"/*; do
    [[ -e $report ]] || continue
    cat "$report"
    status=1
done
exit "$status"
