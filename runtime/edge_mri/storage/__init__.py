"""Files, names and texts as every reader takes them, whatever happens while they are written.

    atomic          files that appear complete or not at all
    claim           a file that one run alone writes
    regular_file    a file read within bounds; no pipe, no device
    trusted_folder  a folder that no other user can change
    csv_text, json_text, json_document
                    text for spreadsheets and strict readers, and read back
    spelling        file names as valid text

What is in the files is for others to say.
"""
