"""Pages in Markdown and tables on the console."""
