#!/bin/sh
# Installs synthgen and everything it needs into a Debian or Ubuntu root, for the container file beside this one and
# for machines set up by hand. Run as root from a checkout (or a copy of it): sh cluster/container/install.sh [PREFIX]
# Afterwards PREFIX/bin/synthgen runs, and the robots' models lie in PREFIX/assets, so no network is needed any more.
set -eu
prefix="${1:-/opt/synthgen}"
source_dir="$(cd "$(dirname "$0")/../.." && pwd)"

export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends python3 python3-venv ca-certificates \
  libegl1 libgl1-mesa-dri libosmesa6 libopengl0 >/dev/null
rm -rf /var/lib/apt/lists/*

python3 -m venv "$prefix"
"$prefix/bin/python" -m pip install --quiet --no-cache-dir --require-hashes -r "$source_dir/requirements/main.lock"
"$prefix/bin/python" -m pip install --quiet --no-cache-dir --no-deps --no-build-isolation "$source_dir"
SYNTHGEN_CACHE="$prefix/assets" "$prefix/bin/synthgen" assets fetch
"$prefix/bin/synthgen" doctor
