#!/usr/bin/env bash
# A run on the nodes of a Slurm job: `sbatch --nodes 4 --gpus-per-node 8 slurm.sh --methods all --device cuda`.
# What stands behind the script goes to `actbench run`. The same line again does what is missing.
#SBATCH --job-name=actbench
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
#SBATCH --requeue
set -euo pipefail

export DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES=0
export DASK_DISTRIBUTED__WORKER__DAEMON=False
export DASK_DISTRIBUTED__NANNY__PRE_SPAWN_ENVIRON='{}'
export DASK_DISTRIBUTED__ADMIN__LOW_LEVEL_LOG_LENGTH=100

port=8786
address="tcp://$(hostname):$port"
dask scheduler --port "$port" --no-dashboard &
scheduler=$!
trap 'kill "$scheduler"' EXIT

# On each node a worker for each GPU, or one on all cores where there is none.
export address
srun --kill-on-bad-exit=0 bash -c '
    gpus=${SLURM_GPUS_ON_NODE:-0}
    if [ "$gpus" -eq 0 ]; then
        exec dask worker "$address" --nthreads "$(nproc)" --no-dashboard
    fi
    threads=$(($(nproc) / gpus > 0 ? $(nproc) / gpus : 1))
    for gpu in $(seq 0 $((gpus - 1))); do
        CUDA_VISIBLE_DEVICES=$gpu dask worker "$address" --nthreads "$threads" --resources GPU=1 --no-dashboard &
    done
    wait
' &

# The command waits for the first worker by itself, and takes those that come later.
actbench run --executor dask --scheduler "$address" "$@"
