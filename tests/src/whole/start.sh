# Starts a whole machine: start.sh BASE DISK CGROUP NSPAWN-ARGUMENT…
# Runs in a mount namespace of its own, so everything mounted here is gone with the machine.
set -eu
base=$1 disk=$2 group=$3
shift 3

# What the machine writes goes to DISK/upper. Where the file system cannot do that, the machine gets a copy.
if ! mount -t overlay -o "lowerdir=$base,upperdir=$disk/upper,workdir=$disk/work" machine "$disk/root" 2>/dev/null; then
    if [ ! -e "$disk/copied" ]; then
        cp -a --reflink=auto "$base/." "$disk/root"
        cp -a "$disk/upper/." "$disk/root"
        touch "$disk/copied"
    fi
fi

# One control group hierarchy, as Debian has it, also where this machine still has several.
mount -t cgroup2 cgroup2 /sys/fs/cgroup
cd /sys/fs/cgroup
mkdir -p "$group"
# The controllers that this machine gives out, if it gives any.
read -r controllers <cgroup.subtree_control || controllers=
for controller in $controllers; do
    echo "+$controller" >"${group%/*}/cgroup.subtree_control" || true
done
echo $$ >"$group/cgroup.procs"

# nspawn's own files, which a killed one would leave.
mount -t tmpfs -o mode=755 machine /run
cd /
exec systemd-nspawn --directory="$disk/root" "$@"
