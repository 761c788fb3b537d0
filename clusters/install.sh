#!/usr/bin/env bash
# Installs the locked versions on a node, with the same Python everywhere: AWS, GCP, machines of your own, Slurm.
#   install.sh [--bashrc] [ENVIRONMENT]     default: ~/venv. Does nothing where this requirements.lock is installed already.
#   --bashrc    lets every shell find it; for nodes that `ray up` sets up, not for your own account
set -euo pipefail
project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bashrc=
if [[ ${1:-} == --bashrc ]]; then
    bashrc=yes
    shift
fi
environment=${1:-$HOME/venv}

if ! cmp --silent "$project/requirements.lock" "$environment/installed.lock"; then
    export PATH=$HOME/.local/bin:$PATH
    # uv installs in parallel and fetches Python itself where the node has another one.
    command -v uv > /dev/null || curl --proto '=https' -LsSf https://astral.sh/uv/install.sh | sh
    uv venv --quiet --clear --python 3.11 "$environment"
    uv pip install --quiet --python "$environment/bin/python" --requirement "$project/requirements.lock"
    cp "$project/requirements.lock" "$environment/installed.lock" # last: a broken installation is made again
fi

if [[ $bashrc ]]; then # Ray reads it in front of every command
    line="export PATH=$environment/bin:\$PATH RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0"
    grep --quiet --line-regexp --fixed-strings "$line" ~/.bashrc 2> /dev/null || echo "$line" >> ~/.bashrc
fi
