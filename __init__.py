"""mlpc, a declarative computation-graph compiler."""
