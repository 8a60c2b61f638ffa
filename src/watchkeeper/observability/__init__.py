"""What happened in a request: its calls, retrievals, tool calls and feedback, as stored."""
