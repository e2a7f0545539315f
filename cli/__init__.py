"""The command line: the third face, beside operators and panels."""
