#!/usr/bin/env bash
# Checks what is in dist/ and shows it: how large each file is, how large it may be, and that it is static.
# Fails if anything is not as it should be, after all of it was shown.
set -euo pipefail
cd "$(dirname "$0")/.."

wrong=0

main() {
    row FILE BYTES BUDGET STATIC
    # User-data lets a new machine fetch it, over whatever line it has: 1.25 MiB.
    program joiner-x86_64 1310720
    program joiner-aarch64 1310720
    program broker-x86_64 -
    return "$wrong"
}

# program NAME BUDGET
program() {
    local file=dist/$1 budget=$2 bytes static=yes
    [ -f "$file" ] || { bad "$file is not there" && return; }
    bytes=$(stat -c %s "$file")
    is_static "$file" || static=no
    row "$1" "$bytes" "$budget" "$static"
    [ "$static" = yes ] || bad "$file needs a loader or libraries of the machine: readelf -ld $file shows which"
    [ "$budget" = - ] || [ "$bytes" -le "$budget" ] ||
        bad "$file is $((bytes - budget)) bytes too large. package/README.md tells what each step gave"
    tells_nothing "$file"
}

is_static() {
    local elf
    elf=$(readelf --wide --program-headers --dynamic "$1")
    ! grep -qE '^ *INTERP|\(NEEDED\)' <<<"$elf"
}

# Where it was built is nobody's business, and would differ from one machine to the next.
tells_nothing() {
    local path
    for path in "$PWD/target/" "$PWD/joiner/" "$PWD/broker/" "${CARGO_HOME:-$HOME/.cargo}/registry/"; do
        ! grep -qaF "$path" "$1" || bad "$1 has paths of this machine in it: $path"
    done
}

row() { printf '%-16s %9s %9s %7s\n' "$@"; }

bad() {
    printf 'package: %s\n' "$*" >&2
    wrong=1
}

main
