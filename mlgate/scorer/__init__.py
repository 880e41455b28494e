"""Answers requests with a model, both in a serving run and in a server.

This package travels with a serving run, as the launcher does, and runs in the interpreter of the
model's own environment. So at the top of its modules it imports only the standard library, imports
what a format needs inside functions, and imports nothing of ours outside this folder. It supports
Python 3.9.

    candidates     which of a run's kept outputs is the model, and in which format
    files          the model's files: listed, copied and hashed
    loading        loads the model, from any format
    signatures     what the model accepts, as far as it says
    requests       reads a request in JSON
    csv_rows       reads a request in CSV
    examples       the example request that comes with the model
    inputs         brings a request into the form and order that the model accepts
    answers        the predictions as JSON
    replies        a loaded model that replies with an answer or an error
    child          runs that in its own process, which speaks `frames`
    belongings     protects what that process needs from the model
    variables      the environment variables of the model's process
    distributions  which installed packages the model needed

A model is code: loading it and asking it can execute anything. So both belong in a process of their
own, which may die, hang, or overwrite files.
"""
