#!/usr/bin/env bash
# Builds what is shipped into dist/: static programs, which run on any Linux of their kind of machine without a library.
#
# The same sources give the same bytes, wherever they are built: no path of the building machine and no time is in them.
# A program that has not changed keeps its file.
set -euo pipefail
cd "$(dirname "$0")/.."

main() {
    use_compilers
    mkdir -p dist
    joiner x86_64
    joiner aarch64
    broker x86_64
}

# As small as it gets, but for a random address, which x86_64 has for 17 kB; for arm64 the compiler knows none that is
# static. A panic, which is a bug, says nothing then: it ends the program with SIGILL.
joiner() {
    flags=(-Cpanic=immediate-abort -Zunstable-options -Cforce-unwind-tables=no)
    static joiner "$1" small -Zbuild-std=std,panic_abort -Zbuild-std-features=optimize_for_size
}

# It listens for months: it is loaded at a random address, and a panic ends one connection, not the broker.
broker() {
    flags=()
    static broker "$1" release -Zbuild-std=std,panic_unwind
}

# static PROGRAM MACHINE PROFILE OPTIONS: builds a program, with $flags for rustc, and puts it into dist/.
static() {
    local program=$1 machine=$2 profile=$3 target=$2-unknown-linux-musl folder=target/package/$1
    shift 3
    say "building $program-$machine"
    export "CARGO_TARGET_${machine^^}_UNKNOWN_LINUX_MUSL_LINKER=$machine-linux-musl-gcc"
    # A folder for each program: their standard libraries differ.
    CARGO_ENCODED_RUSTFLAGS=$(joined "${remapped[@]}" "${flags[@]}") cargo build --locked --quiet \
        --package "$program" --bins --profile "$profile" --target "$target" --target-dir "$folder" "$@"
    put "$folder/$target/$profile/$program" "dist/$program-$machine"
}

use_compilers() {
    local compilers crates
    compilers=$(package/toolchain.sh)
    export PATH=$compilers/usr/bin:$PATH LD_LIBRARY_PATH=$compilers/usr/lib/x86_64-linux-gnu
    export RUSTC=$compilers/usr/bin/rustc
    # A stable compiler builds the standard library only if it is told that unstable flags are meant.
    export RUSTC_BOOTSTRAP=1
    cargo fetch --locked --quiet
    remap "$PWD" ""
    remap "$compilers/usr/lib/rustlib/src/rust/library" rust
    for crates in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*; do
        remap "$crates" ""
    done
}

# What a path of this machine is called in the programs.
remapped=()
remap() { remapped+=("--remap-path-prefix=$1=$2"); }

# Words as cargo takes them: with a unit separator in between.
joined() {
    local IFS=$'\x1f'
    printf '%s' "$*"
}

# Never half a file, and a new one only for a new program.
put() {
    cmp -s "$1" "$2" && return
    cp "$1" "$2.new"
    mv "$2.new" "$2"
}

say() { printf 'package: %s\n' "$*" >&2; }

main
