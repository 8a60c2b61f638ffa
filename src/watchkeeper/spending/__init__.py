"""Why the bill changed, what a resolution costs, who spends most, and whether the invoice agrees."""
