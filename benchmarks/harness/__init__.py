"""What every benchmark needs and none is about: clocks, figures, the machine, the report."""
