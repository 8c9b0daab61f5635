"""The clock: when and where a cycle runs, nothing else. The engine's functions are those of `crmbridge sync`."""
