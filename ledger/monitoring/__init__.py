"""What other programs ask of ours over HTTP: whether it lives, whether it is ready, its figures."""
