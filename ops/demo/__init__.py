"""The demo: `make demo`, or `make demo BUS=local` without a broker."""
