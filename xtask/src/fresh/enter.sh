# Enters a root folder: mounts what belongs into it and runs a command there. Called by root.rs in mount and process namespaces
# of its own, so that mounts and processes end with it, however it ends, and nothing outside sees them.
#
# ROOT REPOSITORY TARGET RUST CARGO_HOME CARGO_SEED USER WITHOUT_APT COMMAND...
set -eu
root=$1 repository=$2 target=$3 rust=$4 cargo=$5 seed=$6 user=$7 without_apt=$8
shift 8

mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
# Devices of its own: what is tried here may write to them, and replace them, as root.
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom tty; do
    : > "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=666,mode=620 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
ln -s fd/0 "$root/dev/stdin"
ln -s fd/1 "$root/dev/stdout"
ln -s fd/2 "$root/dev/stderr"

read_only() {
    mkdir -p "$root$1"
    mount --bind "$1" "$root$1"
    mount -o remount,bind,ro "$root$1"
}
read_only "$repository"
read_only "$rust"
mount --bind "$target" "$root$repository/target"
mkdir -p "$root$cargo"
mount --bind "$seed" "$root$cargo"
if [ "$without_apt" = yes ]; then
    mount --bind /dev/null "$root/usr/bin/apt-get"
fi

# The folders above those must be open to an ordinary user, which they need not be outside.
for folder in "$repository" "$rust" "$cargo"; do
    while folder=$(dirname "$folder") && [ "$folder" != / ]; do
        chmod a+rx "$root$folder"
    done
done
cd "$root"
exec chroot "$root" setpriv --reuid "$user" --regid "$user" --init-groups "$@"
