"""The classifier as a service: HTTP for programs, a page for people. The extra `[serve]`.

config        what a service is asked for
service       one run of it, from its socket to its end
application   what answers which request (openapi: the same, described; page: what people see)
uploads       a request's body as files, in memory
batching      files of all requests, answered together by all cores (jobs: those of one request)
drawing       the pictures that go with records
guard         who may ask, and what a browser may do with an answer (tokens; problems: refusals)
connections   how long a client may take
logbook       a line a request; what is counted

No image is written to a disk here, and no name of one. Nothing below knows this room.
"""
