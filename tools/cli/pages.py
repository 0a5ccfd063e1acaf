"""Man pages and completions of every command, from what its --help says (the option tables):
pages.py KARAT FOLDER
FOLDER gets man1/karat*.1, bash/karat, zsh/_karat and fish/karat.fish."""

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass, field

OPTION = re.compile(r"^(?:  -(?P<letter>\w),|     ) --(?P<name>[\w-]+)(?P<arg> arg)?(?:\s+(?P<meaning>.*))?$")
COMMAND = re.compile(r"^  (?P<name>[a-z]+)\s{2,}(?P<summary>\S.*)$")
RECIPE = ("recipe", "baseline")  # options that name one recipe
GROUP = re.compile(r"^ (?P<name>\S.*) options:$")


@dataclass
class Option:
    letter: str
    name: str
    takes: bool
    meaning: str

    def spellings(self):
        return ([f"-{self.letter}"] if self.letter else []) + [f"--{self.name}"]


@dataclass
class Command:
    name: str  # "sweep run"; of karat itself ""
    summary: str = ""
    synopsis: str = "karat COMMAND [OPTIONS]"
    groups: list = field(default_factory=list)  # (heading, options)
    commands: list = field(default_factory=list)
    note: str = ""

    def options(self):
        return [option for _, options in self.groups for option in options]

    def page(self):
        return "-".join(["karat", *self.name.split()])


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def read(karat, name=""):
    """One command and those below it."""
    lines = output(karat, *name.split(), "--help").splitlines()
    command, rest = Command(name, lines[0].rstrip(".")), []
    for line in lines[1:]:
        option, below = OPTION.match(line), COMMAND.match(line)
        if line.startswith("  karat "):
            command.synopsis = line.strip()
        elif line.startswith("usage: "):
            command.synopsis = line[len("usage: "):].split("     ")[0]
        elif GROUP.match(line):
            command.groups.append((GROUP.match(line)["name"], []))
        elif option:
            if not command.groups:
                command.groups.append(("", []))
            command.groups[-1][1].append(Option(option["letter"] or "", option["name"],
                                                option["arg"] is not None, option["meaning"] or ""))
        elif line.startswith(" " * 10) and command.options():
            last = command.options()[-1]
            last.meaning = f"{last.meaning} {line.strip()}".strip()
        elif below:
            command.commands.append(read(karat, f"{name} {below['name']}".strip()))
            command.commands[-1].summary = below["summary"]
        elif line not in ("", "Usage:"):
            rest.append(line)
    command.note = "\n".join(rest)
    if not command.options() and not command.commands:
        sys.exit(f"pages.py: karat {name} --help lists nothing that can be read")
    return command


def everything(command):
    yield command
    for below in command.commands:
        yield from everything(below)


def roff(text):
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^([.'])", r"\\&\1", text, flags=re.M)


def man(command, version):
    title = command.page()
    parts = [f'.TH {title.upper()} 1 "" "karat {version}" "User commands"', ".SH NAME",
             f"{roff(title)} \\- {roff(command.summary)}", ".SH SYNOPSIS", f".B {roff(command.synopsis)}"]
    if command.commands:
        parts.append(".SH COMMANDS")
        for below in command.commands:
            parts += [".TP", f".BR {roff(below.page())} (1)", roff(below.summary)]
    for heading, options in command.groups:
        parts.append(f".SH {roff(heading.upper() + ' ' if heading else '')}OPTIONS")
        for option in options:
            value = " \\fIARG\\fR" if option.takes else ""
            parts += [".TP", f"\\fB{roff(', '.join(option.spellings()))}\\fR{value}", roff(option.meaning)]
    if command.note:
        parts += [".SH NOTES", ".nf", roff(command.note), ".fi"]
    if command.name:
        parts += [".SH SEE ALSO", ".BR karat (1)"]
    return "\n".join(parts) + "\n"


def bash(commands, recipes):
    cases = []
    for command in commands:
        words = [below.name.split()[-1] for below in command.commands]
        words += [spelling for option in command.options() for spelling in option.spellings()]
        cases.append(f"    {shlex.quote(command.name)}) words={shlex.quote(' '.join(words))} ;;")
    groups = "|".join(command.name for command in commands if command.name and command.commands) or "-"
    return f"""# bash completion for karat
_karat() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}" command="" words=""
  if ((COMP_CWORD > 1)); then
    command="${{COMP_WORDS[1]}}"
    case "$command" in
    {groups}) ((COMP_CWORD > 2)) && command+=" ${{COMP_WORDS[2]}}" ;;
    esac
  fi
  case "$before" in
  --recipe|--baseline) COMPREPLY=($(compgen -W {shlex.quote(' '.join(recipes))} -- "$word") $(compgen -f -- "$word")); return 0 ;;
  esac
  case "$command" in
{chr(10).join(cases)}
  esac
  if [[ "$word" == -* || $COMP_CWORD == 1 || ("$command" != *" "* && "$command" =~ ^({groups})$) ]]; then
    COMPREPLY=($(compgen -W "$words" -- "$word"))
  else
    COMPREPLY=($(compgen -f -- "$word"))
  fi
  return 0
}}
complete -o filenames -F _karat karat
"""


def zsh_text(text):
    return re.sub(r"([\[\]:\\'])", lambda m: "'\\''" if m[0] == "'" else "\\" + m[0], text)


def zsh_function(command, recipes):
    name = "_" + command.page().replace("-", "_")
    if command.commands:
        rows = " ".join(f"'{below.name.split()[-1]}:{zsh_text(below.summary)}'" for below in command.commands)
        cases = "\n".join(f"    {below.name.split()[-1]}) _{below.page().replace('-', '_')} ;;"
                          for below in command.commands)
        return f"""{name}() {{
  local -a below=({rows})
  if (( CURRENT == 2 )); then
    _describe command below
  else
    shift words
    (( CURRENT-- ))
    case $words[1] in
{cases}
    esac
  fi
}}"""
    rows = []
    for option in command.options():
        values = ""
        if option.takes:
            values = f":recipe:({' '.join(recipes)})" if option.name in RECIPE else ":value:_files"
        rows += [f"'{spelling}[{zsh_text(option.meaning)}]{values}'" for spelling in option.spellings()]
    rows.append("'*:file:_files'")
    return f"{name}() {{\n  _arguments {(' ' + chr(92) + chr(10) + '    ').join(rows)}\n}}"


def zsh(commands, recipes):
    functions = "\n\n".join(zsh_function(command, recipes) for command in reversed(commands))
    return f"#compdef karat\n\n{functions}\n\n_karat \"$@\"\n"


def fish(commands, recipes):
    lines = ["# fish completion for karat"]
    for command in commands:
        words = command.name.split()
        seen = "; and ".join(f"__fish_seen_subcommand_from {word}" for word in words)
        names = [below.name.split()[-1] for below in command.commands]
        if names:
            first = "__fish_use_subcommand" if not words else (
                f"{seen}; and not __fish_seen_subcommand_from {' '.join(names)}")
            for name, below in zip(names, command.commands):
                lines.append(f"complete -c karat -f -n {shlex.quote(first)} -a {name} -d {shlex.quote(below.summary)}")
        for option in command.options():
            letter = f" -s {option.letter}" if option.letter else ""
            takes = (f" -r -a {shlex.quote(' '.join(recipes))}" if option.name in RECIPE else
                     " -r -F" if option.takes else "")
            lines.append(f"complete -c karat -n {shlex.quote(seen)}{letter} -l {option.name}{takes}"
                         f" -d {shlex.quote(option.meaning)}")
    return "\n".join(lines) + "\n"


def write(folder, name, text):
    path = os.path.join(folder, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)


def main():
    karat, folder = sys.argv[1:]
    version = output(karat, "--version").split()[1]
    recipes = [r["name"] for r in json.loads(output(karat, "recipes", "--json"))["recipes"]]
    commands = list(everything(read(karat)))
    for command in commands:
        write(folder, f"man1/{command.page()}.1", man(command, version))
    write(folder, "bash/karat", bash(commands, recipes))
    write(folder, "zsh/_karat", zsh(commands, recipes))
    write(folder, "fish/karat.fish", fish(commands, recipes))


if __name__ == "__main__":
    main()
