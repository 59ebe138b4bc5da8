"""The leading process: follows the log and the bus, and draws the consequences.

`leader` is the entry; it says who works with whom. `conductor` decides about rollouts and
`inspector` about checks, `relay` sends orders, `intake` takes reports in, `projector` keeps the
read models current, `pulse` keeps the agents' signs of life.
"""
