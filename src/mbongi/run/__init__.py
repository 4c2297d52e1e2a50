"""One composition root per process: reads the configuration, wires adapters to services, starts them."""
