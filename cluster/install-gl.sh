#!/bin/sh
# Rendering without a screen needs a software or driver EGL. Installs Mesa's from Debian or Ubuntu where it is missing
# and this user may; otherwise says what to install and goes on (state-only runs need none of it).
set -eu
packages="libegl1 libgl1-mesa-dri libosmesa6 libopengl0"

have() { ldconfig -p 2>/dev/null | grep -q "$1"; }

if have libEGL.so.1 || have libOSMesa.so; then
    exit 0
fi
if [ "$(id -u)" = 0 ]; then
    root=""
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    root="sudo -n"
else
    root="none"
fi
if command -v apt-get >/dev/null 2>&1 && [ "$root" != none ]; then
    echo "no EGL found: installing $packages"
    # shellcheck disable=SC2086 # the names are separate words on purpose
    if $root apt-get update -qq && $root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $packages >/dev/null; then
        exit 0
    fi
fi
echo "warning: no EGL found, so no pictures: install $packages (Debian's names), or run with --cameras none" >&2
