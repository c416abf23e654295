#!/usr/bin/env bash
# The README's two commands on a bare Debian, as root: makes the smallest root folder of that suite (mmdebstrap), clones what is committed
# here into it, and runs launch/quickstart.sh and launch/test.sh there. 30 to 60 minutes on 2 cores.
#
#   tests/debian.sh SUITE [COMMAND]        SUITE: bookworm (12), trixie (13)
#
# COMMAND: a line for bash, in the place of the two. ROOT: the folder, kept and used again; without it, a temporary one. CCACHE_DIR: a
# compiler cache from outside.
set -euo pipefail
[ $# -ge 1 ] && [ "$(id -u)" = 0 ] || { echo "usage, as root: $0 SUITE [COMMAND]" >&2; exit 2; }
source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
suite=$1
export COMMAND=${2:-time launch/quickstart.sh && time launch/test.sh}
root=${ROOT:-$(mktemp -d /var/tmp/lime-debian-XXXXXX)}
[ -n "${ROOT:-}" ] || trap 'rm -rf --one-file-system "$root"' EXIT
if [ ! -d "$root/usr" ]; then
  mmdebstrap --quiet --variant=minbase --mode=root "$suite" "$root"
  echo "127.0.0.1 localhost" >"$root/etc/hosts"
  git clone --quiet "$source_dir" "$root/src"
fi
export CACHE=${CCACHE_DIR:-$root/var/cache/ccache}
mkdir -p "$CACHE" "$root/ccache"
# Not a chroot: tests/cluster/hosts.sh makes namespaces, in which a process sees the whole tree of mounts.
unshare --mount --pid --fork --kill-child bash -euc '
  mount --make-rprivate /
  mount --bind "$0" "$0"
  cd "$0"
  mount -t proc proc proc
  mount --rbind /sys sys
  mount --rbind /dev dev
  mount -t tmpfs tmpfs dev/shm
  mount --bind "$CACHE" ccache
  pivot_root . .
  umount -l .
  cd /src
  exec env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 CCACHE_DIR=/ccache \
    bash -euc "$COMMAND"' "$root"
echo "Debian $(cat "$root/etc/debian_version"): passed"
