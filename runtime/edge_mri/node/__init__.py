"""A DICOM node beside the scanner: it takes series, judges them, and sends back what it found.

    node         the process: start, the loop, an orderly stop
    config       what it was asked for
    echo         does it answer?
    peers        who may send, where answers go, TLS
    receiver     C-ECHO and C-STORE
    syntaxes     what it takes: kinds of objects, transfer syntaxes
    instance     what of a stored file is needed to judge and to answer
    spool        received files until they are judged
    journal      what is judged, what waits to be written and to be sent
    result_lines the file of JSON lines
    judge        a series, asked about together
    evidence     a study's patient, copied from its images into what is sent back
    reports      the structured report
    captures     the heatmaps, as a secondary capture series
    sender       what is to be sent, until it is

The only room that handles patients' names: they stay in the spool and in DICOM objects. Nothing
below knows it. Needs the extra `node`.
"""
