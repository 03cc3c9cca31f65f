#!/bin/sh
# The container without a container engine: a bare Debian made by debootstrap, install.sh in it, then the tiny scene as
# the user that the container file sets. Root only; needs debootstrap, 6 GB of disk and the package registries.
#   sh cluster/container/check.sh [FOLDER]
# With BASE=1 it also installs into a Python that has packages of its own (as Isaac Sim's) and shows that they stay.
# PIP_CERT, PIP_INDEX_URL and PIP_EXTRA_INDEX_URL are passed on. FOLDER is kept, and used again when it is there.
set -eu
source_dir="$(cd "$(dirname "$0")/../.." && pwd)"
work="${1:-$(mktemp -d)}"
root="$work/root"
[ "$(id -u)" = 0 ] || { echo "must be run as root: debootstrap and chroot need it" >&2; exit 2; }
command -v debootstrap >/dev/null || { echo "debootstrap is missing: apt-get install debootstrap" >&2; exit 2; }

# Mounts of this check are seen by nothing else, and are gone with it.
[ -n "${IN_NAMESPACE:-}" ] || IN_NAMESPACE=1 exec unshare --mount --propagation private sh "$0" "$work"

# inside USER COMMAND: in the root, with nothing of this machine's environment but how to reach the registries.
inside() {
    user="$1"
    shift
    chroot --userspec="$user" "$root" /usr/bin/env -i PATH=/opt/synthgen/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        HOME="$home" ${PIP_CERT:+PIP_CERT=/opt/ca.pem} ${PIP_INDEX_URL:+PIP_INDEX_URL="$PIP_INDEX_URL"} \
        ${PIP_EXTRA_INDEX_URL:+PIP_EXTRA_INDEX_URL="$PIP_EXTRA_INDEX_URL"} \
        SYNTHGEN_CACHE=/opt/synthgen/cache MUJOCO_GL=egl OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 LP_NUM_THREADS=1 \
        sh -c "$*"
}

if [ ! -d "$root/usr" ]; then
    debootstrap --variant=minbase bookworm "$root" >"$work/debootstrap.log"
fi
cp /etc/resolv.conf /etc/hosts "$root/etc/"
cp /etc/apt/apt.conf.d/* "$root/etc/apt/apt.conf.d/" 2>/dev/null || true # the proxy, if there is one
[ -z "${PIP_CERT:-}" ] || cp -L "$PIP_CERT" "$root/opt/ca.pem"
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
mount -t devpts devpts "$root/dev/pts"
mount -t tmpfs -o size=4g tmpfs "$root/dev/shm"

rm -rf "$root/src" "$root/data" "$root/opt/synthgen"
mkdir -p "$root/src" "$root/data" "$root/home/synthgen"
(cd "$source_dir" && git ls-files -z --cached --others --exclude-standard |
    tar --null -T - -c --ignore-failed-read -f - 2>/dev/null) | tar -x -C "$root/src"

home=/root
if [ -n "${BASE:-}" ]; then
    echo "== install.sh into a Python that has packages of its own"
    inside 0:0 "apt-get update -qq && apt-get install -y -qq --no-install-recommends python3 python3-venv >/dev/null"
    inside 0:0 "rm -rf /opt/base && python3 -m venv /opt/base && /opt/base/bin/pip install -q numpy==1.26.4"
    inside 0:0 "printf '#!/bin/sh\nexec /opt/base/bin/python \"\$@\"\n' >/opt/base/python.sh && chmod 755 /opt/base/python.sh"
    inside 0:0 "BASE_PYTHON=/opt/base/python.sh sh /src/cluster/container/install.sh /opt/synthgen"
    inside 0:0 "test \"\$(/opt/base/bin/python -c 'import numpy; print(numpy.__version__)')\" = 1.26.4"
    inside 0:0 "synthgen --version && ray --version"
    rm -rf "$root/opt/synthgen" "$root/opt/base"
fi

echo "== install.sh in a bare Debian"
inside 0:0 "sh /src/cluster/container/install.sh /opt/synthgen"
chown -R 1000:1000 "$root/data" "$root/home/synthgen" "$root/opt/synthgen/cache"

echo "== the tiny scene, as user 1000"
home=/home/synthgen
inside 1000:1000 "cd && synthgen run --tasks pick_place --scene tiny --embodiments franka --n 2 --workers 1 \
    --resolution 96 --out /data/tiny && synthgen status /data/tiny"
echo "== what KubeRay's probes and jobs need"
inside 1000:1000 "wget --version >/dev/null && bash --version >/dev/null && ray job --help >/dev/null"
echo "container check passed: $work"
