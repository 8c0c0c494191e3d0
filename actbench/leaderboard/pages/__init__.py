"""What pages show: tables, a record's sections, citations and commands, as plain values for the templates."""
