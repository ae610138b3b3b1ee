#!/bin/sh
# chroot.sh DEBS EXAMPLE ROOT: installs the packages of the folder DEBS with apt
# into a Debian 12 that debootstrap makes at ROOT, where nothing else is, and
# builds and runs the C program of the folder EXAMPLE there. ROOT goes away.
set -eu
debs=$1 example=$2 root=$3
trap 'rm -rf "$root"' EXIT
debootstrap --variant=minbase bookworm "$root" http://deb.debian.org/debian >"$root.log" 2>&1 || {
  tail -5 "$root.log"
  exit 1
}
# LLVM 22 is among the security updates.
echo 'deb http://deb.debian.org/debian-security bookworm-security main' \
  >>"$root/etc/apt/sources.list"
mkdir "$root/work"
cp "$debs"/*.deb "$example"/* "$root/work"
env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot "$root" sh -eu <<'END'
export DEBIAN_FRONTEND=noninteractive
cd /work
apt-get update -qq
apt-get install -y -qq --no-install-recommends ./*.deb gcc libc6-dev pkg-config >apt.log 2>&1 || {
  tail -5 apt.log
  exit 1
}
tenon --version
tenon compile circle.onnxtxt -o circle.a --header=circle.h
gcc -std=c99 $(pkg-config --cflags tenon) main.c circle.a -lm -lpthread -o circle
./circle 0 0 1.2 0
ls /usr/lib/cmake/Tenon /usr/lib/*/cmake/Tenon 2>/dev/null || true
apt-get purge -y -qq tenon libtenon-dev >/dev/null 2>&1
test ! -e /usr/bin/tenon
END
