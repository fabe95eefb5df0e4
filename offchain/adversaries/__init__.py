"""Parties that deviate, one module for each kind, each beside the honest role that it imitates (house rule 11).

An adversary is the honest role with as little as possible overridden, so that it meets every check that an honest party
meets; what it may do beyond its own account is in `accomplices`. None of them knows whether time and network are real.
A table at the end of each module names them; `optfl_sim.adversaries` says what each one gets out of it.
"""
