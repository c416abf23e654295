#!/usr/bin/env bash
# The README's two commands on a bare Debian or Ubuntu, as root: makes the smallest root folder of that suite (mmdebstrap), clones what is
# committed here into it, and runs launch/quickstart.sh and launch/test.sh there. 30 to 60 minutes on 2 cores.
#
#   tests/distribution.sh SUITE [COMMAND]        SUITE: bookworm, trixie (Debian 12, 13); jammy, noble (Ubuntu 22.04, 24.04)
#
# COMMAND: a line for bash, in the place of the two. ROOT: the folder, kept and used again; without it, a temporary one. CCACHE_DIR: a
# compiler cache from outside.
set -euo pipefail
[ $# -ge 1 ] && [ "$(id -u)" = 0 ] || { echo "usage, as root: $0 SUITE [COMMAND]" >&2; exit 2; }
source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
suite=$1
export COMMAND=${2:-time launch/quickstart.sh && time launch/test.sh}
scratch=$(mktemp -d /var/tmp/lime-distribution-XXXXXX)
trap 'rm -rf --one-file-system "$scratch"' EXIT
chmod 755 "$scratch"  # apt's own user reads keys
root=${ROOT:-$scratch/root}

# Ubuntu's archive keys: the machine's own; or from Ubuntu's package, known by its checksum (apt's signed indices have the same one), for
# Debian has no such package.
ubuntu_keyring() {
  local keyring=usr/share/keyrings/ubuntu-archive-keyring.gpg package=$scratch/ubuntu-keyring.deb
  if [ -f /$keyring ]; then echo /$keyring; return; fi
  curl -fsS -o "$package" http://archive.ubuntu.com/ubuntu/pool/main/u/ubuntu-keyring/ubuntu-keyring_2023.11.28.1_all.deb
  echo "36de43b15853ccae0028e9a767613770c704833f82586f28eb262f0311adb8a8  $package" | sha256sum --check --quiet >&2
  dpkg-deb --extract "$package" "$scratch/keyring"
  echo "$scratch/keyring/$keyring"
}

if [ ! -d "$root/usr" ]; then
  case $suite in
    jammy | noble)
      keyring=$(ubuntu_keyring)
      for pocket in "$suite" "$suite-updates" "$suite-security"; do
        echo "deb http://archive.ubuntu.com/ubuntu $pocket main universe"
      done | mmdebstrap --quiet --variant=minbase --include=apt --mode=root --keyring="$keyring" "$suite" "$root" - ;;
    *) mmdebstrap --quiet --variant=minbase --mode=root "$suite" "$root" ;;
  esac
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
echo "$(. "$root/etc/os-release" && echo "$PRETTY_NAME"): passed"
