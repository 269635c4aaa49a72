"""What people see while a command runs.

    printable         text that cannot move the cursor or add a line
    standard_streams  stdin, stdout and stderr, also closed, full or unreadable ones
    progress          bars and lines on stderr

Records on stdout are `edge_mri.records`.
"""
