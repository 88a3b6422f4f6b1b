#!/bin/sh
# A study as a job array on a real Slurm, of this one machine alone: daemons of its own in a folder of its own, no
# authentication, root. Trains in one shared folder, one task cancelled and all of them submitted again, and in a folder a
# task, merged; both must hold the records of a study that one process did.
# usage: tests/long/slurm.sh path/to/quaver     (Debian: slurm-wlm)
set -eu
quaver=$(realpath "${1:?usage: slurm.sh path/to/quaver}")
here=$(realpath "$(dirname "$0")")
script=$here/../../data/slurm/study.sbatch
for program in slurmctld slurmd sbatch; do
    command -v $program >/dev/null || { echo "SKIPPED: no $program (Debian: slurm-wlm)" >&2; exit 77; }
done
[ "$(id -u)" -eq 0 ] || { echo "SKIPPED: slurmctld and slurmd want root here" >&2; exit 77; }
T=$(mktemp -d "${TMPDIR:-/tmp}/quaver-slurm-XXXXXX")
mkdir "$T/state" "$T/spool"
SLURM_CONF=$T/slurm.conf
XDG_CACHE_HOME=$T/cache
export SLURM_CONF XDG_CACHE_HOME

stop() {
    for daemon in slurmd slurmctld; do
        [ -s "$T/$daemon.pid" ] && kill "$(cat "$T/$daemon.pid")" 2>/dev/null
    done
    sleep 1
    rm -rf "$T"
}
trap stop EXIT
die() {
    echo "FAILED: $*" >&2
    tail -n 15 "$T"/*.log >&2
    exit 1
}

cat >"$SLURM_CONF" <<TEXT
ClusterName=quaver
SlurmctldHost=$(hostname)
SlurmctldPort=16817
SlurmdPort=16818
AuthType=auth/none
CredType=cred/none
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$T/state
SlurmdSpoolDir=$T/spool
SlurmctldPidFile=$T/slurmctld.pid
SlurmdPidFile=$T/slurmd.pid
SlurmctldLogFile=$T/slurmctld.log
SlurmdLogFile=$T/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
ReturnToService=2
KillWait=5
MailProg=/bin/true
NodeName=$(hostname) CPUs=$(nproc) State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
TEXT
slurmctld
slurmd
i=0
until sinfo -h -o %t 2>/dev/null | grep -q idle; do
    i=$((i + 1))
    [ $i -lt 60 ] || die "the node did not become idle: $(sinfo 2>&1)"
    sleep 1
done
echo "$(sinfo --version) with $(nproc) processors"

. "$here/../support/study.sh"
put_study "$T/study.ini" "embedded = 4 2" speaker 400
cd "$T"
submit() { # submit OUT [WORDS OF SBATCH...]
    out=$1
    shift
    STUDY=$T/study.ini OUT=$out QUAVER=$quaver ARGS=--quiet sbatch --parsable --array=1-3 --cpus-per-task=1 --time=30 "$@" "$script"
}
same_records() {
    (cd "$T/whole/records" && find . -type f | sort) >"$T/expected"
    (cd "$1/records" && find . -type f | sort) >"$T/found"
    cmp -s "$T/expected" "$T/found" || die "$1 does not hold the records of all runs"
    while read -r record; do
        [ "$(head -n 1 "$T/whole/records/$record")" = "$(head -n 1 "$1/records/$record")" ] || die "$1: $record differs"
    done <"$T/expected"
    echo "$(basename "$1"): $(wc -l <"$T/expected") records, all as one process made them"
}

"$quaver" study study.ini --out whole --quiet >whole.txt 2>&1 || die "the study itself"
job=$(submit "$T/shared")
until find "$T/shared/records" -type f 2>/dev/null | grep -q .; do sleep 0.2; done
scancel "$job"
while squeue -h -j "$job" 2>/dev/null | grep -q .; do sleep 0.5; done
left=$(find "$T/shared/records" -name '*.json*' | wc -l)
echo "cancelled with $left of $(find whole/records -type f | wc -l) records there"
submit "$T/shared" --wait >/dev/null || die "the array did not end well"
same_records "$T/shared"
submit "$T/part-%a" --wait >/dev/null || die "the array of folders did not end well"
"$quaver" study merge part-1 part-2 part-3 --out joined >merge.txt 2>&1 || die "merge: $(cat merge.txt)"
same_records "$T/joined"
