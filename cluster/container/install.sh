#!/bin/sh
# Installs synthgen with everything it needs into a Debian or Ubuntu root: for the container files beside this one, and
# for machines set up by hand. Run as root from a checkout (or a copy of it):
#   sh cluster/container/install.sh [PREFIX]
# Into a Python that brings its own packages, which stay as they are (Isaac Sim's):
#   BASE_PYTHON=/path/to/python sh cluster/container/install.sh [PREFIX]
# Afterwards PREFIX/bin/synthgen and PREFIX/bin/ray run, and the robots' models lie in PREFIX/cache (point
# SYNTHGEN_CACHE there), so no network is needed any more.
set -eu
prefix="${1:-/opt/synthgen}"
base_python="${BASE_PYTHON:-}"
source_dir="$(cd "$(dirname "$0")/../.." && pwd)"
lock="$source_dir/requirements/cluster.lock"

# wget: KubeRay's health probes call it inside the container.
set -- ca-certificates wget libegl1 libgl1-mesa-dri libosmesa6 libopengl0
[ -n "$base_python" ] || set -- python3 python3-venv "$@"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "$@" >/dev/null
rm -rf /var/lib/apt/lists/*

mkdir -p "$prefix/bin"
if [ -n "$base_python" ]; then
    python="$base_python"
    missing="$(mktemp)"
    "$python" "$source_dir/cluster/container/missing.py" "$lock" >"$missing"
    "$python" -m pip install --quiet --no-cache-dir --no-deps --require-hashes -r "$missing"
    rm -f "$missing"
else
    python3 -m venv "$prefix"
    python="$prefix/bin/python"
    "$python" -m pip install --quiet --no-cache-dir --require-hashes -r "$lock"
fi
"$python" -m pip install --quiet --no-cache-dir --no-deps --no-build-isolation "$source_dir"

if [ -n "$base_python" ]; then # started through it, because it sets the variables that its libraries need
    start() { printf '#!/bin/sh\nexec "%s" -m %s "$@"\n' "$base_python" "$2" >"$prefix/bin/$1" && chmod 755 "$prefix/bin/$1"; }
    start synthgen synthgen.cli.main
    start ray ray.scripts.scripts
fi
SYNTHGEN_CACHE="$prefix/cache" "$prefix/bin/synthgen" assets fetch
SYNTHGEN_CACHE="$prefix/cache" "$prefix/bin/synthgen" doctor
