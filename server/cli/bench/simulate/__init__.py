"""How many servers a load of debates needs, by a simulation from measured times."""
