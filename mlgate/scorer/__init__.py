"""Answers for a model, wherever it is served: in a serving run, and in a server.

It travels with a serving run as the launcher does, and is executed by the interpreter of the
model's own environment. That is why it imports the standard library only, what a format needs
inside functions, and nothing of ours outside this folder. Python 3.9 is enough.

    candidates   which of a run's kept outputs is the model, and in which format
    files        its files: listed, copied and hashed
    loading      the model itself, from any format
    signatures   what it takes, as far as the model says
    requests     what a caller sent
    examples     what a caller would send, as the model's own run says
    inputs       that in the form and the order that the model takes
    answers      what it predicts, as JSON
    csv_rows     the same from CSV
    replies      a loaded model that answers, right or with what is wrong
    child        that in a process of its own, which takes `frames`, and keeps its `belongings`
    variables    what a model's process finds of a host's
    distributions  which installed packages it needed for that

A model is code: loading it and asking it execute whatever it brings. So both belong in a process of
their own, which may die, hang, or write over files.
"""
