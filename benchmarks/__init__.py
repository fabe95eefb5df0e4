"""Experiments, a module each; docs/experiments.md names their commands. It may import all packages; none imports it.

`rounds` measures whole rounds, mode by mode, on real nodes and replicas with the roles' own code, as processes on one
machine: `net` and `plain` run them, `worker` plays the accounts, `meters` stand at the roles' interfaces and `figures`
adds up what they noted. Counters come from there and from the blocks themselves, never from formulas.

`costs`, `latency`, `communication` and `compromise` count in simulated federations; what they share is `federations`.
"""
