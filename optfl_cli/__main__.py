"""`python -m optfl_cli`: the `optfl` command where it is not installed as one."""

import sys

from optfl_cli.main import main

sys.exit(main())
