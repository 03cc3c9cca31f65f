#!/usr/bin/env bash
# Makes .venv-readers: the programs that read our data sets, for tests/readers and benchmarks/writers.py.
#
#   .ci/readers.sh            make it (or bring it up to date)
#   .ci/readers.sh test ...   make it and run tests/readers in it; more arguments go to pytest
#   .ci/readers.sh lock       pin the requirements anew (needs uv)
#
# READERS_PYTHON chooses the Python. With 3.12 or later it is lerobot 0.6.1 and torch 2.11, which from PyPI comes with
# CUDA (about 5 GB); with 3.11 it is lerobot 0.4.4 and torch 2.13. Where pip is offered a CPU build of torch, it takes it.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=.venv-readers

if [ "${1:-}" = lock ]; then
  compile() {
    ../.venv/bin/uv pip compile --quiet --python-platform x86_64-manylinux_2_28 --generate-hashes --no-header \
      --no-annotate --no-emit-index-url "$@"
  }
  cd requirements  # .venv is one up
  for minor in 11 12; do
    compile --python-version "3.$minor" --override readers.override readers.in -o "readers-py3$minor.lock"
  done
  compile --python-version 3.11 --no-deps readers-v21.in -o readers-v21.lock
  compile --python-version 3.11 --override readers-zarr2.override readers-zarr2.in -o readers-zarr2.lock
  exit
fi

python=${READERS_PYTHON:-python3}
minor=$("$python" -c 'import sys; print(min(sys.version_info[1], 12))')
lock=requirements/readers-py3$minor.lock
case $minor in
  11) torch=2.13.0 ;;
  12) torch=2.11.0 ;;
  *) echo "the readers need Python 3.11 or later: READERS_PYTHON=python3.12 $0" >&2; exit 2 ;;
esac
made=$(echo "3.$minor" | cat - requirements/readers*.lock "$0" | sha256sum)
make_it() {
if [ "$(cat $venv/.made 2>/dev/null || true)" = "$made" ]; then return; fi
rm -rf $venv
"$python" -m venv $venv
pip="$venv/bin/python -m pip --disable-pip-version-check install --quiet"
$pip "torch==$torch"
# Everything else is pinned with its hashes; --no-deps, since the lock leaves out what reading does not need.
$pip --no-deps --require-hashes -r "$lock"

# torchcodec wants FFmpeg's libraries under their plain names. PyAV's wheel holds them under names of its own.
site=$($venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("platlib"))')
mkdir $venv/ffmpeg
for file in "$PWD/${site#"$PWD/"}"/av.libs/*; do
  name=$(basename "$file")
  ln -s "$file" "$venv/ffmpeg/$name"
  case $name in
    libav*-*|libsw*-*) version=${name#*.so.}; ln -s "$file" "$venv/ffmpeg/${name%%-*}.so.${version%%.*}" ;;
  esac
done
# torchvision's compiled operators need CUDA's libraries, which a CPU torch does not bring. Its Python part, all that the
# readers use, only needs two of them to be declared before it is imported.
cat > "$site/declare_torchvision.py" <<'PY'
import sys


class Declare:
    def find_spec(self, name, path=None, target=None):
        if name == "torchvision" and self in sys.meta_path:
            sys.meta_path.remove(self)
            import torch

            for operator in () if torch.version.cuda else ("nms", "qnms"):
                try:
                    schema = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
                    torch.library.define(f"torchvision::{operator}", schema)
                except RuntimeError:
                    pass  # declared already


sys.meta_path.insert(0, Declare())
PY
echo "import declare_torchvision" > "$site/declare_torchvision.pth"
# Readers of older layouts, each in a folder of its own that its test puts first on the path.
$pip --no-deps --require-hashes --target $venv/v21 -r requirements/readers-v21.lock
$pip --no-deps --require-hashes --target $venv/zarr2 -r requirements/readers-zarr2.lock
# Of Isaac Lab's wheel only the four files that read and write data sets; the rest needs a GPU's worth of packages.
$venv/bin/python -m pip --disable-pip-version-check download --quiet --no-deps --require-hashes \
  --python-version 3.11 --only-binary=:all: -d $venv/wheels -r requirements/readers-isaaclab.lock
$venv/bin/python - $venv <<'PY'
import pathlib, sys, zipfile

venv = pathlib.Path(sys.argv[1])
with zipfile.ZipFile(next((venv / "wheels").glob("isaaclab-*.whl"))) as wheel:
    for name in wheel.namelist():
        if "/isaaclab/utils/datasets/" in name and name.endswith(".py"):
            target = venv / "isaaclab" / "isaaclab_datasets" / pathlib.Path(name).name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(wheel.read(name))
PY
rm -rf $venv/wheels
echo "$made" > $venv/.made
}

make_it
if [ "${1:-}" = test ]; then
  shift
  # torch's own files come with warnings of their own: tests/readers has a pytest.ini of its own.
  LD_LIBRARY_PATH="$PWD/$venv/ffmpeg${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" HF_HUB_OFFLINE=1 PYTHONPATH="$PWD" \
    OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" $venv/bin/python -m pytest -c tests/readers/pytest.ini tests/readers "$@"
fi
