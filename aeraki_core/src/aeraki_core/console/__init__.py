"""What a person reads: text, colours, progress, log lines."""
