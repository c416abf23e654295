#!/usr/bin/env bash
# hosts.sh NUMBER COMMAND...: runs COMMAND where there are NUMBER hosts, node1, node2, ..., on this machine. Each has its own network
# (10.77.0.1, 10.77.0.2, ... on one Ethernet), name, shared memory, processes' temporary files ($TMPDIR) and steady clock; the file
# system is the same, as a cluster's, but for the folder $LOCAL, which is another one on every host. COMMAND finds, as programs:
#
#   on NODE COMMAND...       runs COMMAND there, with a bare environment, as ssh would: also Open MPI's agent in the place of ssh
#   unplug NODE              pulls its network cable
#   slow NODE RATE           what it sends goes at this rate (100mbit)
#   fell NODE / boot NODE    kills all that runs there, at once, and starts it anew
#
# and the folders $SHARED (of all hosts) and $LOCAL. All of it is gone when COMMAND ends. Exit code 77: namespaces (Linux, root's
# or a user's own) are not to be had here.
set -euo pipefail
if [ "${LIME_HOSTS_INSIDE-}" = "" ]; then
  [ $# -ge 2 ] || { echo "usage: $0 NUMBER COMMAND..." >&2; exit 2; }
  spaces=(--net --mount --pid --uts --ipc --time --fork --kill-child)
  [ "$(id -u)" = 0 ] || spaces=(--user --map-root-user "${spaces[@]}")
  reason=$(unshare "${spaces[@]}" sh -c 'mount -t proc proc /proc && mount -t tmpfs tmpfs /dev/shm &&
    ip link add name lime0 type bridge && ip link add name lime1 type veth peer name lime2' 2>&1) ||
    { echo "skipped: no hosts in namespaces here: $(echo $reason)" >&2; exit 77; }
  LIME_HOSTS_INSIDE=yes exec unshare "${spaces[@]}" "$0" "$@"
fi

number=$1
shift
export HOSTS=${TMPDIR:-/tmp}/lime-hosts-$$-$RANDOM
export SHARED=$HOSTS/shared LOCAL=$HOSTS/local
mkdir -p "$SHARED" "$LOCAL" "$HOSTS/bin"
trap 'rm -rf "$HOSTS"' EXIT
mount --make-rprivate /
mount -t proc proc /proc
ip link set lo up
ip link add name lime0 type bridge
ip link set lime0 up

{ echo "127.0.0.1 localhost"; for i in $(seq "$number"); do echo "10.77.0.$i node$i"; done; } >"$HOSTS/names"
program() { { echo '#!/usr/bin/env bash'; cat; } >"$HOSTS/bin/$1" && chmod +x "$HOSTS/bin/$1"; }
program boot <<'END'
number=${1#node}
# An offset of the steady clock: two machines never agree on it.
unshare --net --mount --uts --ipc --time --monotonic ${number}00000 --boottime ${number}00000 --fork bash -c '
  set -e
  mount -t tmpfs tmpfs /dev/shm
  mount -t tmpfs tmpfs "$LOCAL"
  mount --bind "$HOSTS/names" /etc/hosts
  hostname "$0"
  ip link set lo up
  echo $$ >"$HOSTS/$0.booting"
  mv "$HOSTS/$0.booting" "$HOSTS/$0.pid"
  exec sleep infinity' "$1" </dev/null >/dev/null 2>"$HOSTS/$1.errors" &
until [ -e "$HOSTS/$1.pid" ]; do
  kill -0 $! 2>/dev/null || { cat "$HOSTS/$1.errors" >&2; exit 1; }
  sleep 0.01
done
ip link add name "to$number" type veth peer name eth0 netns "$(cat "$HOSTS/$1.pid")"
ip link set "to$number" master lime0 up
nsenter --net="/proc/$(cat "$HOSTS/$1.pid")/ns/net" \
  sh -c "ip addr add 10.77.0.$number/24 dev eth0 && ip link set eth0 up"
END
# Open MPI asks for `on NODE "one line for a shell"`; ssh joins its words the same way.
program on <<END
node=\$1
shift
exec env -i PATH="$HOSTS/bin:$PATH" HOME="${HOME:-/}" TMPDIR="$LOCAL" HOSTS="$HOSTS" SHARED="$SHARED" LOCAL="$LOCAL" \
  OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_plm_rsh_agent=on PRTE_MCA_plm_ssh_agent=on \
  nsenter --target "\$(cat "$HOSTS/\$node.pid")" --net --mount --uts --ipc --time --wd="\$PWD" sh -c "\$*"
END
program unplug <<END
ip link set "to\${1#node}" down
END
program slow <<END
nsenter --target "\$(cat "$HOSTS/\$1.pid")" --net tc qdisc replace dev eth0 root tbf rate "\$2" burst 64k latency 400ms
END
program fell <<END
space=\$(readlink "/proc/\$(cat "$HOSTS/\$1.pid")/ns/net")
for process in /proc/[0-9]*; do
  [ "\$(readlink "\$process/ns/net" 2>/dev/null)" != "\$space" ] || kill -KILL "\${process#/proc/}" || true
done
rm "$HOSTS/\$1.pid"
ip link delete "to\${1#node}" 2>/dev/null || true  # it may have gone already
END
export PATH="$HOSTS/bin:$PATH"
for i in $(seq "$number"); do boot "node$i"; done
"$@"
