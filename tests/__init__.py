"""The specification of the project, executed."""
