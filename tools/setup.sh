# Sourced by test.sh and demo.sh: installs the Debian packages of packages.txt that are missing.
# shellcheck shell=bash
# KARAT_SKIP_SETUP=1 leaves the system alone.

karat_die() {
  echo "$(basename "$0"): $*" >&2
  exit 1
}

karat_installed() {
  [[ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" == installed ]]
}

karat_setup() {
  [[ "${KARAT_SKIP_SETUP:-0}" == 1 ]] && return
  local list packages package missing=() root=()
  list="$(dirname "${BASH_SOURCE[0]}")/packages.txt"
  mapfile -t packages < <(grep -v '^#' "$list")
  command -v apt-get >/dev/null ||
    karat_die "apt-get is not here: install the like of $list by hand, then set KARAT_SKIP_SETUP=1"
  for package in "${packages[@]}"; do
    karat_installed "$package" || missing+=("$package")
  done
  [[ ${#missing[@]} == 0 ]] && return
  if [[ "$(id -u)" != 0 ]]; then
    command -v sudo >/dev/null ||
      karat_die "neither root nor sudo: as root run apt-get install ${missing[*]}"
    root=(sudo)
  fi
  echo "== installing ${missing[*]}"
  "${root[@]}" apt-get update -q ||
    karat_die "apt-get update failed: check the network and /etc/apt/sources.list"
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -q --no-install-recommends "${missing[@]}" ||
    karat_die "apt-get could not install ${missing[*]}"
}
