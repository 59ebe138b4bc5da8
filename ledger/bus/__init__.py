"""How the two sides talk: a port, and its adapters for Kafka and for one process."""
