#!/usr/bin/env bash
# A study as a Slurm job: sbatch clusters/slurm.sh --preset full --out /shared/studies/full
# Two minutes before its time limit the study checkpoints and the job is queued again, as it is by Slurm when it is preempted
# or loses a machine; it then goes on where it was. scancel ends it; submitted again by hand, it goes on, too.
#SBATCH --job-name=pruning-study
#SBATCH --nodes=2                # as many machines as you like; one is enough
#SBATCH --ntasks-per-node=1      # one Ray per machine, which starts the trials
#SBATCH --cpus-per-task=16       # of each machine
#SBATCH --gpus-per-node=4        # of each machine; leave it out for a study on CPUs
#SBATCH --time=1-00:00:00        # of one launch; a study may take several
#SBATCH --signal=B:USR1@120      # to this script, two minutes before that
#SBATCH --requeue                # if Slurm takes the machines away
#SBATCH --open-mode=append       # one log for all launches
#SBATCH --output=%x-%j.log
set -euo pipefail
cd "${SLURM_SUBMIT_DIR:?start this with sbatch, in the project\'s folder}"

bash clusters/install.sh ~/venv # once; the home folder is the same on all machines
export PATH=~/venv/bin:$PATH
export RAY_AUTH_MODE=token # other users are on these machines too; the token lies in your home folder
ray get-auth-token --generate > /dev/null

# Ray's files and sockets lie in a folder of this job: other jobs, also yours, may share a machine. Its name is short, because
# the path of a socket must be; TMPDIR may be too long.
export RAY_TMPDIR=/tmp/ray-$SLURM_JOB_ID
export RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S=0 # Slurm ends all of Ray at once: nobody is left to ask for a gentle end of a machine
hosts=$(scontrol show hostnames "$SLURM_JOB_NODELIST") # read to their ends: a closed pipe would end this script
first=${hosts%%$'\n'*}
addresses=$(srun --nodes=1 --ntasks=1 --nodelist="$first" hostname --ip-address | tr ' ' '\n' | grep -E '^[0-9.]+$')
export RAY_HEAD=${addresses%%$'\n'*}:$((20000 + SLURM_JOB_ID % 10000))

# One Ray per machine, in the foreground of its task: it ends with the task, and nobody else's does. All ports but one are
# whatever is free.
srun --kill-on-bad-exit=0 bash -c '
    trap "kill %1; wait; rm -rf $RAY_TMPDIR" TERM
    mkdir -p "$RAY_TMPDIR"
    place=(--address="$RAY_HEAD")
    if [[ $SLURM_NODEID == 0 ]]; then
        place=(--head --port="${RAY_HEAD#*:}" --node-ip-address="${RAY_HEAD%:*}" --temp-dir="$RAY_TMPDIR" --include-dashboard=false)
    fi
    ray start --block "${place[@]}" --num-cpus="$SLURM_CPUS_PER_TASK" --num-gpus="${SLURM_GPUS_ON_NODE:-0}" \
        --min-worker-port=0 --max-worker-port=0 --dashboard-agent-listen-port=0 --disable-usage-stats &
    wait %1
    code=$?
    rm -rf "$RAY_TMPDIR"
    exit $code' &
rays=$!

study= limit=
stop() { if [[ $study ]]; then kill -TERM "$study" 2> /dev/null || true; else exit 130; fi; }
trap 'limit=yes; stop' USR1
trap stop TERM INT
trap 'kill -TERM "$rays" 2> /dev/null || true; wait "$rays" || true' EXIT

seconds=0
until (exec 3<> "/dev/tcp/${RAY_HEAD/://}") 2> /dev/null; do
    if ! kill -0 "$rays" 2> /dev/null || ((++seconds > 300)); then
        echo "error: Ray did not start on $first; see above" >&2
        exit 1
    fi
    sleep 1
done

python sweeps/full_study.py "$@" --address "$RAY_HEAD" &
study=$!
code=0
wait "$study" || code=$?
while kill -0 "$study" 2> /dev/null; do # a signal ended the wait; the study checkpoints
    code=0
    wait "$study" || code=$?
done

if [[ $limit && $code == 130 ]]; then # stopped by the coming time limit
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
