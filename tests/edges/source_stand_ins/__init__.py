"""Stand-ins of tools that record requests: real HTTP on loopback, the documented protocol of each, faults on call."""
