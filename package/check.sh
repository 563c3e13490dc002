#!/usr/bin/env bash
# Checks what is in dist/ and shows it: how large each file is, how large it may be, that it is static, and whether it is loaded
# at a random address.
# Fails if anything is not as it should be, after all of it was shown.
set -euo pipefail
cd "$(dirname "$0")/.."

wrong=0

main() {
    row FILE BYTES BUDGET STATIC ADDRESS
    # User-data lets a new machine fetch it, over whatever line it has: 1.25 MiB.
    program joiner-x86_64 1310720 random
    program joiner-aarch64 1310720 fixed
    program broker-x86_64 - random
    return "$wrong"
}

# program NAME BUDGET ADDRESS
program() {
    local file=dist/$1 budget=$2 bytes static=yes address
    [ -f "$file" ] || { bad "$file is not there" && return; }
    bytes=$(stat -c %s "$file")
    is_static "$file" || static=no
    address=$(address_of "$file")
    row "$1" "$bytes" "$budget" "$static" "$address"
    [ "$static" = yes ] || bad "$file needs a loader or libraries of the machine: readelf -ld $file shows which"
    [ "$address" = "$3" ] || bad "$file is loaded at a $address address, not at a $3 one: readelf -h $file, the type"
    [ "$budget" = - ] || [ "$bytes" -le "$budget" ] ||
        bad "$file is $((bytes - budget)) bytes too large. package/README.md tells what each step gave"
    tells_nothing "$file"
}

is_static() {
    local elf
    elf=$(readelf --wide --program-headers --dynamic "$1")
    ! grep -qE '^ *INTERP|\(NEEDED\)' <<<"$elf"
}

# elf(5): a DYN can be loaded anywhere, and the kernel takes another place each time; an EXEC names its own.
address_of() {
    case $(readelf --file-header "$1") in
        *"DYN ("*) echo random ;;
        *) echo fixed ;;
    esac
}

# Where it was built is nobody's business, and would differ from one machine to the next.
tells_nothing() {
    local path
    for path in "$PWD/target/" "$PWD/joiner/" "$PWD/broker/" "${CARGO_HOME:-$HOME/.cargo}/registry/"; do
        ! grep -qaF "$path" "$1" || bad "$1 has paths of this machine in it: $path"
    done
}

row() { printf '%-16s %9s %9s %7s %8s\n' "$@"; }

bad() {
    printf 'package: %s\n' "$*" >&2
    wrong=1
}

main
