"""`optfl demo`: a whole federation on loopback, one fraud, and what the nodes say of it afterwards.

plan → setup → run → outcome → report. The demo starts the same commands that an operator would, and believes none of
them: its outcome is computed from the nodes' answers alone.
"""
