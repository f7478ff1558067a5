"""The command line: shared options, progress on the console, exit codes; one file a command in `commands`."""
