"""The narrow columns of requests and calls, an hour a file, and any figure over them."""
