"""The arithmetic of verdicts. Pure: values in, values out; every method cites its source."""
