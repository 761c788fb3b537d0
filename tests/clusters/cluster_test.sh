#!/usr/bin/env bash
# ray up, a study, ray down: clusters/local.yaml over SSH on four hosts, of which one is cut off, one is killed and one is
# announced to be taken away; the rows must be those of one machine. make cluster-test runs it, as root on Debian.
#   cluster_test.sh BIN      BIN: the environment's folder with python and ray
#
# A host is a network, process and mount namespace with an sshd on a bridge, a home and places in /tmp of its own. All of it
# lies in one process namespace: `ray stop` ends every Ray it can see, and here it sees only ours. When that namespace's
# first process ends, the kernel ends the rest.
set -euo pipefail
project=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
bin=$(cd "${1:?name the folder that has python and ray}" && pwd)
needed=(openssh-server openssh-client rsync iproute2 tmux procps)

outside() { # installs, opens the namespaces, cleans up
    [[ $EUID == 0 ]] || { echo "this needs root, for namespaces and a bridge"; exit 2; }
    local missing=() package
    for package in "${needed[@]}"; do
        dpkg --status "$package" > /dev/null 2>&1 || missing+=("$package")
    done
    work=$(mktemp --directory /var/tmp/cluster-test.XXXXXX)
    trap 'leave "${missing[@]}"' EXIT
    if ((${#missing[@]})); then
        apt-get update --quiet=2
        RUNLEVEL=1 apt-get install --quiet=2 --yes --no-install-recommends "${missing[@]}" > /dev/null # starts no service
    fi
    unshare --net --pid --mount --uts --fork --kill-child --mount-proc "${BASH_SOURCE[0]}" "$bin" inside "$work" &
    local unshared=$!
    trap 'kill -KILL "$unshared"' INT TERM # it heeds no other signal
    wait "$unshared"
}

leave() { # what outside() has brought goes again
    rm -rf "$work"
    (($#)) && apt-get purge --quiet=2 --yes --auto-remove "$@" > /dev/null
    return 0
}

own_folders() { # Ray's fixed places in /tmp are those of $1 only: sessions, and SSH connections that are kept open
    local place
    for place in ray "ray_ssh_$(printf root | sha256sum | head --bytes 10)"; do
        mkdir --parents "$1/$place" "/tmp/$place"
        mount --bind "$1/$place" "/tmp/$place"
    done
}

be_host() { # in the namespaces of host $1
    local home=$work/home
    hostname "host$1"
    own_folders "$work/host$1"
    mount --bind "$work/host$1" "$home"       # every host finds its own files under the same path
    mount --bind "$work/passwd" /etc/passwd   # where root's home is that
    mount --types tmpfs tmpfs /run
    mkdir --parents /run/sshd
    ip link set lo up
    until ip link show "in$1" > /dev/null 2>&1; do sleep 0.1; done
    ip address add "10.77.0.$1/24" dev "in$1"
    ip link set "in$1" up
    ip route add default via 10.77.0.254      # which leads nowhere; Ray takes a host without one for a lone machine
    exec "$(command -v sshd)" -D -f "$work/sshd_config" 2> "$work/sshd$1.log"
}

start_host() { # a home with the environment in it, then the namespaces and a cable to the bridge
    local home=$work/host$1 entry
    mkdir --parents "$home/venv"
    for entry in "${bin%/bin}"/*; do ln --symbolic "$entry" "$home/venv/"; done
    cp "$project/requirements.lock" "$home/venv/installed.lock" # what install.sh would leave behind
    printf 'export TMUX_TMPDIR=~ OMP_NUM_THREADS=1 PRUNING_DATA_CACHE=~/data\n' > "$home/.bashrc"
    unshare --net --pid --mount --uts --fork --kill-child --mount-proc "${BASH_SOURCE[0]}" "$bin" host "$work" "$1" &
    local unshared=$! first
    until first=$(pgrep --parent "$unshared"); do sleep 0.1; done
    ip link add "out$1" type veth peer name "in$1"
    ip link set "in$1" netns "$first"
    ip link set "out$1" master bridge up
    host_process[$1]=$first
}

inside() { # alone in the outer namespaces
    export HOME=$work/user TMPDIR=$work/user/tmp
    mkdir --parents "$work/home" "$work/user/.ray" "$work/user/.ssh" "$work/user/tmp" "$work/shared"
    own_folders "$work/user"
    ip link set lo up
    ip link add bridge type bridge
    ip address add 10.77.0.254/24 dev bridge
    ip link set bridge up
    sed "s|^root:\(.*\):[^:]*:[^:]*$|root:\1:$work/home:/bin/bash|" /etc/passwd > "$work/passwd"
    ssh-keygen -q -t ed25519 -N '' -f "$HOME/.ssh/id_ed25519"
    ssh-keygen -q -t ed25519 -N '' -f "$work/host_key"
    cat > "$work/sshd_config" << END
HostKey $work/host_key
AuthorizedKeysFile $HOME/.ssh/id_ed25519.pub
PermitRootLogin prohibit-password
StrictModes no
END
    declare -A host_process
    for number in 1 2 3 4; do start_host "$number"; done

    cd "$project"
    export PATH=$bin:$PATH PYTHONDONTWRITEBYTECODE=1 RAY_USAGE_STATS_ENABLED=0 RAY_UP_enable_autoscaler_v2=0
    export PRUNING_DATA_CACHE=$work/user/data
    ray get-auth-token --generate > /dev/null
    python - "$work" << 'END'
import sys
from pathlib import Path
import yaml
work = sys.argv[1]
text = Path("clusters/local.yaml").read_text()
for blank, value in (
    ("head_ip: FILL-IN", "head_ip: 10.77.0.1"),
    ("[FILL-IN]", "[10.77.0.2, 10.77.0.3, 10.77.0.4]"),
    ("ssh_user: FILL-IN", "ssh_user: root"),
    ("~/.ssh/id_ed25519", f"{work}/user/.ssh/id_ed25519"),
):
    assert blank in text
    text = text.replace(blank, value)
config = yaml.safe_load(text)
# Workers are watched as those on GCP are, by way of a metadata service made here.
watched = "\n".join(yaml.safe_load(Path("clusters/gcp.yaml").read_text())["worker_start_ray_commands"])
for real, ours in (
    ("sudo shutdown -c", "true"),
    ("sudo shutdown -h +5", "touch ~/then"),
    ("--cloud gcp", "--cloud gcp --metadata http://10.77.0.254:8000/$(hostname)"),
):
    assert real in watched
    watched = watched.replace(real, ours)
config["worker_start_ray_commands"] = watched.splitlines()
for key in ("head_start_ray_commands", "worker_start_ray_commands"):  # a host has one CPU, so that the trials spread
    config[key] = [command.replace("ray start ", "ray start --num-cpus=1 ") for command in config[key]]
Path(work, "local.yaml").write_text(yaml.safe_dump(config))
END
    for name in cluster single; do cp tests/clusters/cluster_study.yaml "$work/$name.yaml"; done
    mkdir --parents "$work/metadata/host4/computeMetadata/v1/instance"
    python -m http.server --bind 10.77.0.254 --directory "$work/metadata" 8000 > /dev/null 2>&1 &
    echo 'import ray; ray.init("auto", logging_level="ERROR"); print(sum(node["Alive"] for node in ray.nodes()))' > "$work/nodes.py"
    python clusters/check.py "$work/local.yaml"

    step "ray up"
    timeout 300 ray up --yes "$work/local.yaml" > "$work/up.log" 2>&1 || { tail --lines 40 "$work/up.log"; exit 1; }
    wait_for "four nodes" nodes 4

    step "the study, in tmux on the head"
    ray exec --tmux "$work/local.yaml" \
        "cd ~/pruning && python sweeps/full_study.py --study $work/cluster.yaml --out $work/shared/cluster > ~/study.log 2>&1; echo \"ended with \$?\" >> ~/study.log" \
        > "$work/exec.log" 2>&1 || { tail --lines 40 "$work/exec.log"; exit 1; }
    wait_for "three trained networks" rows 3
    wait_for "three trials on the way" checkpoints 3

    step "host 4 is announced to be taken away, host 3 is cut off, host 2 is killed"
    printf TRUE > "$work/metadata/host4/computeMetadata/v1/instance/preempted"
    ip link set out3 down
    kill -KILL "${host_process[2]}"
    wait_for "the end of the study" ended
    cat "$work/host1/study.log"
    grep --quiet '^ended with 0$' "$work/host1/study.log"
    grep 'will be taken away' "$work/host4/ray_worker.log"
    wait_for "the end of Ray on host 4" test -e "$work/host4/then"

    step "ray down"
    ray down --yes "$work/local.yaml" > "$work/down.log" 2>&1 || { tail --lines 40 "$work/down.log"; exit 1; }
    ip link set out3 up
    wait_for "no Ray on the head" no_ray

    step "the same study on one machine"
    python sweeps/full_study.py --study "$work/single.yaml" --out "$work/shared/single" --address local
    python tests/clusters/compare_studies.py "$work/shared/cluster" "$work/shared/single"
}

step() { printf '\n== %s (%s s)\n' "$1" "$SECONDS"; }

on_head() { ssh -q -i "$HOME/.ssh/id_ed25519" -o StrictHostKeyChecking=no root@10.77.0.1 "bash -ic '$1'"; }

nodes() { [[ $(on_head "python $work/nodes.py" 2> /dev/null | tail --lines 1) == "$1" ]]; }

rows() { [[ $(find "$work/shared/cluster/rows" -name '*.parquet' 2> /dev/null | wc --lines) -ge $1 ]]; }

checkpoints() { [[ $(find "$work/shared/cluster/checkpoints" -name '*.pt' -printf '%h\n' 2> /dev/null | sort --unique | wc --lines) -ge $1 ]]; }

ended() { grep --quiet '^ended with' "$work/host1/study.log"; }

no_ray() { ! nsenter --target "${host_process[1]}" --pid --mount pgrep --full 'raylet|gcs_server' > /dev/null; }

wait_for() { # a description, then a command
    local said=$1 until=$((SECONDS + 400))
    shift
    until "$@"; do
        ((SECONDS < until)) && ! grep --quiet --no-messages '^ended with [^0]' "$work/host1/study.log" || { echo "waited in vain for $said"; tail --lines 30 "$work"/*.log "$work"/host1/study.log; exit 1; }
        sleep 1
    done
}

case ${2:-outside} in
    outside) outside ;;
    inside) work=$3 && inside ;;
    host) work=$3 && be_host "$4" ;;
esac
