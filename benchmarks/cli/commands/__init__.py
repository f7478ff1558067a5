"""The subcommands of `cycseq-bench`, one file each."""
