#!/usr/bin/env bash
# hosts.sh NUMBER slurm.sh COMMAND...: runs COMMAND on the hosts of hosts.sh with a Slurm over them: its controller on node1, where
# users log in too (`on node1 sbatch ...`), and 8 processors and 8 pretended GPUs on each of the others. Needs Debian's packages
# slurmctld, slurmd, slurm-client and munge; exit code 77 where they are not there.
set -euo pipefail
for program in slurmctld slurmd sbatch munged; do
  command -v $program >/dev/null || { echo "skipped: $program is not installed" >&2; exit 77; }
done
workers="node[2-$(($(wc -l <"$HOSTS/names") - 1))]"
conf=$SHARED/slurm/slurm.conf
mkdir -p "$SHARED/slurm"
head -c 1024 /dev/urandom >"$SHARED/slurm/munge.key"
chmod 600 "$SHARED/slurm/munge.key"
cat >"$conf" <<END
ClusterName=test
SlurmctldHost=node1
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$LOCAL/munge,cred_expire=10
StateSaveLocation=$LOCAL/state
SlurmdSpoolDir=$LOCAL/spool
SlurmctldPidFile=$LOCAL/slurmctld.pid
SlurmdPidFile=$LOCAL/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SchedulerType=sched/backfill
ReturnToService=2
SlurmctldTimeout=10
SlurmdTimeout=${SLURMD_TIMEOUT:-10}
KillWait=5
MpiDefault=none
SlurmdParameters=config_overrides
GresTypes=gpu
NodeName=$workers CPUs=8 RealMemory=1000 Gres=gpu:8 State=UNKNOWN
PartitionName=all Nodes=$workers Default=YES MaxTime=INFINITE State=UP
END
for i in {0..7}; do mknod "$SHARED/slurm/gpu$i" c 1 3; done
echo "Name=gpu File=$SHARED/slurm/gpu[0-7]" >"$SHARED/slurm/gres.conf"
echo "PMIxCliTmpDirBase=$LOCAL" >"$SHARED/slurm/mpi.conf"
case $(slurmd -V) in  # control groups are left alone
  *' 22.'*) echo "CgroupAutomount=no" ;;
  *) echo "CgroupPlugin=disabled" ;;
esac >"$SHARED/slurm/cgroup.conf"
# As if it were in /etc/slurm on every host.
sed -i "2i export SLURM_CONF=$conf" "$HOSTS/bin/on"
sed -i "s|env -i |env -i SLURM_CONF='$conf' |" "$HOSTS/bin/on"
cat >"$HOSTS/bin/boot-slurm" <<END
#!/usr/bin/env bash
# NODE: its daemons.
daemon="slurmd -L $SHARED/slurm/slurmd.\$1.log"
[ "\$1" != node1 ] || daemon="slurmctld -L $SHARED/slurm/slurmctld.log"
on "\$1" "mkdir -p $LOCAL/state $LOCAL/spool && munged --force --socket=$LOCAL/munge --key-file=$SHARED/slurm/munge.key \
  --pid-file=$LOCAL/munged.pid --log-file=$LOCAL/munged.log --seed-file=$LOCAL/munged.seed 2>/dev/null && exec \$daemon"
END
chmod +x "$HOSTS/bin/boot-slurm"
for node in $(awk '/10.77/ { print $2 }' "$HOSTS/names"); do boot-slurm "$node"; done
for i in $(seq 100); do
  ! on node1 "sinfo -h -o %t" 2>/dev/null | grep -qvx idle || { sleep 0.1; continue; }
  break
done
"$@"
