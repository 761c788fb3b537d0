#!/usr/bin/env bash
# What only a GPU shows, in one command: needs PyTorch and this project's files, not Ray.
#
#   benchmarks/gpu.sh DATA_DIR [DEVICE] [SECONDS]     e.g. benchmarks/gpu.sh ../shared/data/cifar10
#
# Images/s of the training loop against a plain script (goal: 4x) and against the matmul ceiling measured on the spot
# (goal: 35 % for ResNet-18), then 1, 2, 4 and 8 trials at once, then the latency of pruned networks.
set -euo pipefail
data=${1:?the folder with CIFAR-10 as Parquet files}
device=${2:-cuda}
seconds=${3:-10}
here=$(dirname "$0")
python=${PYTHON:-python3}
for model in resnet18 resnet20; do
    "$python" "$here/throughput.py" "$model" --data-dir "$data" --device "$device" --seconds "$seconds"
    "$python" "$here/packing.py" "$model" --data-dir "$data" --device "$device" --seconds "$seconds"
done
"$python" "$here/slim.py" --device "$device" --seconds "$seconds"
