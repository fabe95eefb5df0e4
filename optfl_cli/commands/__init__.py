"""One module for each `optfl` command; `optfl_cli.main` lists them. They are imported only when called."""
