#!/usr/bin/env bash
# A study as a Slurm job: sbatch clusters/slurm.sh --preset full --out /shared/studies/full
# Ended by the time limit or preempted, the job is queued again and goes on; submitting it again by hand does the same.
#SBATCH --job-name=pruning-study
#SBATCH --nodes=2                # as many machines as you like; one is enough
#SBATCH --ntasks-per-node=1      # one Ray per machine, which starts the trials
#SBATCH --cpus-per-task=16       # of each machine
#SBATCH --gpus-per-node=4        # of each machine; leave it out for a study on CPUs
#SBATCH --time=1-00:00:00        # the longest study
#SBATCH --requeue                # if Slurm takes the machines away
#SBATCH --open-mode=append       # one log for all launches
#SBATCH --output=%x-%j.log
set -euo pipefail
cd "${SLURM_SUBMIT_DIR:?start this with sbatch, in the project\'s folder}"

bash clusters/install.sh ~/venv # once; the home folder is the same on all machines
export PATH=~/venv/bin:$PATH
export RAY_AUTH_MODE=token # other users are on these machines too; the token lies in your home folder
ray get-auth-token --generate > /dev/null

head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
address=$(srun --nodes=1 --ntasks=1 --nodelist="$head" hostname --ip-address | tr ' ' '\n' | grep -m 1 -E '^[0-9.]+$')
port=$((20000 + SLURM_JOB_ID % 10000)) # two jobs may share a machine

# Starts Ray on every machine, the study on the first, and ends Ray after it. Where Ray cannot start it ends with 0 all
# the same; then the file is missing, and the job fails as it should.
started=$SLURM_SUBMIT_DIR/.started-$SLURM_JOB_ID
srun ray symmetric-run --address "$address:$port" --min-nodes "$SLURM_JOB_NUM_NODES" \
    --num-cpus "$SLURM_CPUS_PER_TASK" --num-gpus "${SLURM_GPUS_ON_NODE:-0}" \
    -- bash -c 'touch "$0" && exec python sweeps/full_study.py "$@"' "$started" --address "$address:$port" "$@"
rm "$started"
