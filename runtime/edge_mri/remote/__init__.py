"""Files in object storage and on the web, by fsspec; the extra `cloud`.

    url          a place that is a URL, whose text has no credentials
    filesystems  what serves a URL
    files        read within a limit, fetched ahead, written whole
    listing      what lies below, page by page
    reasons      why something cannot be had

What is in the files is for others to say. Nothing of fsspec is imported before a URL is opened.
"""
