"""Records on their way out: formats, files, and going on where a run ended.

    output        the formats of records
    destination   where they go (record_file: appended to; resume: read again)
    dataset       a folder or URL of parts (part_file: one of them; tasks: which there are)
    result_files  which files are results of earlier runs, not images
    run_summary   what is said at the end

Pictures and the report page are `edge_mri.pictures`.
"""
