"""Beamtime's runner: trains, serves, captures and evaluates models, from one job file in one workdir."""

__version__ = "0.1.0"
