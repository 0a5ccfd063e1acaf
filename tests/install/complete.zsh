# What zsh completes: complete.zsh FOLDER WORDS EXPECTED [WORDS EXPECTED]...   FOLDER holds _karat.
# Types the words into a shell of its own, presses Tab, and looks for what is expected behind them.
zmodload zsh/zpty || exit 77
folder=$1
shift
while (( $# )); do
  zpty karat zsh -f -i
  zpty -w karat "PS1='> '; fpath=($folder \$fpath); autoload -Uz compinit; compinit -u -D; print rea''dy"
  zpty -r -m karat seen '*ready*'
  zpty -n -w karat "$1"$'\t'
  seen=
  for (( i = 0; i < 50; i++ )); do
    zpty -r -t karat part && seen+=$part
    [[ $seen == *$2* ]] && break
    sleep 0.1
  done
  zpty -d karat
  if [[ $seen != *$2* ]]; then
    print -r -- "zsh completes \"$1\" with: ${(V)seen}"
    exit 1
  fi
  shift 2
done
