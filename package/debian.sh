#!/usr/bin/env bash
# Makes the Debian packages from the programs in dist/:
#   joiner_VERSION_amd64.deb, joiner_VERSION_arm64.deb, broker_VERSION_amd64.deb
#
# What is in them stands in joiner/Cargo.toml and broker/Cargo.toml, under package.metadata.deb, with paths in target/deb,
# where this script puts what has to be made first. The same programs give the same packages: all in them is dated with the
# day of the changelog.
set -euo pipefail
cd "$(dirname "$0")/.."

stage=target/deb
cargo_deb=3.8.0

say() { printf 'package: %s\n' "$*" >&2; }

fail() {
    say "$*"
    exit 69
}

main() {
    need_programs
    need_cargo_deb
    SOURCE_DATE_EPOCH=$(date -d "$(sed -n 's/^ -- .*>  //p' package/debian/changelog | head -n 1)" +%s)
    export SOURCE_DATE_EPOCH
    rm -rf "$stage"
    mkdir -p "$stage/made"
    say "Debian packages"
    third_party joiner
    package joiner x86_64
    package joiner aarch64
    third_party broker
    cp dist/joiner-x86_64 dist/joiner-aarch64 "$stage/broker"
    dist/broker-x86_64 generate man "$stage/broker/man"
    dist/broker-x86_64 generate completions "$stage/broker/completions"
    package broker x86_64
    rm -f dist/joiner_*.deb dist/broker_*.deb
    mv "$stage"/made/*.deb dist/
}

need_programs() {
    local program
    for program in joiner-x86_64 joiner-aarch64 broker-x86_64; do
        [ -f "dist/$program" ] || fail "dist/$program is not there: ./run package makes it"
    done
    command -v xz >/dev/null || fail "there is no xz here: apt-get install xz-utils"
}

need_cargo_deb() {
    [ "$(cargo deb --version 2>/dev/null)" = "cargo-deb $cargo_deb" ] && return
    say "building cargo-deb, once (about half a minute)"
    # Without its features it leaves compression to xz, and does nothing that is not wanted here. It has little to do, so
    # making it fast would take longer than it ever runs.
    CARGO_PROFILE_RELEASE_OPT_LEVEL=0 \
        cargo install cargo-deb --version "$cargo_deb" --locked --quiet --no-default-features
}

# package NAME MACHINE: makes one package, of the program for that kind of machine.
package() {
    cp "dist/$1-$2" "$stage/$1/$1"
    cargo deb --quiet --locked --no-build --no-strip --package "$1" --target "$2-unknown-linux-musl" \
        --output "$stage/made/" >/dev/null
}

# third_party NAME: the licences of all crates that are in a program, each text once.
third_party() {
    local folder=$stage/$1 crate version licence source text sum
    mkdir -p "$folder/texts"
    while IFS=' |' read -r crate version licence; do
        for source in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/"$crate-${version#v}"; do
            for text in "$source"/{LICEN[CS]E,COPY,NOTICE,license}*; do
                [ -f "$text" ] || continue
                sum=$(sha256sum "$text" | cut -c 1-16)
                cp "$text" "$folder/texts/$sum"
                printf '%s %s (%s)\n' "$crate" "$version" "$licence" >>"$folder/texts/$sum.crates"
            done
        done
    done < <(crates "$1")
    {
        printf 'The crates that %s is made of:\n\n' "$1"
        crates "$1" | tr '|' ' '
        for text in "$folder"/texts/*.crates; do
            printf '\n%s\n\n' "$(printf '=%.0s' {1..80})"
            sort -u "$text"
            printf '\n'
            cat "${text%.crates}"
        done
    } | gzip -9n >"$folder/third-party.gz"
    rm -r "$folder/texts"
}

# Those that are not ours, one a line: NAME vVERSION|LICENCE.
crates() {
    cargo tree --locked --package "$1" --edges normal --target x86_64-unknown-linux-musl --prefix none --no-dedupe \
        --format '{p}|{l}' | grep -vF "($PWD" | sed 's/ (proc-macro)//' | sort -u
}

main
