"""What all commands share: start, options, output, questions, errors, exit codes."""
