"""python -m karat: the command line."""

from karat_command import main

main()
