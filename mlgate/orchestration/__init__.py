"""What is decided. Standard library and pydantic only; nothing here does I/O.

At the top are the nouns and the ports, which handlers may import. Below them are rooms:

    addresses   what may be reached: allow-lists, repository URLs
    wire        the message that people send, read and checked
    planning    from a message and a tree to runs
    admission   who sends a message, whether they may, and the new build
    engine      what happens next: the state machine and its effects
    verdict     the gate, and everything that is written about a build
    backends    what both backends share
"""
