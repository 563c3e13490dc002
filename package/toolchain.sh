#!/usr/bin/env bash
# The compilers of ./run package, in one folder under target/toolchain, whose path is printed.
#
# A small static joiner needs a standard library that is built for size and for musl. Debian 12 has its sources and the
# compiler that belongs to them, musl, and a C compiler for arm64. All of it is fetched with apt, which checks signatures,
# and unpacked here. Nothing is installed: rustup's Rust stays the one on the PATH, apt's own lists and architectures stay
# as they are, and root is not needed.
#
# May be interrupted at any moment: a folder gets its name only once it is whole.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(rustc-web cargo-web rust-web-src musl-dev musl-dev:arm64 gcc-aarch64-linux-gnu)
cache=$PWD/target/toolchain
# Another recipe makes another folder.
folder=$cache/$(cat package/toolchain.sh package/unwind.c | sha256sum | cut -c 1-12)

say() { printf 'package: %s\n' "$*" >&2; }

main() {
    mkdir -p "$cache"
    # Two at once would write into each other's folder.
    exec 9>"$cache/lock"
    flock 9
    works "$folder" || fetch
    printf '%s\n' "$folder"
}

# Not so any more if, say, an upgrade of Debian has taken a library away that was there when the others were fetched.
works() {
    local program
    export LD_LIBRARY_PATH=$1/usr/lib/x86_64-linux-gnu
    for program in rustc cargo aarch64-linux-gnu-gcc aarch64-linux-gnu-as; do
        "$1/usr/bin/$program" --version >/dev/null 2>&1 || return 1
    done
}

fetch() {
    local new=$cache/new
    # What an interrupted run left, and what an older recipe made.
    find "$cache" -mindepth 1 -maxdepth 1 ! -name lock -exec rm -rf {} +
    mkdir -p "$new/apt/lists/partial" "$new/debs" "$new/root"
    say "fetching compilers from Debian into target/toolchain, once: 190 MB, 700 MB unpacked"
    configure_apt "$new/apt"
    export APT_CONFIG=$new/apt/apt.conf
    apt-get -qq update >&2
    missing >"$new/missing" || fail "apt knows no way to have ${packages[*]}. This recipe is for Debian 12 on x86_64"
    (cd "$new/debs" && xargs apt-get -qq download <"$new/missing" >&2) || fail "apt-get could not download them"
    say "unpacking them"
    unpack "$new/debs" "$new/root"
    works "$new/root" || fail "they do not start. See: LD_LIBRARY_PATH=$LD_LIBRARY_PATH ldd $new/root/usr/bin/*"
    musl "$new/root" x86_64 gcc
    musl "$new/root" aarch64 aarch64-linux-gnu-gcc
    mv "$new/root" "$folder"
    rm -rf "$new"
}

fail() {
    say "$*"
    exit 69
}

# apt with lists of its own, for arm64 too. What is installed of these compilers does not count: the folder has all of
# them, or they would look for their parts in two places.
configure_apt() {
    awk 'BEGIN { RS = ""; ORS = "\n\n" }
        !/^Package: (rust|cargo|libstd-rust|musl|[^\n]*aarch64-linux-gnu|[^\n]*arm64-cross)/' \
        /var/lib/dpkg/status >"$1/status"
    cat >"$1/apt.conf" <<CONF
APT::Architecture "amd64";
APT::Architectures { "amd64"; "arm64"; };
APT::Sandbox::User "root";
Acquire::Retries "3";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Dir::State::status "$1/status";
Dir::State::lists "$1/lists";
Dir::Cache "$1";
Debug::NoLocking "true";
CONF
}

# The wanted packages, and what they need that is not on this machine.
missing() {
    apt-get -qq --simulate --no-install-recommends install "${packages[@]}" | awk '$1 == "Inst" { print $2 }'
}

unpack() {
    local package part
    for package in "$1"/*.deb; do
        case $package in
            # The compiler's own sources are ten times those of the library.
            */rust-web-src_*) part=(--wildcards './usr/lib/rustlib/*' './usr/src/*/library/*') ;;
            *) part=(--exclude=./usr/share) ;;
        esac
        dpkg-deb --fsys-tarfile "$package" | tar -x -C "$2" "${part[@]}"
    done
    (cd "$1" && printf '%s\n' *.deb) >"$2/packages"
}

# Makes the folder build for musl on a kind of machine. C with its headers, under the name that Rust crates look for; and
# start files, C library and unwinder where rustc looks for them and rustup's toolchain has them. There the unwinder is
# LLVM's, here it is GCC's.
musl() {
    local root=$1 machine=$2 gcc=$3 compiler to of_gcc
    compiler=$root/usr/bin/$machine-linux-musl-gcc
    cat >"$compiler" <<SCRIPT
#!/bin/sh
own=\$(dirname "\$0")
exec $gcc -nostdinc -isystem "\$own/../include/$machine-linux-musl" -isystem "\$($gcc -print-file-name=include)" "\$@"
SCRIPT
    chmod +x "$compiler"
    to=$root/usr/lib/rustlib/$machine-unknown-linux-musl/lib/self-contained
    of_gcc=$(dirname "$(PATH=$root/usr/bin:$PATH "$gcc" -print-libgcc-file-name)")
    mkdir -p "$to"
    cp "$root/usr/lib/$machine-linux-musl"/{crt1,Scrt1,rcrt1,crti,crtn}.o "$root/usr/lib/$machine-linux-musl/libc.a" "$to"
    cp "$of_gcc"/{crtbegin,crtbeginS,crtend,crtendS}.o "$to"
    cp "$of_gcc/libgcc_eh.a" "$to/libunwind.a"
    PATH=$root/usr/bin:$PATH "$compiler" -O2 -c package/unwind.c -o "$to/unwind.o"
    ar rs "$to/libunwind.a" "$to/unwind.o" 2>/dev/null
}

main
