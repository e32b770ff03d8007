"""`/v1/realtime`: conversations over a WebSocket, in text and in speech.

The session (`session`) is a state machine without tasks: events of the client and of the models go in, events of the
server and commands (`commands`) come out. The connection (`connection`) carries out the commands, and moves the bytes.
"""
