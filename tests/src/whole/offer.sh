# Lays packages, with all that they need beside what is in a root, where apt finds them when the machine has started from it.
# A hook of mmdebstrap, which gives it the root; $OFFERED has the packages' names.
set -eu
shelf=$1/srv/apt
mkdir -p "$shelf"
# Unquoted: each name is a word.
APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get -qq install --yes --no-install-recommends --download-only $OFFERED
for file in "$1"/var/cache/apt/archives/*.deb; do
    # Without its version, which may have a % in it, and apt would take that for a code.
    name=${file##*/}
    mv "$file" "$shelf/${name%%_*}.deb"
done
cd "$shelf"
for file in *.deb; do
    dpkg-deb --field "$file"
    hash=$(sha256sum "$file" | cut -d ' ' -f 1)
    printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$file" "$(stat -c %s "$file")" "$hash"
done >Packages
